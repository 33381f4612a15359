// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/message.h"

#include <errno.h>
#include <string.h>

#include "varlink/json.h"
#include "varlink/syntax.h"

DEFINE_CLEANUP(struct json_tokener *, json_tokener_free);

/* json-c does not count as we do: enough for all that the check of the syntax lets pass. */
#define TOKENER_DEPTH (VARLINK_DEPTH_MAX + 2)

int varlink_message_parse(const char *text, size_t length, json_object **ret,
			  const char **ret_reason)
{
	_cleanup_(json_tokener_freep) struct json_tokener *tokener = NULL;
	_cleanup_json_ json_object *object = NULL;
	const char *error;

	if (length >= INT32_MAX) {
		*ret_reason = "message too long";
		return -EBADMSG;
	}
	error = varlink_syntax_error(text, length, VARLINK_DEPTH_MAX);
	if (error) {
		*ret_reason = error;
		return -EBADMSG;
	}
	tokener = json_tokener_new_ex(TOKENER_DEPTH);
	if (!tokener)
		return -ENOMEM;
	/* A number alone does not say where it ends, an object does. */
	object = json_tokener_parse_ex(tokener, text, (int)length);
	if (!json_object_is_type(object, json_type_object)) {
		*ret_reason = "not a JSON object";
		return -EBADMSG;
	}
	*ret = TAKE_PTR(object);
	return 0;
}

/* Null is as good as absent. Returns 0 or -EINVAL. */
static int get_string(json_object *message, const char *name, const char **ret)
{
	json_object *value = json_object_object_get(message, name);

	*ret = value ? varlink_json_string(value) : NULL;
	return value && !*ret ? -EINVAL : 0;
}

static int get_bool(json_object *message, const char *name, bool *ret)
{
	json_object *value = json_object_object_get(message, name);

	*ret = false;
	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return -EINVAL;
	*ret = json_object_get_boolean(value);
	return 0;
}

static int get_parameters(json_object *message, json_object **ret)
{
	json_object *value = json_object_object_get(message, "parameters");

	*ret = value;
	return value && !json_object_is_type(value, json_type_object) ? -EINVAL : 0;
}

int varlink_call_from_message(json_object *message, struct varlink_call *ret,
			      const char **ret_field)
{
	struct varlink_call call = { .message = message };
	bool upgrade = false;

	/* Nothing can be upgraded: a caller that asks for it would go on in another protocol. */
	if (get_string(message, "method", &call.method) < 0 || !call.method)
		*ret_field = "method";
	else if (get_parameters(message, &call.parameters) < 0)
		*ret_field = "parameters";
	else if (get_bool(message, "more", &call.more) < 0)
		*ret_field = "more";
	else if (get_bool(message, "oneway", &call.oneway) < 0)
		*ret_field = "oneway";
	else if (get_bool(message, "upgrade", &upgrade) < 0 || upgrade)
		*ret_field = "upgrade";
	else {
		*ret = call;
		return 0;
	}
	varlink_call_done(&call);
	return -EINVAL;
}

int varlink_reply_from_message(json_object *message, struct varlink_reply *ret,
			       const char **ret_field)
{
	struct varlink_reply reply = { .message = message };

	if (get_string(message, "error", &reply.error) < 0)
		*ret_field = "error";
	else if (get_parameters(message, &reply.parameters) < 0)
		*ret_field = "parameters";
	else if (get_bool(message, "continues", &reply.continues) < 0)
		*ret_field = "continues";
	else {
		*ret = reply;
		return 0;
	}
	varlink_reply_done(&reply);
	return -EINVAL;
}

void varlink_call_done(struct varlink_call *call)
{
	json_object_put(call->message);
	*call = (struct varlink_call){ 0 };
}

void varlink_reply_done(struct varlink_reply *reply)
{
	json_object_put(reply->message);
	*reply = (struct varlink_reply){ 0 };
}

json_object *varlink_call_to_message(const char *method, json_object *parameters, bool more)
{
	json_object *message = json_object_new_object();
	int r;

	r = varlink_json_set_string(message, "method", method);
	r |= varlink_json_set(message, "parameters", parameters);
	if (more)
		r |= varlink_json_set_bool(message, "more", true);
	return varlink_json_finish(message, r);
}

json_object *varlink_reply_to_message(json_object *parameters, bool continues)
{
	json_object *message = json_object_new_object();
	int r;

	r = varlink_json_set(message, "parameters", parameters);
	if (continues)
		r |= varlink_json_set_bool(message, "continues", true);
	return varlink_json_finish(message, r);
}

json_object *varlink_error_to_message(const char *error, json_object *parameters)
{
	json_object *message = json_object_new_object();
	int r;

	r = varlink_json_set_string(message, "error", error);
	r |= varlink_json_set(message, "parameters", parameters);
	return varlink_json_finish(message, r);
}
