/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_CONNECTION_H
#define EAGERSPLITD_VARLINK_CONNECTION_H

/*
 * One client's connection. Its calls are answered one after the other: while one
 * is being answered by a stream, or while the client leaves its replies unread,
 * nothing more is read from it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "base/util.h"

struct varlink_call;
struct varlink_connection;

/* No further call is taken while this many bytes of replies are unsent. */
#define VARLINK_QUEUE_MARK (64UL * 1024UL)
/* Nor, before the event loop has looked at the others again, after so many bytes of replies. */
#define VARLINK_TURN_MAX (32UL * 1024UL)
/* A client that leaves this many bytes of a stream unread loses the connection. */
#define VARLINK_QUEUE_MAX (1024UL * 1024UL)

/* What a connection tells its owner, and asks of it. */
struct varlink_connection_ops {
	/* Answers the call, or has it answered by a stream; otherwise the connection is lost. */
	void (*call)(struct varlink_connection *connection, const struct varlink_call *call,
		     void *userdata);
	/* Counts an error reply. @stats: see varlink_connection_set_stats(); NULL: none were set */
	void (*count_error)(void *stats, const char *error, void *userdata);
	/* Counts this as a connection that is closed for what its client did. */
	void (*count_dropped)(void *userdata);
	/* Its messages may take more memory now. Whichever has too much of it may be dropped. */
	void (*grown)(struct varlink_connection *connection, void *userdata);
	/*
	 * Receives up to @size bytes from its socket, with which descriptors came, and calls
	 * varlink_connection_received() later. What forget() is called with if that is to be
	 * called no more, or NULL. NULL: descriptors are dropped as they are received, which may
	 * block.
	 */
	void *(*receive)(struct varlink_connection *connection, int fd, size_t size,
			 void *userdata);
	void (*forget)(void *reception);
	/* Takes the client's socket, or descriptor. Closing it may block. @uid: the client's */
	void (*close)(uid_t uid, int fd, void *userdata);
	/*
	 * It is about to be freed, maybe without having been returned, if it could not be made.
	 * Only forget() and close() are called after that.
	 */
	void (*freed)(struct varlink_connection *connection, void *userdata);
	/* Logs what the client, @peer, did. @userdata comes first, as the values come last. */
	void (*log)(void *userdata, int priority, const struct ucred *peer, const char *format, ...)
		_printf_(4, 5);
};

/* What the answerer of a stream is told. */
struct varlink_stream_ops {
	/* The queue has gone below the mark again, or varlink_connection_again() was called. */
	void (*drained)(struct varlink_connection *connection, void *userdata);
	/* The connection is about to be freed: forget it. */
	void (*closed)(struct varlink_connection *connection, void *userdata);
};

/*
 * Takes fd, a connected non-blocking socket, also on error. The connection belongs to
 * its owner, and frees itself when its client is gone. Ops and userdata, the owner's,
 * must outlive it. Returns 0 or a negative errno.
 */
int varlink_connection_new(struct varlink_connection **ret, sd_event *event, int fd,
			   const struct ucred *peer, const struct varlink_connection_ops *ops,
			   void *userdata);

/* Tries to send what is queued, once, and closes. Returns NULL. */
struct varlink_connection *varlink_connection_free(struct varlink_connection *connection);

/* Who connected. */
const struct ucred *varlink_connection_peer(const struct varlink_connection *connection);

/* Whether who connected was in that group; false also if the kernel does not tell. */
bool varlink_connection_in_group(const struct varlink_connection *connection, gid_t group);

/*
 * Answers the call at hand and ends it. Takes parameters, an object; NULL
 * says that there was no memory for it.
 * All answers return 0, -ENOMEM, or -ENOTCONN when the client is gone. After an
 * error the connection is lost, and freed as soon as the event loop runs again.
 */
int varlink_connection_reply(struct varlink_connection *connection, json_object *parameters);
int varlink_connection_error(struct varlink_connection *connection, const char *error,
			     json_object *parameters);

/* The error that has a single string as its parameter. */
int varlink_connection_error_string(struct varlink_connection *connection, const char *error,
				    const char *name, const char *value);

/* The PermissionDenied error, for a call of that method, which is logged. */
int varlink_connection_deny(struct varlink_connection *connection, const char *method);

/* A descriptor was sent, but is none that is wanted. */
#define VARLINK_UNWANTED (-2)

/*
 * The descriptor that was sent with the call at hand, or with one that came together with
 * that; the caller's from now on. -1: none, or VARLINK_UNWANTED.
 */
int varlink_connection_take_descriptor(struct varlink_connection *connection);

/* Whether there is one to take. */
bool varlink_connection_has_descriptor(const struct varlink_connection *connection);

/* The InvalidParameter error for this field. */
int varlink_connection_error_parameter(struct varlink_connection *connection, const char *field);

/* Lets the handler return without an answer: the call at hand is answered by a stream. */
void varlink_connection_stream(struct varlink_connection *connection,
			       const struct varlink_stream_ops *ops, void *userdata);

/* True if the client wants no answer to the call at hand ("oneway"). */
bool varlink_connection_is_oneway(const struct varlink_connection *connection);

/* An answer of a stream that has more to come. Takes parameters, as above. */
int varlink_connection_notify(struct varlink_connection *connection, json_object *parameters);

/*
 * The same for any number of streams, built once: the text with its length, which the caller frees.
 * Takes parameters. NULL: no memory, which varlink_connection_notify_text() is told as well.
 */
char *varlink_notification_to_text(json_object *parameters, size_t *ret_length);
int varlink_connection_notify_text(struct varlink_connection *connection, const char *text,
				   size_t length);

/*
 * A piece of the only answer of a stream, as text, which is not looked at; @last: the one that ends
 * it, and the call.
 */
int varlink_connection_send_part(struct varlink_connection *connection, const char *text,
				 size_t length, bool last);

/* There is no memory to go on with that answer: the connection is lost. */
void varlink_connection_give_up(struct varlink_connection *connection);

/* Has drained() called from the event loop, once the others have been looked at. */
void varlink_connection_again(struct varlink_connection *connection);

/* Memory that its messages take, in either direction. */
size_t varlink_connection_get_bytes(const struct varlink_connection *connection);

/*
 * For who receives for it: @result bytes, 0 at the end of the stream, or a negative
 * errno; @descriptor, taken, -1: none, or VARLINK_UNWANTED.
 */
void varlink_connection_received(struct varlink_connection *connection, ssize_t result,
				 const void *bytes, int descriptor);

/* For its owner: ends it, from the event loop. */
void varlink_connection_drop(struct varlink_connection *connection);

/* For its owner: what count_error() is told of the call at hand, and of no other. */
void varlink_connection_set_stats(struct varlink_connection *connection, void *stats);

/* True while the queue is above the mark: what can wait or be left out should. */
bool varlink_connection_is_busy(const struct varlink_connection *connection);

#endif /* EAGERSPLITD_VARLINK_CONNECTION_H */
