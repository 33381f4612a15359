// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/message.h"

#include <errno.h>
#include <string.h>

DEFINE_CLEANUP(struct json_tokener *, json_tokener_free);

/* Bytes of the UTF-8 sequence at s that are well formed, 0 if it is not. */
static size_t utf8_sequence(const unsigned char *s, size_t length)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least; /* what is less has a shorter form */
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	for (size_t n = 0; n < ARRAY_SIZE(forms); n++) {
		uint32_t c = s[0] & (unsigned char)~forms[n].mask;

		if ((s[0] & forms[n].mask) != forms[n].lead || n >= length)
			continue;
		for (size_t i = 1; i <= n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		return c < forms[n].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0
											  : n + 1;
	}
	return 0;
}

/* json-c's own check lets longer forms and surrogates pass. */
static bool is_utf8(const char *text, size_t length)
{
	for (size_t i = 0, n; i < length; i += n) {
		n = utf8_sequence((const unsigned char *)text + i, length - i);
		if (n == 0)
			return false;
	}
	return true;
}

int varlink_message_parse(const char *text, size_t length, json_object **ret,
			  const char **ret_reason)
{
	_cleanup_(json_tokener_freep) struct json_tokener *tokener = NULL;
	_cleanup_json_ json_object *object = NULL;
	enum json_tokener_error error;

	if (length >= INT32_MAX) {
		*ret_reason = "message too long";
		return -EBADMSG;
	}
	if (!is_utf8(text, length)) {
		*ret_reason = "not UTF-8";
		return -EBADMSG;
	}
	tokener = json_tokener_new_ex(VARLINK_DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);

	/* With its NUL, so that json-c knows that nothing follows. */
	object = json_tokener_parse_ex(tokener, text, (int)length + 1);
	error = json_tokener_get_error(tokener);
	if (error != json_tokener_success) {
		*ret_reason = json_tokener_error_desc(error);
		return -EBADMSG;
	}
	if (!json_object_is_type(object, json_type_object)) {
		*ret_reason = "not a JSON object";
		return -EBADMSG;
	}
	*ret = TAKE_PTR(object);
	return 0;
}

const char *varlink_json_string(json_object *value)
{
	const char *s;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	s = json_object_get_string(value);
	return strlen(s) == (size_t)json_object_get_string_len(value) ? s : NULL;
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

int varlink_json_set(json_object *object, const char *name, json_object *value)
{
	if (object && value && json_object_object_add(object, name, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

int varlink_json_set_u64(json_object *object, const char *name, uint64_t value)
{
	return varlink_json_set(object, name,
				json_object_new_int64((int64_t)min_u64(value, INT64_MAX)));
}

json_object *varlink_json_finish(json_object *object, int r)
{
	if (r == 0)
		return object;
	json_object_put(object);
	return NULL;
}

json_object *varlink_call_to_message(const char *method, json_object *parameters, bool more)
{
	json_object *message = json_object_new_object();
	int r;

	r = varlink_json_set(message, "method", json_object_new_string(method));
	r |= varlink_json_set(message, "parameters", parameters);
	if (more)
		r |= varlink_json_set(message, "more", json_object_new_boolean(true));
	return varlink_json_finish(message, r);
}

json_object *varlink_reply_to_message(json_object *parameters, bool continues)
{
	json_object *message = json_object_new_object();
	int r;

	r = varlink_json_set(message, "parameters", parameters);
	if (continues)
		r |= varlink_json_set(message, "continues", json_object_new_boolean(true));
	return varlink_json_finish(message, r);
}

json_object *varlink_error_to_message(const char *error, json_object *parameters)
{
	json_object *message = json_object_new_object();
	int r;

	r = varlink_json_set(message, "error", json_object_new_string(error));
	r |= varlink_json_set(message, "parameters", parameters);
	return varlink_json_finish(message, r);
}
