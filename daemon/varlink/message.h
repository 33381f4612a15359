/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_MESSAGE_H
#define EAGERSPLITD_VARLINK_MESSAGE_H

/*
 * What Varlink messages say: calls, as the daemon gets them, and replies, as
 * eagersplitctl gets them. Neither knows of sockets.
 */

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "base/util.h"

/* Objects and arrays in one another; a call of ours needs three. */
#define VARLINK_DEPTH_MAX 16

#define VARLINK_ERROR_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND	     "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define VARLINK_ERROR_INVALID_PARAMETER	     "org.varlink.service.InvalidParameter"
#define VARLINK_ERROR_PERMISSION_DENIED	     "org.varlink.service.PermissionDenied"
#define VARLINK_ERROR_EXPECTED_MORE	     "org.varlink.service.ExpectedMore"

/* The strings and the parameters belong to the message. */
struct varlink_call {
	json_object *message;
	const char *method;
	json_object *parameters; /* an object, or NULL */
	bool more;
	bool oneway;
};

struct varlink_reply {
	json_object *message;
	const char *error; /* NULL: none */
	json_object *parameters; /* an object, or NULL */
	bool continues;
};

/*
 * Parses one message: strict JSON in UTF-8, one object, not too deep. Returns 0,
 * -ENOMEM, or -EBADMSG with the reason, a static string.
 */
int varlink_message_parse(const char *text, size_t length, json_object **ret,
			  const char **ret_reason);

/*
 * Reads a message as a call and takes the message, also on error. Returns 0, or
 * -EINVAL with the name of the field that is missing or wrong, a static string.
 */
int varlink_call_from_message(json_object *message, struct varlink_call *ret,
			      const char **ret_field);

/* The same for a reply. */
int varlink_reply_from_message(json_object *message, struct varlink_reply *ret,
			       const char **ret_field);

/*
 * The message of a call, of a reply and of an error. Takes parameters, an object;
 * NULL says that there was no memory for it. Returns NULL if there is no memory.
 */
json_object *varlink_call_to_message(const char *method, json_object *parameters, bool more);
json_object *varlink_reply_to_message(json_object *parameters, bool continues);
json_object *varlink_error_to_message(const char *error, json_object *parameters);

/* Lets go of the message, and so of all that belongs to it. */
void varlink_call_done(struct varlink_call *call);
void varlink_reply_done(struct varlink_reply *reply);

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

/* The same of a number. Varlink's integers are signed: beyond that, as much as there is. */
int varlink_json_set_u64(json_object *object, const char *name, uint64_t value);

/* What has been built, or NULL, and it is let go of, if building it gave @r and not 0. */
json_object *varlink_json_finish(json_object *object, int r);

/* For a local variable that owns what it points to. */
#define _cleanup_json_ _cleanup_(json_object_putp)
static inline void json_object_putp(json_object **object)
{
	json_object_put(*object);
}

#endif /* EAGERSPLITD_VARLINK_MESSAGE_H */
