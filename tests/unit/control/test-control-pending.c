// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls that wait for a VM to be surveyed, on a fake host. */
#include "control/control-pending.h"
#include "local-socket.h"
#include "unit/fake-host.h"
#include "varlink/connection.h"
#include "varlink/frame.h"
#include "varlink/server.h"

struct fixture {
	struct fake_host *host;
	struct vm *vm;
	struct pending_calls *calls;
	sd_event *event;
	struct varlink_server *server;
	struct local_socket socket;
	int client;
	struct varlink_connection *waiting; /* the one that Later was called on */
	unsigned int closed;
};

/* Of calloc(), until there is memory again */
static bool short_of_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return short_of_memory ? NULL : __real_calloc(n, size);
}

static int get(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	return pending_calls_add(f->calls, connection, f->vm, false);
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
}

static void on_closed(struct varlink_connection *connection, void *userdata)
{
	struct fixture *f = userdata;

	f->closed++;
}

static const struct varlink_stream_ops later_ops = {
	.drained = on_drained,
	.closed = on_closed,
};

static int get_later(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	f->waiting = connection;
	varlink_connection_stream(connection, &later_ops, f);
	return 0;
}

static const struct varlink_method methods[] = {
	{ "Get", 0, NULL, get },
	{ "Later", 0, NULL, get_later },
	{ 0 },
};

static const struct varlink_interface interface = {
	.name = "org.example.Test",
	.description = "interface org.example.Test\n",
	.methods = methods,
};

static const struct varlink_interface *const interfaces[] = { &interface, NULL };

static void log_text(int priority, const struct ucred *peer, const char *text, void *userdata)
{
	fprintf(stderr, "%s\n", text);
}

static const struct varlink_server_ops server_ops = { .log = log_text };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	assert_non_null(f);
	f->host = host_new(1000, 16, true);
	fake_vm_init(&fakes[0], f->host, 100);
	f->vm = host_add_vm(f->host, &fakes[0], 1);
	assert_int_equal(pending_calls_new(&f->calls), 0);
	assert_int_equal(sd_event_new(&f->event), 0);
	fd = local_socket_listen(&f->socket, 1);
	assert_true(fd >= 0);
	assert_int_equal(varlink_server_new(&f->server, f->event, fd, interfaces, &server_ops, f),
			 0);
	f->client = local_socket_connect(&f->socket);
	assert_true(f->client >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->client);
	varlink_server_free(f->server);
	pending_calls_free(f->calls);
	sd_event_unref(f->event);
	host_free(f->host);
	free(f);
	return 0;
}

static void run(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		;
}

static void call(struct fixture *f)
{
	static const char text[] = "{\"method\":\"org.example.Test.Get\"}";

	assert_int_equal(send(f->client, text, sizeof(text), 0), sizeof(text));
	run(f);
}

/* What has been answered, and nothing if nothing has. */
static void assert_answer(struct fixture *f, const char *part)
{
	char text[4096] = "";
	ssize_t n = recv(f->client, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (!part)
		assert_int_equal(n, -1);
	else
		assert_non_null(strstr(text, part));
}

static void test_waits_for_the_survey(void **state)
{
	struct fixture *f = *state;

	call(f);
	assert_answer(f, NULL);
	host_run(f->host);
	pending_calls_vm_surveyed(f->calls, f->vm);
	/* Others may be as many: each has a turn of its own. */
	assert_answer(f, NULL);
	run(f);
	assert_answer(f, "\"blocks\":100");
}

/* Who has waited before, and cannot wait once more, is not left to what it waited for. */
static void test_no_memory_to_wait(void **state)
{
	static const char text[] = "{\"method\":\"org.example.Test.Later\"}";
	struct fixture *f = *state;
	char byte;

	assert_int_equal(send(f->client, text, sizeof(text), 0), sizeof(text));
	run(f);
	short_of_memory = true;
	assert_int_equal(pending_calls_add(f->calls, f->waiting, f->vm, false), -ENOMEM);
	short_of_memory = false;
	run(f);
	assert_int_equal(recv(f->client, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(f->closed, 0);
}

/* None is under way, and the last has failed: there is nothing to wait for. */
static void test_survey_that_has_failed(void **state)
{
	struct fixture *f = *state;

	set_error(&fakes[0], -EINVAL, 1, 0);
	host_run(f->host);
	call(f);
	assert_answer(f, "\"stage\":\"failed\"");
	/* And nothing comes once more. */
	pending_calls_vm_surveyed(f->calls, f->vm);
	run(f);
	assert_answer(f, NULL);
}

static void test_vm_that_leaves(void **state)
{
	struct fixture *f = *state;

	call(f);
	pending_calls_vm_removed(f->calls, f->vm);
	assert_answer(f, "NoSuchVm");
	/* Also where it would have been its turn. */
	call(f);
	host_run(f->host);
	pending_calls_vm_surveyed(f->calls, f->vm);
	pending_calls_vm_removed(f->calls, f->vm);
	assert_answer(f, "NoSuchVm");
	run(f);
	assert_answer(f, NULL);
}

static void test_client_that_leaves(void **state)
{
	struct fixture *f = *state;

	call(f);
	assert_int_equal(shutdown(f->client, SHUT_RDWR), 0);
	while (sd_event_run(f->event, 0) > 0)
		;
	host_run(f->host);
	pending_calls_vm_surveyed(f->calls, f->vm);
	run(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_for_the_survey, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory_to_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survey_that_has_failed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vm_that_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_that_leaves, setup, teardown),
	};

	return cmocka_run_group_tests_name("control-pending", tests, NULL, NULL);
}
