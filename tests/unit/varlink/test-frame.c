// SPDX-License-Identifier: GPL-2.0-or-later
/* Framing over a socket pair: messages in pieces, many at once, at the bounds. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "local-socket.h"
#include "varlink/frame.h"

struct pair {
	int ours, theirs;
	struct varlink_reader reader;
	struct varlink_writer writer;
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int fds[2];

	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	p->ours = fds[0];
	p->theirs = fds[1];
	p->reader.max = VARLINK_MESSAGE_MAX;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	varlink_reader_done(&p->reader);
	varlink_writer_done(&p->writer);
	close(p->ours);
	if (p->theirs >= 0)
		close(p->theirs);
	free(p);
	return 0;
}

static void put(struct pair *p, const char *data, size_t size)
{
	assert_int_equal(send(p->theirs, data, size, MSG_NOSIGNAL), size);
}

static void assert_next(struct pair *p, const char *expected)
{
	const char *text = NULL;
	size_t length = 0;

	assert_int_equal(varlink_reader_next(&p->reader, &text, &length), 1);
	assert_string_equal(text, expected);
	assert_int_equal(length, strlen(expected));
}

static void assert_none(struct pair *p)
{
	const char *text;
	size_t length;

	assert_false(varlink_reader_has_message(&p->reader));
	assert_int_equal(varlink_reader_next(&p->reader, &text, &length), 0);
}

static void test_many_in_one(void **state)
{
	struct pair *p = *state;

	put(p, "one\0\0three\0fo", 13);
	assert_none(p);
	assert_int_equal(varlink_reader_fill(&p->reader, p->ours), 1);
	assert_true(varlink_reader_has_message(&p->reader));
	assert_next(p, "one");
	assert_next(p, "");
	assert_next(p, "three");
	assert_none(p);
	assert_int_equal(varlink_reader_pending(&p->reader), 2);
	put(p, "ur", 3);
	assert_int_equal(varlink_reader_fill(&p->reader, p->ours), 1);
	assert_next(p, "four");
	assert_none(p);
	assert_int_equal(varlink_reader_pending(&p->reader), 0);
}

static void test_byte_at_a_time(void **state)
{
	static const char text[] = "byte at a time";
	struct pair *p = *state;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(text); i++) {
			assert_none(p);
			put(p, text + i, 1);
			assert_int_equal(varlink_reader_fill(&p->reader, p->ours), 1);
		}
		assert_next(p, text);
	}
}

static void test_nothing_and_end(void **state)
{
	struct pair *p = *state;

	assert_int_equal(varlink_reader_fill(&p->reader, p->ours), -EAGAIN);
	put(p, "half", 4);
	close(p->theirs);
	p->theirs = -1;
	assert_int_equal(varlink_reader_fill(&p->reader, p->ours), 1);
	assert_none(p);
	assert_int_equal(varlink_reader_fill(&p->reader, p->ours), 0);
	assert_int_equal(varlink_reader_pending(&p->reader), 4);
}

/* Sends size bytes and receives them as they come; stops when the reader refuses. */
static int pump(struct pair *p, const char *data, size_t size)
{
	size_t sent = 0;
	int r;

	for (;;) {
		ssize_t n = send(p->theirs, data + sent, size - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		r = varlink_reader_fill(&p->reader, p->ours);
		if (r != 1 || varlink_reader_has_message(&p->reader))
			return r;
	}
}

static void test_longest(void **state)
{
	struct pair *p = *state;
	char *data = malloc(VARLINK_MESSAGE_MAX);
	const char *text;
	size_t length;

	assert_non_null(data);
	memset(data, 'x', VARLINK_MESSAGE_MAX);
	data[VARLINK_MESSAGE_MAX - 1] = 0;
	assert_int_equal(pump(p, data, VARLINK_MESSAGE_MAX), 1);
	assert_int_equal(varlink_reader_next(&p->reader, &text, &length), 1);
	assert_int_equal(length, VARLINK_MESSAGE_MAX - 1);
	assert_memory_equal(text, data, length);

	/* The room it took is given back. */
	assert_none(p);
	assert_int_equal(p->reader.size, 0);
	put(p, "next", 5);
	assert_int_equal(varlink_reader_fill(&p->reader, p->ours), 1);
	assert_next(p, "next");
	free(data);
}

static void test_too_long(void **state)
{
	struct pair *p = *state;
	char *data = malloc(2 * VARLINK_MESSAGE_MAX);

	assert_non_null(data);
	memset(data, 'x', 2 * VARLINK_MESSAGE_MAX);
	assert_int_equal(pump(p, data, 2 * VARLINK_MESSAGE_MAX), -EMSGSIZE);
	assert_int_equal(varlink_reader_pending(&p->reader), VARLINK_MESSAGE_MAX);
	assert_int_equal(p->reader.size, VARLINK_MESSAGE_MAX);
	free(data);
}

static void test_write(void **state)
{
	struct pair *p = *state;

	assert_int_equal(varlink_writer_flush(&p->writer, p->ours), 0);
	assert_int_equal(varlink_writer_push(&p->writer, "o", 1), 0);
	assert_int_equal(varlink_writer_push(&p->writer, "ne", sizeof("ne")), 0);
	assert_int_equal(varlink_writer_push(&p->writer, "", sizeof("")), 0);
	assert_int_equal(varlink_writer_pending(&p->writer), 5);
	assert_int_equal(varlink_writer_flush(&p->writer, p->ours), 0);
	assert_int_equal(varlink_writer_pending(&p->writer), 0);
	assert_int_equal(varlink_reader_fill(&p->reader, p->theirs), 1);
	assert_next(p, "one");
	assert_next(p, "");
	assert_none(p);
}

/* More than the socket takes: what is left is sent later, in order, nothing twice. */
static void test_write_in_parts(void **state)
{
	struct pair *p = *state;
	unsigned int pushed = 0, got = 0;
	char expected[64];

	while (got < 60000) {
		const char *text;
		size_t length;
		int r;

		for (int i = 0; i < 700 && pushed < 60000; i++) {
			snprintf(expected, sizeof(expected), "message number %u", pushed++);
			assert_int_equal(
				varlink_writer_push(&p->writer, expected, strlen(expected) + 1), 0);
		}
		r = varlink_writer_flush(&p->writer, p->ours);
		assert_true(r == 0 || r == -EAGAIN);
		assert_int_equal(r == 0, varlink_writer_pending(&p->writer) == 0);
		/* The other end is the slower one. */
		for (int i = 0; i < 600; i++) {
			if (varlink_reader_next(&p->reader, &text, &length) == 0) {
				if (varlink_reader_fill(&p->reader, p->theirs) != 1)
					break;
				continue;
			}
			snprintf(expected, sizeof(expected), "message number %u", got++);
			assert_string_equal(text, expected);
		}
	}
	assert_int_equal(varlink_writer_pending(&p->writer), 0);
	assert_none(p);
}

static void test_write_to_nobody(void **state)
{
	struct pair *p = *state;

	close(p->theirs);
	p->theirs = -1;
	assert_int_equal(varlink_writer_push(&p->writer, "gone", 4), 0);
	assert_int_equal(varlink_writer_flush(&p->writer, p->ours), -EPIPE);
}

/* Sends a byte, out of the band if @flags say so, with a descriptor unless that is -1. */
static void put_urgent(int socket, char byte, int fd, int flags)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	n = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	if (n < 0 && flags & MSG_OOB && errno == EOPNOTSUPP) {
		print_message("# this kernel's Unix sockets have no bytes out of the band\n");
		skip();
	}
	assert_int_equal(n, 1);
}

/* Sends @text, of which what is upper case goes out of the band, and F is one with a descriptor. */
static void put_all(int socket, const char *text, int fd)
{
	for (; *text; text++)
		put_urgent(socket, *text, *text == 'F' ? fd : -1,
			   *text >= 'A' && *text <= 'Z' ? MSG_OOB : 0);
}

static bool is_dropped(int pipe)
{
	struct pollfd p = { .fd = pipe, .events = POLLIN };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents & POLLHUP;
}

/* What has come to be read before the one with the descriptor, which stays where it is. */
static void check_urgent(int theirs, int ours, const char *text)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	size_t before = strcspn(text, "F");
	char byte = 0;
	int fds[2], r;

	assert_int_equal(pipe(fds), 0);
	put_all(theirs, text, fds[1]);
	close(fds[1]);
	assert_int_equal(varlink_reader_init(&reader, ours, true), 0);
	while ((r = varlink_reader_fill(&reader, ours)) == 1)
		;
	assert_int_equal(r, text[before] ? -EXDEV : -EAGAIN);
	assert_int_equal(is_dropped(fds[0]), !text[before]);
	assert_int_equal(varlink_reader_pending(&reader), before);
	assert_memory_equal(reader.data, text, before);
	/* And there is something to be read, if and only if it is told of. */
	assert_int_equal(recv(ours, &byte, 1, 0), text[before] ? 1 : -1);
	assert_int_equal(byte, text[before]);
	assert_true(is_dropped(fds[0]));
	close(fds[0]);
	varlink_reader_done(&reader);
}

/*
 * A byte out of the band is one like any other, before, between and behind others: with a descriptor
 * it is not touched.
 */
static void test_out_of_band(void **state)
{
	static const char *const texts[] = {
		"F", "Fa", "aFb", "aF", "A", "Ab", "aBc", "AF", "FA", "aBF", "AB",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct pair *p = NULL;

		setup((void **)&p);
		check_urgent(p->theirs, p->ours, texts[i]);
		teardown((void **)&p);
	}
}

/* Also one that was there before the connection had been accepted. */
static void test_out_of_band_early(void **state)
{
	struct local_socket local;
	int listener = local_socket_listen(&local, 1), theirs = local_socket_connect(&local), ours;
	int fds[2];
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };

	assert_true(listener >= 0 && theirs >= 0);
	assert_int_equal(pipe(fds), 0);
	put_all(theirs, "Fa", fds[1]);
	close(fds[1]);
	ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(ours >= 0);
	assert_int_equal(varlink_reader_init(&reader, ours, true), 0);
	assert_int_equal(varlink_reader_fill(&reader, ours), -EXDEV);
	assert_false(is_dropped(fds[0]));
	close(fds[0]);
	close(ours);
	close(theirs);
	close(listener);
	varlink_reader_done(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_in_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_byte_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_and_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_to_nobody, setup, teardown),
		cmocka_unit_test(test_out_of_band),
		cmocka_unit_test(test_out_of_band_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
