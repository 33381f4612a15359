/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON, beyond what json-c has: building it with errors looked at once, and strings that C can hold. */
#ifndef EAGERSPLITD_VARLINK_JSON_H
#define EAGERSPLITD_VARLINK_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/util.h"

/*
 * The string in value, or NULL if that is no string or has a NUL in it, which C
 * would cut it short at.
 */
const char *varlink_json_string(json_object *value);

/*
 * Sets object[name] to value and takes value. Returns 0, or -ENOMEM, also when
 * object or value is NULL: so building needs only the last results looked at.
 */
int varlink_json_set(json_object *object, const char *name, json_object *value);

/* The same of a string, and of a boolean. */
int varlink_json_set_string(json_object *object, const char *name, const char *value);
int varlink_json_set_bool(json_object *object, const char *name, bool value);

/* The same of a number. Varlink's integers are signed: beyond that, as much as there is. */
int varlink_json_set_u64(json_object *object, const char *name, uint64_t value);

/* Appends value to array and takes it; as varlink_json_set(). */
int varlink_json_append(json_object *array, json_object *value);

/* What has been built, or NULL, and it is let go of, if building it gave @r and not 0. */
json_object *varlink_json_finish(json_object *object, int r);

/* For a local variable that owns what it points to. */
#define _cleanup_json_ _cleanup_(json_object_putp)
static inline void json_object_putp(json_object **object)
{
	json_object_put(*object);
}

#endif /* EAGERSPLITD_VARLINK_JSON_H */
