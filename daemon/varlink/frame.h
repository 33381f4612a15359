/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_FRAME_H
#define EAGERSPLITD_VARLINK_FRAME_H

/*
 * Framing of Varlink messages on a stream socket: each ends with a NUL byte.
 * Both ends use it: the daemon on non-blocking sockets, eagersplitctl on a
 * blocking one. Nothing here knows what a message says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest call that the daemon takes, its NUL included. A call of ours needs a kilobyte. */
#define VARLINK_MESSAGE_MAX (128UL * 1024UL)

/* Bytes received and not yet consumed. All zeroes but max is an empty one. */
struct varlink_reader {
	size_t max; /* the longest message taken, its NUL included */
	char *data;
	size_t size; /* allocated */
	size_t start; /* first byte not consumed */
	size_t end; /* one past the last byte received */
	size_t scanned; /* up to here there is no NUL; start <= scanned <= end */
	bool without_descriptors; /* see varlink_reader_init() */
};

/* Bytes to be sent. All zeroes is an empty one. */
struct varlink_writer {
	char *data;
	size_t size;
	size_t start;
	size_t end;
	uint64_t queued; /* in all, sent or not */
};

/*
 * What comes from the socket @fd comes from strangers: @reader, with nothing read yet, does not
 * receive bytes with which descriptors came, if @without_descriptors, and takes those that are sent
 * out of the band (MSG_OOB) for what they are in the stream. 0 or a negative errno.
 */
int varlink_reader_init(struct varlink_reader *reader, int fd, bool without_descriptors);

/*
 * Receives once, at most 64 KiB. Call it only when varlink_reader_next() has
 * returned 0. Returns 1 if bytes came, 0 at the end of the stream, -EAGAIN,
 * -EMSGSIZE if the message at hand is longer than the maximum, -ENOMEM,
 * -EXDEV: descriptors have come that are not wanted, or what recv() failed with.
 */
int varlink_reader_fill(struct varlink_reader *reader, int fd);

/* How many bytes may come next, and takes them when they have. 0 or -ENOMEM. */
size_t varlink_reader_get_room(const struct varlink_reader *reader);
int varlink_reader_add(struct varlink_reader *reader, const void *bytes, size_t size);

/*
 * Takes the next whole message. Returns 1 and the message, NUL-terminated and
 * valid until the next call for this reader; 0 if none is complete.
 */
int varlink_reader_next(struct varlink_reader *reader, const char **ret, size_t *ret_length);

/* True if a whole message is at hand. */
bool varlink_reader_has_message(struct varlink_reader *reader);

/* How many bytes of a message, complete or not, are at hand. */
size_t varlink_reader_pending(const struct varlink_reader *reader);

/* Frees what it holds: it is an empty one then. */
void varlink_reader_done(struct varlink_reader *reader);

/* Queues length bytes of a message. Returns 0 or -ENOMEM. */
int varlink_writer_push(struct varlink_writer *writer, const char *text, size_t length);

/*
 * Sends what is queued. Returns 0 when all is sent, -EAGAIN when some is left,
 * or what send() failed with.
 */
int varlink_writer_flush(struct varlink_writer *writer, int fd);

/* Bytes queued. */
size_t varlink_writer_pending(const struct varlink_writer *writer);

/* The same for a writer; what was not sent is lost. */
void varlink_writer_done(struct varlink_writer *writer);

#endif /* EAGERSPLITD_VARLINK_FRAME_H */
