// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <unistd.h>

#include "base/util.h"
#include "varlink/frame.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "varlink/peer.h"

/* Calls taken before the event loop looks at the others again. */
#define CALLS_AT_ONCE 32

enum call_state {
	CALL_NONE, /* ready for the next call */
	CALL_AT_HAND, /* in its handler, not answered yet */
	CALL_STREAMING, /* answered by a stream */
};

struct varlink_connection {
	const struct varlink_connection_ops *ops;
	void *userdata;
	int fd;
	struct ucred peer;
	sd_event_source *io;
	sd_event_source *defer; /* on when there is something to do without the socket */

	struct varlink_reader reader;
	struct varlink_writer writer;
	void *reception; /* that is under way: nothing is read meanwhile; NULL: none */
	int descriptor; /* that was received, and not taken; -1: none; VARLINK_UNWANTED */
	bool eof; /* the client sends no more */
	bool closing; /* free it once the queue is sent */
	bool lost; /* free it now */
	bool busy; /* the queue went above the mark and has not come below since */

	enum call_state state;
	bool oneway; /* the call at hand wants no answer */
	void *stats; /* of its method, if there is one */
	const struct varlink_stream_ops *stream;
	void *stream_userdata;
};

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_defer(sd_event_source *source, void *userdata);

int varlink_connection_new(struct varlink_connection **ret, sd_event *event, int fd,
			   const struct ucred *peer, const struct varlink_connection_ops *ops,
			   void *userdata)
{
	struct varlink_connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		ops->close(peer->uid, fd, userdata);
		return -ENOMEM;
	}
	c->ops = ops;
	c->userdata = userdata;
	c->fd = fd;
	c->peer = *peer;
	c->reader.max = VARLINK_MESSAGE_MAX;
	c->descriptor = -1;

	r = varlink_reader_init(&c->reader, fd, ops->receive);
	if (r >= 0)
		r = sd_event_add_io(event, &c->io, fd, EPOLLIN, on_io, c);
	if (r >= 0)
		r = sd_event_add_defer(event, &c->defer, on_defer, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->defer, SD_EVENT_OFF);
	if (r < 0) {
		varlink_connection_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* Nobody has asked for it. */
static void discard_descriptor(struct varlink_connection *c)
{
	int fd = take_fd(&c->descriptor);

	if (fd >= 0)
		c->ops->close(c->peer.uid, fd, c->userdata);
}

struct varlink_connection *varlink_connection_free(struct varlink_connection *c)
{
	if (!c)
		return NULL;
	if (c->state == CALL_STREAMING && c->stream)
		c->stream->closed(c, c->stream_userdata);
	c->ops->freed(c, c->userdata);
	if (!c->lost)
		(void)varlink_writer_flush(&c->writer, c->fd);
	sd_event_source_disable_unref(c->defer);
	sd_event_source_disable_unref(c->io);
	if (c->reception)
		c->ops->forget(c->reception);
	discard_descriptor(c);
	varlink_reader_done(&c->reader);
	varlink_writer_done(&c->writer);
	c->ops->close(c->peer.uid, c->fd, c->userdata);
	free(c);
	return NULL;
}

bool varlink_connection_has_descriptor(const struct varlink_connection *c)
{
	return c->descriptor >= 0;
}

int varlink_connection_take_descriptor(struct varlink_connection *c)
{
	return take_fd(&c->descriptor);
}

const struct ucred *varlink_connection_peer(const struct varlink_connection *c)
{
	return &c->peer;
}

bool varlink_connection_in_group(const struct varlink_connection *c, gid_t group)
{
	return varlink_peer_in_group(c->fd, group) > 0;
}

bool varlink_connection_is_busy(const struct varlink_connection *c)
{
	return c->busy;
}

void varlink_connection_set_stats(struct varlink_connection *c, void *stats)
{
	c->stats = stats;
}

bool varlink_connection_is_oneway(const struct varlink_connection *c)
{
	return c->oneway;
}

/* Comes back from the event loop: nobody up the stack may hold a connection that is freed. */
static void wake(struct varlink_connection *c)
{
	sd_event_source *source;

	if (sd_event_source_get_enabled(c->defer, NULL) > 0)
		return;
	/*
	 * One that has run before counts as having waited since it was made, and so would come
	 * before all that clients send.
	 */
	if (sd_event_add_defer(sd_event_source_get_event(c->io), &source, on_defer, c) < 0) {
		(void)sd_event_source_set_enabled(c->defer, SD_EVENT_ONESHOT);
		return;
	}
	sd_event_source_disable_unref(c->defer);
	c->defer = source;
}

/* What it had to send is nobody's any more; its reader may be in use up the stack. */
static void lose(struct varlink_connection *c)
{
	c->lost = true;
	varlink_writer_done(&c->writer);
	wake(c);
}

static void update_events(struct varlink_connection *c)
{
	uint32_t events = 0;

	if (c->state == CALL_NONE && !c->eof && !c->closing && !c->busy)
		events |= EPOLLIN;
	if (varlink_writer_pending(&c->writer) > 0)
		events |= EPOLLOUT;
	if (sd_event_source_set_io_events(c->io, events) < 0)
		lose(c);
}

/* Sends what goes now. A lost connection is left to the event loop to free. */
static void flush(struct varlink_connection *c)
{
	int r = varlink_writer_flush(&c->writer, c->fd);

	/* Clients come and go: nothing to log. */
	if (r < 0 && r != -EAGAIN) {
		lose(c);
		return;
	}
	if (varlink_writer_pending(&c->writer) >= VARLINK_QUEUE_MARK) {
		c->busy = true;
	} else if (c->busy) {
		c->busy = false;
		wake(c);
	}
}

static const char *message_to_text(json_object *message, size_t *ret_length)
{
	if (!message)
		return NULL;
	return json_object_to_json_string_length(
		message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_length);
}

/* With its NUL. */
static int queue_text(struct varlink_connection *c, const char *text, size_t length)
{
	return text ? varlink_writer_push(&c->writer, text, length + 1) : -ENOMEM;
}

static int queue_message(struct varlink_connection *c, json_object *message)
{
	size_t length = 0;
	const char *text = message_to_text(message, &length);

	return queue_text(c, text, length);
}

/* @r: what queueing it gave. */
static int send_queued(struct varlink_connection *c, int r)
{
	if (r < 0) {
		c->ops->log(c->userdata, LOG_ERR, &c->peer, "Closing a connection, %s",
			    strerror(-r));
		lose(c);
		return r;
	}

	flush(c);
	if (!c->lost && c->state == CALL_STREAMING &&
	    varlink_writer_pending(&c->writer) > VARLINK_QUEUE_MAX) {
		c->ops->log(c->userdata, LOG_WARNING, &c->peer,
			    "Closing a connection that leaves its replies unread");
		c->ops->count_dropped(c->userdata);
		lose(c);
	}
	c->ops->grown(c, c->userdata);
	update_events(c);
	return c->lost ? -ENOTCONN : 0;
}

/*
 * Sends a message, and takes it; NULL says that there was no memory to build it.
 * An answer that cannot be given would put all later ones in the wrong place, so
 * the connection goes with it.
 */
static int send_message(struct varlink_connection *c, json_object *message)
{
	int r = queue_message(c, message);

	json_object_put(message);
	return send_queued(c, r);
}

/* The call is answered: on to the next one, from the event loop. */
static void end_call(struct varlink_connection *c)
{
	if (c->state == CALL_STREAMING)
		wake(c);
	c->state = CALL_NONE;
	c->stats = NULL;
	c->stream = NULL;
	c->stream_userdata = NULL;
}

/* Sends the last answer to the call at hand, and takes it. */
static int answer(struct varlink_connection *c, json_object *message)
{
	int r = 0;

	if (c->lost || c->oneway)
		json_object_put(message);
	else
		r = send_message(c, message);
	end_call(c);
	return c->lost && r == 0 ? -ENOTCONN : r;
}

int varlink_connection_reply(struct varlink_connection *c, json_object *parameters)
{
	return answer(c, varlink_reply_to_message(parameters, false));
}

int varlink_connection_error(struct varlink_connection *c, const char *error,
			     json_object *parameters)
{
	c->ops->count_error(c->stats, error, c->userdata);
	return answer(c, varlink_error_to_message(error, parameters));
}

int varlink_connection_error_string(struct varlink_connection *c, const char *error,
				    const char *name, const char *value)
{
	json_object *parameters = json_object_new_object();

	if (varlink_json_set_string(parameters, name, value) < 0) {
		json_object_put(parameters);
		return answer(c, NULL);
	}
	return varlink_connection_error(c, error, parameters);
}

int varlink_connection_error_parameter(struct varlink_connection *c, const char *field)
{
	return varlink_connection_error_string(c, VARLINK_ERROR_INVALID_PARAMETER, "parameter",
					       field);
}

void varlink_connection_stream(struct varlink_connection *c, const struct varlink_stream_ops *ops,
			       void *userdata)
{
	c->state = CALL_STREAMING;
	c->stream = ops;
	c->stream_userdata = userdata;
	update_events(c);
}

int varlink_connection_notify(struct varlink_connection *c, json_object *parameters)
{
	if (c->lost) {
		json_object_put(parameters);
		return -ENOTCONN;
	}
	return send_message(c, varlink_reply_to_message(parameters, true));
}

char *varlink_notification_to_text(json_object *parameters, size_t *ret_length)
{
	json_object *message = varlink_reply_to_message(parameters, true);
	const char *text = message_to_text(message, ret_length);
	char *copy = text ? strdup(text) : NULL;

	json_object_put(message);
	return copy;
}

int varlink_connection_notify_text(struct varlink_connection *c, const char *text, size_t length)
{
	return c->lost ? -ENOTCONN : send_queued(c, queue_text(c, text, length));
}

int varlink_connection_send_part(struct varlink_connection *c, const char *text, size_t length,
				 bool last)
{
	int r = -ENOTCONN;

	if (!c->lost && !c->oneway)
		r = send_queued(c, varlink_writer_push(&c->writer, text, length));
	if (last)
		end_call(c);
	return r;
}

void varlink_connection_give_up(struct varlink_connection *c)
{
	(void)send_queued(c, -ENOMEM);
}

void varlink_connection_again(struct varlink_connection *c)
{
	wake(c);
}

size_t varlink_connection_get_bytes(const struct varlink_connection *c)
{
	return c->lost ? 0 : c->reader.size + c->writer.size;
}

void varlink_connection_drop(struct varlink_connection *c)
{
	lose(c);
}

int varlink_connection_deny(struct varlink_connection *c, const char *method)
{
	c->ops->log(c->userdata, LOG_NOTICE, &c->peer, "%s refused", method);
	return varlink_connection_error(c, VARLINK_ERROR_PERMISSION_DENIED,
					json_object_new_object());
}

/* What cannot be a call ends the connection: where the next call starts is anybody's guess. */
static void refuse(struct varlink_connection *c, const char *reason)
{
	c->ops->log(c->userdata, LOG_WARNING, &c->peer, "Closing a connection, %s", reason);
	c->ops->count_dropped(c->userdata);
	c->oneway = false;
	(void)varlink_connection_error_parameter(c, "message");
	c->closing = true;
}

static void handle_call(struct varlink_connection *c, struct varlink_call *call)
{
	c->state = CALL_AT_HAND;
	c->oneway = call->oneway;
	/* Nobody would get the stream. */
	call->more = call->more && !call->oneway;
	c->ops->call(c, call, c->userdata);

	if (c->state != CALL_AT_HAND)
		return;
	c->ops->log(c->userdata, LOG_ERR, &c->peer, "Closing a connection, no answer to %s",
		    call->method);
	lose(c);
}

static void handle_message(struct varlink_connection *c, const char *text, size_t length)
{
	_cleanup_(varlink_call_done) struct varlink_call call = { 0 };
	json_object *message = NULL;
	const char *why = NULL;
	int r;

	r = varlink_message_parse(text, length, &message, &why);
	if (r == -EBADMSG)
		return refuse(c, why);
	if (r < 0)
		return lose(c);
	r = varlink_call_from_message(message, &call, &why);
	if (r < 0) {
		c->oneway = false;
		(void)varlink_connection_error_parameter(c, why);
		return;
	}
	handle_call(c, &call);
}

/* Takes the calls that are at hand, as many as the bounds allow. */
static void process(struct varlink_connection *c)
{
	uint64_t queued = c->writer.queued;

	for (unsigned int n = 0; c->state == CALL_NONE && !c->lost && !c->closing && !c->busy;
	     n++) {
		const char *text;
		size_t length;

		if (n == CALLS_AT_ONCE || c->writer.queued - queued >= VARLINK_TURN_MAX) {
			if (varlink_reader_has_message(&c->reader))
				wake(c);
			return;
		}
		if (varlink_reader_next(&c->reader, &text, &length) == 0)
			return;
		handle_message(c, text, length);
	}
}

/* With what came along. */
static void receive_descriptors(struct varlink_connection *c)
{
	c->reception = c->ops->receive(c, c->fd, varlink_reader_get_room(&c->reader), c->userdata);
	/* If it is at its end, that would be told of all the time. */
	if (!c->reception || sd_event_source_set_enabled(c->io, SD_EVENT_OFF) < 0)
		lose(c);
}

/* @r: what receiving has come to, see varlink_reader_fill(). */
static void received(struct varlink_connection *c, int r)
{
	c->ops->grown(c, c->userdata);
	if (r == -EXDEV) {
		receive_descriptors(c);
	} else if (r == 0) {
		if (varlink_reader_pending(&c->reader) > 0)
			c->ops->log(c->userdata, LOG_INFO, &c->peer,
				    "Left in the middle of a message");
		c->eof = true;
	} else if (r == -EMSGSIZE) {
		refuse(c, "its message is longer than 128 KiB");
	} else if (r < 0 && r != -EAGAIN) {
		lose(c);
	}
}

static void receive(struct varlink_connection *c)
{
	if (c->reception || c->state != CALL_NONE || c->eof || c->closing || c->busy ||
	    varlink_reader_has_message(&c->reader))
		return;
	received(c, varlink_reader_fill(&c->reader, c->fd));
}

/* True once nothing is left to be done for this client. */
static bool is_finished(struct varlink_connection *c)
{
	if (c->lost)
		return true;
	if (c->reception || varlink_writer_pending(&c->writer) > 0)
		return false;
	if (c->closing)
		return true;
	return c->eof && c->state == CALL_NONE && !varlink_reader_has_message(&c->reader);
}

static int run(struct varlink_connection *c)
{
	process(c);
	/* All that has come with it has been dealt with. */
	if (c->state == CALL_NONE && varlink_reader_pending(&c->reader) == 0)
		discard_descriptor(c);
	if (is_finished(c)) {
		varlink_connection_free(c);
		return 0;
	}
	update_events(c);
	return 0;
}

void varlink_connection_received(struct varlink_connection *c, ssize_t result, const void *bytes,
				 int descriptor)
{
	int r = result > 0 ? varlink_reader_add(&c->reader, bytes, (size_t)result) : 0;

	c->reception = NULL;
	/* Of one that came earlier nothing has become. */
	discard_descriptor(c);
	c->descriptor = descriptor;
	if (sd_event_source_set_enabled(c->io, SD_EVENT_ON) < 0)
		c->lost = true;
	received(c, r < 0 ? r : result > 0 ? 1 : (int)result);
	(void)run(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct varlink_connection *c = userdata;

	if (revents & EPOLLOUT)
		flush(c);
	/*
	 * Gone altogether, not only done with sending. Calls that are still to be
	 * read are executed, but a stream has nobody left to go to.
	 */
	if (revents & (EPOLLHUP | EPOLLERR) && c->state == CALL_STREAMING) {
		/* But for one that wants no answer, behind which there may be more. */
		if (c->oneway)
			return sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
		c->lost = true;
	}
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
	return run(c);
}

static int on_defer(sd_event_source *source, void *userdata)
{
	struct varlink_connection *c = userdata;

	if (!c->lost && !c->busy && c->state == CALL_STREAMING && c->stream)
		c->stream->drained(c, c->stream_userdata);
	/* It may have been off while a call that wants no answer was under way. */
	if (c->state == CALL_NONE && !c->reception &&
	    sd_event_source_set_enabled(c->io, SD_EVENT_ON) < 0)
		c->lost = true;
	return run(c);
}
