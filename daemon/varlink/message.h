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

#endif /* EAGERSPLITD_VARLINK_MESSAGE_H */
