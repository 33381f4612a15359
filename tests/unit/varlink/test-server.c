// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The server with an interface of its own: order, bounds, clients that behave badly.
 * Client and server take turns in one thread: the server runs until it is idle.
 */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/util.h"
#include "local-socket.h"
#include "varlink/connection.h"
#include "varlink/frame.h"
#include "varlink/json.h"
#include "varlink/server.h"
#include "varlink/service.h"

struct fixture {
	sd_event *event;
	struct varlink_server *server;
	struct local_socket socket;
	bool may_change;
	struct varlink_connection *stream; /* the one that Stream was called on */
	unsigned int drained, closed, calls;
	struct varlink_connection
		*piles[VARLINK_CONNECTIONS_UID_MAX]; /* those that Pile was called on */
	size_t n_piles;
};

struct echo_params {
	const char *text;
};

static const struct varlink_field echo_fields[] = {
	VARLINK_FIELD("text", VARLINK_STRING, struct echo_params, text),
	{ 0 },
};

static json_object *text_parameters(const char *text)
{
	json_object *object = json_object_new_object();

	assert_int_equal(varlink_json_set(object, "text", json_object_new_string(text)), 0);
	return object;
}

static int echo(struct varlink_connection *connection, const void *params, void *userdata)
{
	const struct echo_params *p = params;
	struct fixture *f = userdata;

	f->calls++;
	return varlink_connection_reply(connection, text_parameters(p->text));
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
	struct fixture *f = userdata;

	assert_ptr_equal(f->stream, connection);
	f->drained++;
}

static void on_closed(struct varlink_connection *connection, void *userdata)
{
	struct fixture *f = userdata;

	assert_ptr_equal(f->stream, connection);
	f->stream = NULL;
	f->closed++;
}

static const struct varlink_stream_ops stream_ops = { on_drained, on_closed };

static int stream(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	f->stream = connection;
	varlink_connection_stream(connection, &stream_ops, f);
	return 0;
}

static void on_pile(struct varlink_connection *connection, void *userdata)
{
}

static const struct varlink_stream_ops pile_ops = { on_pile, on_pile };

static int pile(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	f->piles[f->n_piles++] = connection;
	varlink_connection_stream(connection, &pile_ops, f);
	return 0;
}

static int fail_handler(struct varlink_connection *connection, const void *params, void *userdata)
{
	return -EIO;
}

static const struct varlink_method methods[] = {
	{ "Echo", 0, echo_fields, echo },
	{ "Change", VARLINK_METHOD_CHANGES, echo_fields, echo },
	{ "Stream", VARLINK_METHOD_MORE, NULL, stream },
	{ "Pile", VARLINK_METHOD_MORE, NULL, pile },
	{ "Fail", 0, NULL, fail_handler },
	{ "Later", 0, NULL, NULL },
	{ 0 },
};

static const struct varlink_interface interface = {
	.name = "org.example.Test",
	.description = "interface org.example.Test\n",
	.methods = methods,
};

static const struct varlink_interface *const interfaces[] = { &interface,
							      &varlink_service_interface, NULL };

static bool may_change(const struct varlink_connection *connection, void *userdata)
{
	const struct ucred *peer = varlink_connection_peer(connection);
	struct fixture *f = userdata;

	assert_int_equal(peer->uid, getuid());
	assert_int_equal(peer->pid, getpid());
	return f->may_change;
}

static void log_text(int priority, const struct ucred *peer, const char *text, void *userdata)
{
	fprintf(stderr, "%s\n", text);
}

static const struct varlink_server_ops server_ops = {
	.may_change = may_change,
	.log = log_text,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	assert_non_null(f);
	assert_int_equal(sd_event_new(&f->event), 0);
	fd = local_socket_listen(&f->socket, 1024);
	assert_true(fd >= 0);
	assert_int_equal(varlink_server_new(&f->server, f->event, fd, interfaces, &server_ops, f),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	varlink_server_free(f->server);
	assert_null(f->stream);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void run(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		;
}

static int connect_client(struct fixture *f)
{
	int fd = local_socket_connect(&f->socket);

	assert_true(fd >= 0);
	run(f);
	return fd;
}

/* Sends what goes; with its NUL. Returns how much did. */
static size_t put(int fd, const char *text)
{
	ssize_t n = send(fd, text, strlen(text) + 1, MSG_NOSIGNAL);

	return n > 0 ? (size_t)n : 0;
}

static void assert_reply(struct varlink_reader *reader, int fd, const char *expected)
{
	const char *text;
	size_t length;

	while (varlink_reader_next(reader, &text, &length) == 0)
		assert_int_equal(varlink_reader_fill(reader, fd), 1);
	assert_string_equal(text, expected);
}

/* One call on a connection of its own, and what comes back. */
static void assert_answer(struct fixture *f, const char *call, const char *expected)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	int fd = connect_client(f);

	assert_int_equal(put(fd, call), strlen(call) + 1);
	run(f);
	assert_reply(&reader, fd, expected);
	assert_int_equal(varlink_reader_fill(&reader, fd), -EAGAIN);
	varlink_reader_done(&reader);
	close(fd);
	run(f);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;

#define SERVICE_ERROR(error, name, value) \
	"{\"error\":\"org.varlink.service." error "\",\"parameters\":{\"" name "\":\"" value "\"}}"
	assert_answer(
		f,
		"{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"hi\",\"x\":1}}",
		"{\"parameters\":{\"text\":\"hi\"}}");
	assert_answer(f, "{\"method\":\"org.example.Test.Echo\"}",
		      SERVICE_ERROR("InvalidParameter", "parameter", "text"));
	assert_answer(f, "{\"method\":\"org.example.Test.echo\"}",
		      SERVICE_ERROR("MethodNotFound", "method", "org.example.Test.echo"));
	assert_answer(f, "{\"method\":\"org.example.Test.\"}",
		      SERVICE_ERROR("MethodNotFound", "method", "org.example.Test."));
	assert_answer(f, "{\"method\":\"org.example.Test.Later\"}",
		      SERVICE_ERROR("MethodNotImplemented", "method", "org.example.Test.Later"));
	assert_answer(f, "{\"method\":\"org.example.Tes.Echo\"}",
		      SERVICE_ERROR("InterfaceNotFound", "interface", "org.example.Tes"));
	assert_answer(f, "{\"method\":\".Echo\"}",
		      SERVICE_ERROR("InterfaceNotFound", "interface", ""));
	assert_answer(f, "{\"method\":\"Echo\"}",
		      SERVICE_ERROR("InvalidParameter", "parameter", "method"));
	assert_answer(f, "{\"method\":7}",
		      SERVICE_ERROR("InvalidParameter", "parameter", "method"));
	assert_answer(f, "{\"method\":\"org.example.Test.Stream\"}",
		      "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
	assert_answer(f, "{\"method\":\"org.example.Test.Change\",\"parameters\":{\"text\":\"\"}}",
		      "{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}");
	f->may_change = true;
	assert_answer(f, "{\"method\":\"org.example.Test.Change\",\"parameters\":{\"text\":\"\"}}",
		      "{\"parameters\":{\"text\":\"\"}}");
	assert_int_equal(varlink_server_n_connections(f->server), 0);
}

static void test_introspection(void **state)
{
	struct fixture *f = *state;

	assert_answer(f,
		      "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		      "\"parameters\":{\"interface\":\"org.example.Test\"}}",
		      "{\"parameters\":{\"description\":\"interface org.example.Test\\n\"}}");
	assert_answer(f,
		      "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		      "\"parameters\":{\"interface\":\"org.example.Other\"}}",
		      SERVICE_ERROR("InterfaceNotFound", "interface", "org.example.Other"));
	assert_answer(f, "{\"method\":\"org.varlink.service.GetInfo\"}",
		      "{\"parameters\":{\"vendor\":\"" PACKAGE_NAME "\",\"product\":\"" PACKAGE_NAME
		      "\",\"version\":\"" PACKAGE_VERSION "\",\"url\":\"" PACKAGE_URL
		      "\",\"interfaces\":[\"org.example.Test\",\"org.varlink.service\"]}}");
}

/* More calls than are taken at once, all sent before any answer is read, and half closed. */
static void test_pipeline(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	struct fixture *f = *state;
	int fd = connect_client(f);
	char text[160];

	for (int i = 0; i < 100; i++) {
		snprintf(
			text, sizeof(text),
			"{\"method\":\"org.example.Test.Echo\",%s\"parameters\":{\"text\":\"%d\"}}",
			i % 3 == 2 ? "\"oneway\":true," : "", i);
		assert_int_equal(put(fd, text), strlen(text) + 1);
	}
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	run(f);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "{\"parameters\":{\"text\":\"%d\"}}", i);
		if (i % 3 != 2)
			assert_reply(&reader, fd, text);
	}
	assert_int_equal(varlink_reader_fill(&reader, fd), 0);
	assert_int_equal(f->calls, 100);
	assert_int_equal(varlink_server_n_connections(f->server), 0);
	varlink_reader_done(&reader);
	close(fd);
}

/* Calls of a client that does not wait for the answers, nor wants any, are executed. */
static void test_fire_and_forget(void **state)
{
	static const char text[] = "{\"method\":\"org.example.Test.Echo\",\"oneway\":true,"
				   "\"parameters\":{\"text\":\"\"}}";
	struct fixture *f = *state;
	int fd = connect_client(f);

	for (int i = 0; i < 100; i++)
		assert_int_equal(put(fd, text), sizeof(text));
	close(fd);
	run(f);
	assert_int_equal(f->calls, 100);
	assert_int_equal(varlink_server_n_connections(f->server), 0);
}

static void test_stream(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	struct fixture *f = *state;
	int fd = connect_client(f);

	put(fd, "{\"method\":\"org.example.Test.Stream\",\"more\":true}");
	put(fd, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"after\"}}");
	run(f);
	assert_non_null(f->stream);
	for (int i = 0; i < 3; i++)
		assert_int_equal(varlink_connection_notify(f->stream, text_parameters("more")), 0);
	run(f);
	assert_int_equal(f->calls, 0);
	assert_int_equal(varlink_connection_reply(f->stream, text_parameters("last")), 0);
	f->stream = NULL;
	run(f);
	for (int i = 0; i < 3; i++)
		assert_reply(&reader, fd,
			     "{\"parameters\":{\"text\":\"more\"},\"continues\":true}");
	assert_reply(&reader, fd, "{\"parameters\":{\"text\":\"last\"}}");
	assert_reply(&reader, fd, "{\"parameters\":{\"text\":\"after\"}}");
	assert_int_equal(f->closed, 0);
	varlink_reader_done(&reader);
	close(fd);
	run(f);
}

/* A stream outlives that its client sends no more, but not that it is gone. */
static void test_stream_vanished(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	struct fixture *f = *state;
	int fd = connect_client(f);

	put(fd, "{\"method\":\"org.example.Test.Stream\",\"more\":true}");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	run(f);
	assert_int_equal(varlink_connection_notify(f->stream, text_parameters("x")), 0);
	assert_reply(&reader, fd, "{\"parameters\":{\"text\":\"x\"},\"continues\":true}");
	assert_int_equal(f->closed, 0);
	close(fd);
	assert_int_equal(varlink_connection_notify(f->stream, text_parameters("x")), -ENOTCONN);
	assert_int_equal(varlink_connection_notify(f->stream, text_parameters("x")), -ENOTCONN);
	assert_int_equal(f->closed, 0);
	run(f);
	assert_int_equal(f->closed, 1);

	fd = connect_client(f);
	put(fd, "{\"method\":\"org.example.Test.Stream\",\"more\":true}");
	run(f);
	close(fd);
	run(f);
	assert_int_equal(f->closed, 2);
	assert_int_equal(varlink_server_n_connections(f->server), 0);
	varlink_reader_done(&reader);
}

/* A client that sends and never reads: what is queued for it stays bounded, and so is what is read. */
static void test_never_reads(void **state)
{
	struct fixture *f = *state;
	int fd = connect_client(f);
	size_t filler = 60000, sent;
	char *call = malloc(filler + 128);
	unsigned int before;

	assert_non_null(call);
	sprintf(call, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"");
	memset(call + strlen(call), 'x', filler);
	sprintf(call + strlen("{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"") +
			filler,
		"\"}}");
	do {
		before = f->calls;
		sent = put(fd, call);
		run(f);
	} while (sent == strlen(call) + 1 || f->calls > before);
	/* The socket's buffers hold some; beyond the mark one more call may have been answered. */
	assert_true((f->calls + 1) * filler < VARLINK_QUEUE_MARK + 4 * VARLINK_MESSAGE_MAX);
	assert_int_equal(varlink_server_n_connections(f->server), 1);
	free(call);
	close(fd);
	run(f);
	assert_int_equal(varlink_server_n_connections(f->server), 0);
}

/* A stream that is not read gets busy, then drained; or too much, and loses its connection. */
static void test_slow_stream(void **state)
{
	static const char reply[] = "{\"parameters\":{\"text\":\"x\"},\"continues\":true}";
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	struct fixture *f = *state;
	int fd = connect_client(f), r;
	unsigned int sent = 0;

	put(fd, "{\"method\":\"org.example.Test.Stream\",\"more\":true}");
	run(f);
	for (; !varlink_connection_is_busy(f->stream); sent++)
		assert_int_equal(varlink_connection_notify(f->stream, text_parameters("x")), 0);
	run(f);
	assert_int_equal(f->drained, 0);
	for (; sent > 0; sent--) {
		run(f);
		assert_reply(&reader, fd, reply);
	}
	assert_true(f->drained > 0);
	assert_false(varlink_connection_is_busy(f->stream));

	do {
		r = varlink_connection_notify(f->stream, text_parameters("x"));
		sent++;
	} while (r == 0);
	assert_int_equal(r, -ENOTCONN);
	assert_true(sent * sizeof(reply) > VARLINK_QUEUE_MAX);
	run(f);
	assert_int_equal(f->closed, 1);
	varlink_reader_done(&reader);
	close(fd);
}

static void assert_closed_after(struct fixture *f, const char *text, size_t size)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	int fd = connect_client(f);
	size_t sent = 0;

	while (sent < size && varlink_server_n_connections(f->server) > 0) {
		ssize_t n = send(fd, text + sent, size - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		run(f);
	}
	assert_int_equal(varlink_server_n_connections(f->server), 0);
	assert_reply(&reader, fd, SERVICE_ERROR("InvalidParameter", "parameter", "message"));
	assert_true(varlink_reader_fill(&reader, fd) != 1);
	varlink_reader_done(&reader);
	close(fd);
}

static void test_no_message(void **state)
{
	static const size_t huge = 10 * VARLINK_MESSAGE_MAX;
	struct fixture *f = *state;
	char *text = malloc(huge);

	assert_non_null(text);
	memset(text, ' ', huge);
	assert_closed_after(f, text, huge);
	assert_closed_after(f, "{\"method\":", sizeof("{\"method\":"));
	assert_closed_after(f, "", 1);
	assert_closed_after(f, "[]", 3);
	free(text);
}

/* A handler that gives no answer: the client must not wait for ever. */
static void test_no_answer(void **state)
{
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	struct fixture *f = *state;
	int fd = connect_client(f);

	put(fd, "{\"method\":\"org.example.Test.Fail\"}");
	run(f);
	assert_int_equal(varlink_reader_fill(&reader, fd), 0);
	assert_int_equal(varlink_server_n_connections(f->server), 0);
	varlink_reader_done(&reader);
	close(fd);
}

/* One user's connections are bounded; when one ends there is room again. */
static void test_too_many_connections(void **state)
{
	int fds[VARLINK_CONNECTIONS_UID_MAX + 20];
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_client(f);
	assert_int_equal(varlink_server_n_connections(f->server), VARLINK_CONNECTIONS_UID_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		char c;
		ssize_t n = recv(fds[i], &c, 1, 0);

		assert_int_equal(n, i < VARLINK_CONNECTIONS_UID_MAX ? -1 : 0);
	}
	for (size_t i = 10; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	run(f);
	assert_int_equal(varlink_server_n_connections(f->server), 10);
	assert_answer(f, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"hi\"}}",
		      "{\"parameters\":{\"text\":\"hi\"}}");
	/* The rest is closed by the server. */
	f->server = varlink_server_free(f->server);
	for (size_t i = 0; i < 10; i++) {
		char c;

		assert_int_equal(recv(fds[i], &c, 1, 0), 0);
		close(fds[i]);
	}
}

static size_t count_memory(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/*
 * As many clients as a user may have send long calls, the last in part, and read nothing: memory
 * for their messages is bounded, those that have most are closed, and who comes then is served.
 */
static void test_bytes_of_a_user(void **state)
{
	size_t bound = getuid() ? VARLINK_BYTES_MAX / 2 : VARLINK_BYTES_ROOT_MAX;
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	size_t filler = 120000, before = count_memory(), most = 0;
	int fds[VARLINK_CONNECTIONS_UID_MAX - 1], fd;
	struct fixture *f = *state;
	char *call = malloc(filler + 128);

	assert_non_null(call);
	sprintf(call, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"%0*d\"}}",
		(int)filler, 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_client(f);
	for (int round = 0; round < 12; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			/* As much as goes, whatever that cuts off. */
			(void)send(fds[i], call, strlen(call) + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
			run(f);
			most = max_u64(most, count_memory() - before);
		}
	}
	/* And what a call takes while it is dealt with, and the connections themselves. */
	assert_in_range(most, 0, bound + 4UL * VARLINK_MESSAGE_MAX);
	assert_true(varlink_server_stats(f->server)->dropped > 0);
	assert_in_range(varlink_server_n_connections(f->server), 1, ARRAY_SIZE(fds) - 1);
	fd = connect_client(f);
	put(fd, "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"x\"}}");
	run(f);
	assert_reply(&reader, fd, "{\"parameters\":{\"text\":\"x\"}}");
	varlink_reader_done(&reader);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	free(call);
}

static size_t count_piled(const struct fixture *f)
{
	size_t bytes = 0;

	for (size_t i = 0; i < f->n_piles; i++)
		bytes += varlink_connection_get_bytes(f->piles[i]);
	return bytes;
}

/* In one turn of the loop, too, no more of them are closed than there must be. */
static void test_bytes_in_one_turn(void **state)
{
	size_t bound = getuid() ? VARLINK_BYTES_MAX / 2 : VARLINK_BYTES_ROOT_MAX;
	int fds[VARLINK_CONNECTIONS_UID_MAX];
	const struct varlink_server_stats *stats;
	struct fixture *f = *state;
	char text[60000];
	size_t closed;

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_client(f);
		put(fds[i], "{\"method\":\"org.example.Test.Pile\",\"more\":true}");
		run(f);
	}
	assert_int_equal(f->n_piles, ARRAY_SIZE(fds));
	stats = varlink_server_stats(f->server);
	for (int round = 0; round < 12; round++) {
		for (size_t i = 0; i < f->n_piles; i++) {
			(void)varlink_connection_notify_text(f->piles[i], text, sizeof(text) - 1);
			assert_in_range(count_piled(f), 0, bound);
		}
	}
	closed = stats->dropped;
	assert_in_range(closed, 1, ARRAY_SIZE(fds) - 1);
	assert_in_range(count_piled(f), bound - VARLINK_QUEUE_MAX, bound);
	run(f);
	assert_int_equal(stats->dropped, closed);
	assert_int_equal(varlink_server_n_connections(f->server), ARRAY_SIZE(fds) - closed);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	run(f);
}

/* Without a descriptor to be had: the loop has rest, and whoever waits is let in later. */
static void test_no_descriptors(void **state)
{
	struct rlimit limit, few;
	struct fixture *f = *state;
	int fd = local_socket_connect(&f->socket);

	assert_true(fd >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	few.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	/* The loop would not come to an end if it was tried over and over. */
	run(f);
	assert_int_equal(varlink_server_n_connections(f->server), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (!varlink_server_n_connections(f->server))
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	close(fd);
}

/* A byte out of the band ends a call as any other does, and is nothing that the loop would not get rid of. */
static void test_out_of_band(void **state)
{
	static const char text[] =
		"{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"\"}}";
	struct varlink_reader reader = { .max = VARLINK_MESSAGE_MAX };
	struct fixture *f = *state;
	int fd = connect_client(f), turns = 0;

	assert_int_equal(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
	if (send(fd, "", 1, MSG_NOSIGNAL | MSG_OOB) < 0) {
		assert_int_equal(errno, EOPNOTSUPP);
		close(fd);
		run(f);
		print_message("# this kernel's Unix sockets have no bytes out of the band\n");
		skip();
	}
	while (turns < 1000 && sd_event_run(f->event, 0) > 0)
		turns++;
	assert_in_range(turns, 1, 999);
	assert_int_equal(f->calls, 1);
	assert_reply(&reader, fd, "{\"parameters\":{\"text\":\"\"}}");
	varlink_reader_done(&reader);
	close(fd);
	run(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_introspection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipeline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fire_and_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_band, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_vanished, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_of_a_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_in_one_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_connections, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
