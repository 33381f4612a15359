/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_PARAMS_H
#define EAGERSPLITD_VARLINK_PARAMS_H

/*
 * The parameters of a method, decoded by a table into a C structure:
 *
 *	struct get_params { const char *vm; struct varlink_int rate; };
 *	static const struct varlink_field get_fields[] = {
 *		VARLINK_FIELD("vm", VARLINK_STRING, struct get_params, vm),
 *		VARLINK_FIELD("rate", VARLINK_INT, struct get_params, rate, .optional = true,
 *			      .max = INT64_MAX),
 *		{ 0 },
 *	};
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

enum varlink_type {
	VARLINK_STRING, /* const char *, belonging to the JSON; NULL: not given */
	VARLINK_INT, /* struct varlink_int */
	VARLINK_BOOL, /* bool; false: not given */
};

struct varlink_int {
	bool given;
	int64_t value;
};

struct varlink_field {
	const char *name; /* NULL ends the table */
	enum varlink_type type;
	size_t offset;
	bool optional;
	int64_t min, max; /* of a VARLINK_INT, both included */
};

#define VARLINK_FIELD(field, kind, type_, member, ...)                                            \
	{                                                                                         \
		.name = (field), .type = (kind), .offset = offsetof(type_, member), ##__VA_ARGS__ \
	}

/*
 * Decodes parameters (an object, or NULL for none) into out, whose fields must be
 * zero. Unknown names are passed over; null is as good as absent. Returns 0, or
 * -EINVAL with the name of the field that is missing, of the wrong type, or out of
 * range.
 */
int varlink_params_decode(json_object *parameters, const struct varlink_field *fields, void *out,
			  const char **ret_field);

#endif /* EAGERSPLITD_VARLINK_PARAMS_H */
