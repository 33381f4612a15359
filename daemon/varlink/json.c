// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/json.h"

#include <errno.h>
#include <string.h>

const char *varlink_json_string(json_object *value)
{
	const char *s;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	s = json_object_get_string(value);
	return strlen(s) == (size_t)json_object_get_string_len(value) ? s : NULL;
}

int varlink_json_set(json_object *object, const char *name, json_object *value)
{
	if (object && value && json_object_object_add(object, name, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

int varlink_json_set_string(json_object *object, const char *name, const char *value)
{
	return varlink_json_set(object, name, json_object_new_string(value));
}

int varlink_json_set_bool(json_object *object, const char *name, bool value)
{
	return varlink_json_set(object, name, json_object_new_boolean(value));
}

int varlink_json_set_u64(json_object *object, const char *name, uint64_t value)
{
	return varlink_json_set(object, name,
				json_object_new_int64((int64_t)min_u64(value, INT64_MAX)));
}

int varlink_json_append(json_object *array, json_object *value)
{
	if (array && value && json_object_array_add(array, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

json_object *varlink_json_finish(json_object *object, int r)
{
	if (r == 0)
		return object;
	json_object_put(object);
	return NULL;
}
