// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/params.h"

#include <errno.h>

#include "varlink/json.h"
#include "varlink/message.h"

static int decode_int(json_object *value, const struct varlink_field *field,
		      struct varlink_int *ret)
{
	int64_t i;

	if (!json_object_is_type(value, json_type_int))
		return -EINVAL;
	i = json_object_get_int64(value);
	/*
	 * json-c holds what lies beyond INT64_MAX too, and gives INT64_MAX for it. What lies
	 * below INT64_MIN is INT64_MIN to it, which so stands for no number.
	 */
	if (i == INT64_MIN || (i == INT64_MAX && json_object_get_uint64(value) > INT64_MAX))
		return -EINVAL;
	if (i < field->min || i > field->max)
		return -EINVAL;
	*ret = (struct varlink_int){ .given = true, .value = i };
	return 0;
}

static int decode_string(json_object *value, const char **ret)
{
	*ret = varlink_json_string(value);
	return *ret ? 0 : -EINVAL;
}

static int decode_bool(json_object *value, bool *ret)
{
	if (!json_object_is_type(value, json_type_boolean))
		return -EINVAL;
	*ret = json_object_get_boolean(value);
	return 0;
}

static int decode_field(json_object *value, const struct varlink_field *field, void *out)
{
	void *member = (char *)out + field->offset;

	if (!value)
		return field->optional ? 0 : -EINVAL;

	switch (field->type) {
	case VARLINK_STRING:
		return decode_string(value, member);
	case VARLINK_INT:
		return decode_int(value, field, member);
	case VARLINK_BOOL:
		return decode_bool(value, member);
	}
	return -EINVAL;
}

int varlink_params_decode(json_object *parameters, const struct varlink_field *fields, void *out,
			  const char **ret_field)
{
	for (const struct varlink_field *f = fields; f && f->name; f++) {
		json_object *value = NULL;

		if (parameters)
			value = json_object_object_get(parameters, f->name);
		if (decode_field(value, f, out) < 0) {
			*ret_field = f->name;
			return -EINVAL;
		}
	}
	return 0;
}
