// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Long replies, in pieces, beside a client with a short one. Clients and server take turns in one
 * thread; what others wait is counted in bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/control-json.h"
#include "control/control-list.h"
#include "store/history.h"
#include "host/backend.h"
#include "local-socket.h"
#include "manager/manager.h"
#include "manager/manager-table.h"
#include "varlink/connection.h"
#include "varlink/frame.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "varlink/server.h"
#include "vm/vm.h"

#define N_VMS	  4096
#define N_CLIENTS 60
#define N_HISTORY 40

struct fixture {
	sd_event *event;
	struct varlink_server *server;
	struct lists *lists;
	struct local_socket socket;
	struct vm *vms[N_VMS];
	size_t n_vms;
	size_t pings;
};

struct client {
	int fd;
	struct varlink_reader reader;
};

/* In place of the manager's. */
struct vm *manager_next_vm(struct manager *m, struct vm *prev)
{
	struct fixture *f = (struct fixture *)m;
	size_t i = prev ? (size_t)prev->number + 1 : 0;

	return i < f->n_vms ? f->vms[i] : NULL;
}

/* In place of the history: each other one is of the VM "a". */
uint64_t history_get_previous(const struct history *h, uint64_t number)
{
	return number <= 7 ? 0 : min_u64(number, 7 + N_HISTORY) - 1;
}

json_object *history_get(const struct history *h, uint64_t number, const char *vm)
{
	json_object *object;

	assert_in_range(number, 7, 7 + N_HISTORY - 1);
	if (vm && number % 2)
		return NULL;
	object = json_object_new_object();
	(void)varlink_json_set_u64(object, "number", number);
	return object;
}

static int list_vms(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	return lists_add_vms(f->lists, connection, (struct manager *)f);
}

struct history_params {
	const char *vm;
	struct varlink_int limit;
};

static const struct varlink_field history_fields[] = {
	VARLINK_FIELD("vm", VARLINK_STRING, struct history_params, vm, .optional = true),
	VARLINK_FIELD("limit", VARLINK_INT, struct history_params, limit, .min = 1, .max = 1000),
	{ 0 },
};

static int get_history(struct varlink_connection *connection, const void *params, void *userdata)
{
	const struct history_params *p = params;
	struct fixture *f = userdata;

	return lists_add_history(f->lists, connection, (const struct history *)f, p->vm,
				 (size_t)p->limit.value);
}

static int ping(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	f->pings++;
	return varlink_connection_reply(connection, json_object_new_object());
}

static const struct varlink_method methods[] = {
	{ "List", 0, NULL, list_vms },
	{ "History", 0, history_fields, get_history },
	{ "Ping", 0, NULL, ping },
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

static void connect_client(struct fixture *f, struct client *c)
{
	*c = (struct client){ .fd = local_socket_connect(&f->socket),
			      .reader = { .max = 16UL << 20 } };
	assert_true(c->fd >= 0);
}

static void disconnect(struct client *c)
{
	close(c->fd);
	varlink_reader_done(&c->reader);
}

static void put(struct client *c, const char *call)
{
	assert_int_equal(send(c->fd, call, strlen(call) + 1, 0), strlen(call) + 1);
}

/* One turn of the loop; whether there was something to do. */
static bool turn(struct fixture *f)
{
	return sd_event_run(f->event, 0) > 0;
}

/* The reply to be read, once all of it has come; NULL: it has not. */
static json_object *try_get(struct client *c)
{
	json_object *message;
	const char *text, *why;
	size_t length;

	while (varlink_reader_next(&c->reader, &text, &length) == 0)
		if (varlink_reader_fill(&c->reader, c->fd) != 1)
			return NULL;
	assert_int_equal(varlink_message_parse(text, length, &message, &why), 0);
	return message;
}

static json_object *get(struct fixture *f, struct client *c, const char *member)
{
	json_object *message, *array;

	while (!(message = try_get(c)))
		(void)turn(f);
	array = json_object_object_get(json_object_object_get(message, "parameters"), member);
	assert_non_null(array);
	json_object_get(array);
	json_object_put(message);
	return array;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	assert_non_null(f);
	for (; f->n_vms < N_VMS; f->n_vms++)
		assert_int_equal(vm_new(&f->vms[f->n_vms], NULL, 1, (int)f->n_vms, NULL), 0);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(lists_new(&f->lists), 0);
	fd = local_socket_listen(&f->socket, N_CLIENTS + 1);
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
	lists_free(f->lists);
	for (size_t i = 0; i < N_VMS; i++)
		vm_free(f->vms[i]);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

/* All of them, in order, also where none is; and the call behind is answered. */
static void test_whole(void **state)
{
	static const size_t sizes[] = { 0, 1, CONTROL_LIST_PIECE, CONTROL_LIST_PIECE + 1, N_VMS };
	struct fixture *f = *state;
	struct client c;

	connect_client(f, &c);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_json_ json_object *vms = NULL;

		f->n_vms = sizes[i];
		put(&c, "{\"method\":\"org.example.Test.List\"}");
		vms = get(f, &c, "vms");
		assert_int_equal(json_object_array_length(vms), sizes[i]);
		for (size_t n = 0; n < sizes[i]; n++) {
			json_object *vm = json_object_array_get_idx(vms, n);

			assert_string_equal(varlink_json_string(json_object_object_get(vm, "vm")),
					    f->vms[n]->id);
		}
	}
	disconnect(&c);
}

/* What goes meanwhile is left out, and whoever asked may go, too. */
static void test_removed(void **state)
{
	_cleanup_json_ json_object *vms = NULL;
	struct fixture *f = *state;
	struct client c, gone;

	connect_client(f, &c);
	connect_client(f, &gone);
	put(&c, "{\"method\":\"org.example.Test.List\"}");
	put(&gone, "{\"method\":\"org.example.Test.List\"}");
	/* As far as the socket takes it. */
	while (turn(f))
		;
	disconnect(&gone);
	lists_vm_removed(f->lists, f->vms[0]);
	lists_vm_removed(f->lists, f->vms[N_VMS - 1]);
	vms = get(f, &c, "vms");
	assert_int_equal(json_object_array_length(vms), N_VMS - 1);
	while (turn(f))
		;
	assert_int_equal(varlink_server_n_connections(f->server), 1);
	disconnect(&c);
}

/* The last so many, oldest first, of all or of one VM. */
static void test_history(void **state)
{
	static const struct {
		const char *parameters;
		size_t n;
		int64_t first;
	} calls[] = {
		{ "\"limit\":1000", N_HISTORY, 7 },
		{ "\"limit\":17", 17, 7 + N_HISTORY - 17 },
		{ "\"limit\":1000,\"vm\":\"a\"", N_HISTORY / 2, 8 },
		{ "\"limit\":3,\"vm\":\"a\"", 3, 7 + N_HISTORY - 5 },
	};
	struct fixture *f = *state;
	struct client c;

	connect_client(f, &c);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		_cleanup_json_ json_object *list = NULL;
		int64_t before = 0;
		char call[128];

		snprintf(call, sizeof(call),
			 "{\"method\":\"org.example.Test.History\",\"parameters\":{%s}}",
			 calls[i].parameters);
		put(&c, call);
		list = get(f, &c, "migrations");
		assert_int_equal(json_object_array_length(list), calls[i].n);
		for (size_t n = 0; n < calls[i].n; n++) {
			json_object *number = json_object_object_get(
				json_object_array_get_idx(list, n), "number");

			if (n == 0)
				assert_int_equal(json_object_get_int64(number), calls[i].first);
			assert_true(json_object_get_int64(number) > before);
			before = json_object_get_int64(number);
		}
	}
	disconnect(&c);
}

/* Reads what has come to all of them: bytes so far. @ret_whole: how many have all of it. */
static size_t read_all(struct client *clients, size_t *ret_whole)
{
	size_t n = 0;

	*ret_whole = 0;
	for (size_t i = 0; i < N_CLIENTS; i++) {
		struct varlink_reader *reader = &clients[i].reader;

		while (!varlink_reader_has_message(reader) &&
		       varlink_reader_fill(reader, clients[i].fd) == 1)
			;
		*ret_whole += varlink_reader_has_message(reader);
		n += varlink_reader_pending(reader);
	}
	return n;
}

/*
 * As many as one user may have ask for everything, and read it at once: until somebody else is
 * answered, each of them gets a piece of it, or what fits in two turns of the loop.
 */
static void test_nobody_waits(void **state)
{
	struct client clients[N_CLIENTS], other;
	size_t before = 0, most = 0, whole = 0;
	struct fixture *f = *state;

	f->n_vms = 32 * CONTROL_LIST_PIECE;
	for (size_t i = 0; i < N_CLIENTS; i++) {
		connect_client(f, &clients[i]);
		put(&clients[i], "{\"method\":\"org.example.Test.List\"}");
	}
	connect_client(f, &other);
	put(&other, "{\"method\":\"org.example.Test.Ping\"}");
	while (whole < N_CLIENTS) {
		_cleanup_json_ json_object *pong = NULL;
		size_t bytes;

		(void)turn(f);
		bytes = read_all(clients, &whole);
		pong = try_get(&other);
		if (!pong)
			continue;
		most = bytes - before > most ? bytes - before : most;
		before = bytes;
		put(&other, "{\"method\":\"org.example.Test.Ping\"}");
	}
	assert_true(before > N_CLIENTS * f->n_vms * 100UL);
	/* A VM takes less than 256 bytes. */
	assert_in_range(most, 1, 2UL * N_CLIENTS * CONTROL_LIST_PIECE * 256);
	for (size_t i = 0; i < N_CLIENTS; i++)
		disconnect(&clients[i]);
	disconnect(&other);
}

/* A VM with as many memslots as KVM lets it have is told with some, and that there are more. */
static void test_memslots(void **state)
{
	const size_t n_slots = 32764;
	struct memslot *slots = calloc(n_slots, sizeof(*slots));
	_cleanup_json_ json_object *object = NULL;
	struct fixture *f = *state;
	struct vm *vm = f->vms[0];

	assert_non_null(slots);
	assert_int_equal(survey_set_memslots(&vm->progress.survey, slots, n_slots), 0);
	object = control_vm_to_json(vm, true);
	survey_done(&vm->progress.survey);
	assert_int_equal(json_object_array_length(json_object_object_get(object, "memslots")),
			 CONTROL_MEMSLOTS_MAX);
	assert_int_equal(json_object_get_int64(json_object_object_get(object, "memslotsLeftOut")),
			 n_slots - CONTROL_MEMSLOTS_MAX);
	assert_in_range(strlen(json_object_to_json_string(object)), 1, VARLINK_TURN_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memslots, setup, teardown),
	};

	return cmocka_run_group_tests_name("control-list", tests, NULL, NULL);
}
