// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

#define RECEIVE_SIZE (64UL * 1024UL)
/* An empty buffer larger than this is given back. */
#define KEEP_SIZE RECEIVE_SIZE

/* Doubles a buffer until it has room; never beyond what the caller bounds. */
static int grow(char **data, size_t *size, size_t wanted)
{
	size_t n = *size ? *size : 4096;
	char *p;

	if (*size >= wanted)
		return 0;
	while (n < wanted)
		n *= 2;
	p = realloc(*data, n);
	if (!p)
		return -ENOMEM;
	*data = p;
	*size = n;
	return 0;
}

/* Moves what is left to the front, and lets go of a large buffer once it is empty. */
static void compact(char **data, size_t *size, size_t *start, size_t *end)
{
	if (*start == *end) {
		*start = *end = 0;
		if (*size > KEEP_SIZE) {
			free(*data);
			*data = NULL;
			*size = 0;
		}
	} else if (*start > 0) {
		memmove(*data, *data + *start, *end - *start);
		*end -= *start;
		*start = 0;
	}
}

/*
 * What came with bytes is not even dropped, which may take as long as strangers like: it stays
 * where it is.
 */
static ssize_t receive(int fd, char *data, size_t size, bool without_descriptors)
{
	struct iovec io = { .iov_base = data, .iov_len = size };
	struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
	ssize_t n;

	if (without_descriptors) {
		do
			n = recvmsg(fd, &message, MSG_PEEK);
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		/* There is no room for any. */
		if (message.msg_flags & MSG_CTRUNC)
			return -EXDEV;
		size = (size_t)n;
	}
	do
		n = recv(fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * A byte out of the band is passed over by who only looks, unless it is in line, and thrown away by who
 * then receives, with the descriptors that it came with. One that is all there is would be told of,
 * and not be there, without end. It counts when something is read, not when it comes.
 */
int varlink_reader_init(struct varlink_reader *reader, int fd, bool without_descriptors)
{
	reader->without_descriptors = without_descriptors;
	return setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int)) < 0 ? -errno : 0;
}

size_t varlink_reader_get_room(const struct varlink_reader *reader)
{
	size_t pending = varlink_reader_pending(reader);

	/* Small messages are the rule: take no more memory than one needs. */
	return min_u64(reader->max - pending, pending < 4096 ? 4096 : RECEIVE_SIZE);
}

/* Has room for @size bytes more. */
static int make_room(struct varlink_reader *reader, size_t size)
{
	reader->scanned -= reader->start;
	compact(&reader->data, &reader->size, &reader->start, &reader->end);
	return grow(&reader->data, &reader->size, reader->end + size);
}

int varlink_reader_add(struct varlink_reader *reader, const void *bytes, size_t size)
{
	int r = make_room(reader, size);

	if (r < 0)
		return r;
	memcpy(reader->data + reader->end, bytes, size);
	reader->end += size;
	return 0;
}

int varlink_reader_fill(struct varlink_reader *reader, int fd)
{
	size_t room = varlink_reader_get_room(reader);
	ssize_t n;
	int r;

	if (!room)
		return -EMSGSIZE;
	r = make_room(reader, room);
	if (r < 0)
		return r;
	n = receive(fd, reader->data + reader->end, room, reader->without_descriptors);
	if (n < 0)
		return (int)n;
	reader->end += (size_t)n;
	return n > 0;
}

/* Where the NUL of the message at hand is, or NULL. Looks at no byte twice. */
static const char *find_end(struct varlink_reader *reader)
{
	const char *nul;

	if (reader->scanned == reader->end)
		return NULL;
	nul = memchr(reader->data + reader->scanned, 0, reader->end - reader->scanned);
	reader->scanned = nul ? (size_t)(nul - reader->data) : reader->end;
	return nul;
}

bool varlink_reader_has_message(struct varlink_reader *reader)
{
	return find_end(reader) != NULL;
}

int varlink_reader_next(struct varlink_reader *reader, const char **ret, size_t *ret_length)
{
	const char *nul = find_end(reader);

	if (!nul) {
		/* An idle connection keeps no memory of its largest message. */
		if (reader->start == reader->end) {
			compact(&reader->data, &reader->size, &reader->start, &reader->end);
			reader->scanned = reader->end;
		}
		return 0;
	}
	*ret = reader->data + reader->start;
	*ret_length = (size_t)(nul - *ret);
	reader->start += *ret_length + 1;
	reader->scanned = reader->start;
	return 1;
}

size_t varlink_reader_pending(const struct varlink_reader *reader)
{
	return reader->end - reader->start;
}

void varlink_reader_done(struct varlink_reader *reader)
{
	free(reader->data);
	*reader = (struct varlink_reader){ .max = reader->max };
}

int varlink_writer_push(struct varlink_writer *writer, const char *text, size_t length)
{
	int r;

	/* Moving the rest to the front only when room is short keeps a long queue cheap. */
	if (writer->size - writer->end < length)
		compact(&writer->data, &writer->size, &writer->start, &writer->end);
	r = grow(&writer->data, &writer->size, writer->end + length);
	if (r < 0)
		return r;
	memcpy(writer->data + writer->end, text, length);
	writer->end += length;
	writer->queued += length;
	return 0;
}

int varlink_writer_flush(struct varlink_writer *writer, int fd)
{
	while (writer->start < writer->end) {
		ssize_t n = send(fd, writer->data + writer->start, writer->end - writer->start,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		writer->start += (size_t)n;
	}
	compact(&writer->data, &writer->size, &writer->start, &writer->end);
	return 0;
}

size_t varlink_writer_pending(const struct varlink_writer *writer)
{
	return writer->end - writer->start;
}

void varlink_writer_done(struct varlink_writer *writer)
{
	free(writer->data);
	*writer = (struct varlink_writer){ 0 };
}
