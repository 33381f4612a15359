// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What comes over the control socket, up to the decoded parameters: framing, JSON,
 * calls and replies. The first byte says in which pieces the rest arrives.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "fuzz.h"
#include "varlink/frame.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "varlink/params.h"

#define READER_MAX 4096UL

struct params {
	const char *string;
	const char *optional_string;
	struct varlink_int integer;
	struct varlink_int range;
	bool boolean;
};

static const struct varlink_field fields[] = {
	VARLINK_FIELD("boolean", VARLINK_BOOL, struct params, boolean, .optional = true),
	VARLINK_FIELD("name", VARLINK_STRING, struct params, optional_string, .optional = true),
	VARLINK_FIELD("deadlineUSec", VARLINK_INT, struct params, integer, .optional = true,
		      .max = INT64_MAX),
	VARLINK_FIELD("pid", VARLINK_INT, struct params, range, .optional = true, .min = 1,
		      .max = INT32_MAX),
	VARLINK_FIELD("vm", VARLINK_STRING, struct params, string),
	{ 0 },
};

static void check_params(json_object *parameters)
{
	struct params params = {};
	const char *field = NULL;
	int r;

	r = varlink_params_decode(parameters, fields, &params, &field);
	if (r < 0) {
		check(r == -EINVAL && field);
		return;
	}
	check(params.string);
	check(!params.integer.given || params.integer.value >= 0);
	check(!params.range.given || (params.range.value >= 1 && params.range.value <= INT32_MAX));
}

/* What has been parsed is written, and read again, as the same. */
static void check_round_trip(json_object *message)
{
	_cleanup_json_ json_object *again = NULL;
	const char *text, *reason;
	size_t length;

	text = json_object_to_json_string_length(message, JSON_C_TO_STRING_PLAIN, &length);
	check(text && strlen(text) == length);
	check(varlink_message_parse(text, length, &again, &reason) == 0);
	check(json_object_equal(message, again));
}

static bool has_double(json_object *value)
{
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member) {
			(void)key;
			if (has_double(member))
				return true;
		}
	}
	for (size_t i = 0;
	     json_object_is_type(value, json_type_array) && i < json_object_array_length(value);
	     i++)
		if (has_double(json_object_array_get_idx(value, i)))
			return true;
	return json_object_is_type(value, json_type_double);
}

static void check_message(const char *text, size_t length)
{
	_cleanup_(varlink_reply_done) struct varlink_reply reply = {};
	_cleanup_(varlink_call_done) struct varlink_call call = {};
	const char *reason = NULL, *field = NULL;
	json_object *message = NULL;
	int r;

	r = varlink_message_parse(text, length, &message, &reason);
	if (r < 0) {
		check(r == -EBADMSG && reason && !message);
		return;
	}
	/* 1e999 is read as infinity, which JSON cannot say: no field of ours is such a number. */
	if (!has_double(message))
		check_round_trip(message);

	r = varlink_reply_from_message(json_object_get(message), &reply, &field);
	check(r == 0 || (r == -EINVAL && field));
	field = NULL;
	r = varlink_call_from_message(message, &call, &field);
	check(r == 0 || (r == -EINVAL && field));
	if (r == 0) {
		check(call.method);
		check_params(call.parameters);
	}
}

/* Takes what is complete; gives how many bytes of it there were, with the NULs. */
static size_t drain(struct varlink_reader *reader)
{
	const char *text;
	size_t length, taken = 0;

	while (varlink_reader_has_message(reader)) {
		check(varlink_reader_next(reader, &text, &length) == 1);
		check(length < READER_MAX && strlen(text) == length);
		check_message(text, length);
		taken += length + 1;
	}
	check(varlink_reader_next(reader, &text, &length) == 0);
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(varlink_reader_done) struct varlink_reader reader = { .max = READER_MAX };
	size_t piece, sent = 0, taken = 0;
	int fds[2], r = 1;

	if (size < 1 || size > 16384)
		return 0;
	piece = data[0] ? data[0] : size;
	data++;
	size--;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	while (sent < size && r == 1) {
		size_t n = min_u64(piece, size - sent);

		check(send(fds[0], data + sent, n, 0) == (ssize_t)n);
		sent += n;
		while ((r = varlink_reader_fill(&reader, fds[1])) == 1) {
			taken += drain(&reader);
			check(varlink_reader_pending(&reader) <= READER_MAX);
		}
		if (r == -EAGAIN)
			r = 1;
	}
	/* All of it has arrived, or a message was too long. */
	check(r == 1 || r == -EMSGSIZE);
	if (r == 1)
		check(taken + varlink_reader_pending(&reader) == size);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
