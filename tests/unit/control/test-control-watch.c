// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Watch, with a client that reads when it is told to: thousands of VMs, changes and
 * progress. Client and server take turns in one thread.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/control-watch.h"
#include "local-socket.h"
#include "manager/manager.h"
#include "manager/manager-table.h"
#include "varlink/connection.h"
#include "varlink/frame.h"
#include "varlink/message.h"
#include "varlink/server.h"
#include "vm/vm.h"

#define N_VMS 5000

struct fixture {
	sd_event *event;
	struct varlink_server *server;
	struct watches *watches;
	struct local_socket socket;
	int client;
	struct varlink_reader reader;
	struct vm *vms[N_VMS];
	size_t n_vms;
};

/* In place of the manager's. */
struct vm *manager_next_vm(struct manager *m, struct vm *prev)
{
	struct fixture *f = (struct fixture *)m;
	size_t i = 0;

	if (prev)
		i = (size_t)atoi(prev->table.name) + 1;
	return i < f->n_vms ? f->vms[i] : NULL;
}

static int watch(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	return watches_add(f->watches, connection, (struct manager *)f, NULL);
}

static const struct varlink_method methods[] = {
	{ "Watch", VARLINK_METHOD_MORE, NULL, watch },
	{ 0 },
};

static const struct varlink_interface interface = {
	.name = "org.example.Test",
	.description = "interface org.example.Test\n",
	.methods = methods,
};

static const struct varlink_interface *const interfaces[] = { &interface, NULL };

static bool may_change(const struct varlink_connection *connection, void *userdata)
{
	return true;
}

static void log_text(int priority, const struct ucred *peer, const char *text, void *userdata)
{
	fprintf(stderr, "%s\n", text);
}

static const struct varlink_server_ops server_ops = {
	.may_change = may_change,
	.log = log_text,
};

/* A VM whose name is its number and then as long as a name can be. */
static void add_vm(struct fixture *f)
{
	struct vm *vm;

	assert_int_equal(vm_new(&vm, NULL, 1, 0, NULL), 0);
	free(vm->table.name);
	assert_true(asprintf(&vm->table.name, "%04zu.%0*d", f->n_vms, VM_NAME_MAX - 5, 0) ==
		    VM_NAME_MAX);
	f->vms[f->n_vms++] = vm;
}

static int setup(void **state)
{
	static const char call[] = "{\"method\":\"org.example.Test.Watch\",\"more\":true}";
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	assert_non_null(f);
	for (size_t i = 0; i < N_VMS; i++)
		add_vm(f);
	f->reader.max = VARLINK_MESSAGE_MAX;
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(watches_new(&f->watches, f->event), 0);
	fd = local_socket_listen(&f->socket, 1);
	assert_true(fd >= 0);
	assert_int_equal(varlink_server_new(&f->server, f->event, fd, interfaces, &server_ops, f),
			 0);
	f->client = local_socket_connect(&f->socket);
	assert_true(f->client >= 0);
	assert_int_equal(send(f->client, call, sizeof(call), 0), sizeof(call));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->client);
	varlink_server_free(f->server);
	watches_free(f->watches);
	varlink_reader_done(&f->reader);
	for (size_t i = 0; i < f->n_vms; i++)
		vm_free(f->vms[i]);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

/* What has time to wait does: timers do not count as something to do. */
static void run(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		;
}

/* The next VM that the client is told of, by its number, and its stage, or "gone". -1: nothing has come. */
static int receive(struct fixture *f, char stage[32])
{
	_cleanup_(varlink_reply_done) struct varlink_reply reply = {};
	json_object *message, *vm;
	const char *text, *why;
	size_t length;

	while (varlink_reader_next(&f->reader, &text, &length) == 0)
		if (varlink_reader_fill(&f->reader, f->client) != 1)
			return -1;
	assert_int_equal(varlink_message_parse(text, length, &message, &why), 0);
	assert_int_equal(varlink_reply_from_message(message, &reply, &why), 0);
	assert_true(reply.continues);
	vm = json_object_object_get(reply.parameters, "vm");
	snprintf(stage, 32, "%s",
		 json_object_object_get(reply.parameters, "gone")
			 ? "gone"
			 : json_object_get_string(json_object_object_get(vm, "stage")));
	return atoi(json_object_get_string(json_object_object_get(vm, "vm")));
}

/* All VMs are told of, once, in order; as long as nobody reads, there is a bound on what waits. */
static void test_thousands_of_vms(void **state)
{
	struct fixture *f = *state;
	int next = 0, vm;
	char stage[32];

	run(f);
	assert_int_equal(varlink_server_n_connections(f->server), 1);
	do {
		while ((vm = receive(f, stage)) >= 0) {
			assert_int_equal(vm, next++);
			assert_string_equal(stage, "whole");
		}
		run(f);
	} while (next < N_VMS);
	assert_int_equal(receive(f, stage), -1);
}

/* Progress waits for a client that does not read, and is told once; changes are all told. */
static void test_slow_reader(void **state)
{
	static const char *const stages[] = { "splitting", "split", "recovering", "whole" };
	struct fixture *f = *state;
	size_t told = 0, progress = 0;
	char stage[32];
	int vm;

	/* Its buffers are full by what the VMs are; the rest of that waits. */
	run(f);
	for (int round = 0; round < 4; round++) {
		vm_set_stage(f->vms[0], (enum vm_stage)((round + 1) % 4), NULL);
		watches_vm_state(f->watches, f->vms[0]);
		for (int i = 0; i < 10000; i++)
			watches_vm_progress(f->watches, f->vms[1]);
		run(f);
	}
	assert_int_equal(varlink_server_n_connections(f->server), 1);
	/* The first VM, as it was, comes first. */
	assert_int_equal(receive(f, stage), 0);
	do {
		while ((vm = receive(f, stage)) >= 0) {
			if (vm == 0)
				assert_string_equal(stage, stages[told++]);
			progress += vm == 1;
		}
		run(f);
	} while (vm >= 0 || told < ARRAY_SIZE(stages));
	while (receive(f, stage) >= 0)
		;
	/* Once as it was, and what came later in one. */
	assert_in_range(progress, 1, 2);
}

/* One change that overtakes what the VMs are at the start is told once, and lets nothing else by. */
static void test_progress_waits(void **state)
{
	struct fixture *f = *state;
	char stage[32];
	size_t n = 0;

	run(f);
	vm_set_stage(f->vms[N_VMS - 1], VM_STAGE_SPLITTING, NULL);
	watches_vm_state(f->watches, f->vms[N_VMS - 1]);
	do {
		while (receive(f, stage) >= 0)
			n++;
		run(f);
	} while (n < N_VMS);
	assert_int_equal(receive(f, stage), -1);

	/* At one time, since the loop does not run: there is no time for the second. */
	watches_vm_progress(f->watches, f->vms[1]);
	watches_vm_progress(f->watches, f->vms[2]);
	assert_int_equal(receive(f, stage), 1);
	assert_int_equal(receive(f, stage), -1);
	while (receive(f, stage) < 0)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	assert_int_equal(n, N_VMS);
}

/* Nothing refers to it. */
static bool is_forgotten(const struct vm *vm)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(vm->watches.queued); i++)
		bits |= vm->watches.queued[i] | vm->watches.pending[i];
	return !bits;
}

/* VMs that go while they are to be told of, or have just been, are forgotten; the others are told of in turn. */
static void test_removed(void **state)
{
	static const int gone[] = { 1, 2, 3, 6 };
	struct fixture *f = *state;
	char stage[32];
	size_t n = 0;

	/* Of one that goes before it has been told of nothing is ever told. */
	watches_vm_removed(f->watches, f->vms[N_VMS - 1]);
	run(f);
	do {
		while (receive(f, stage) >= 0) {
			assert_string_equal(stage, "whole");
			n++;
		}
		run(f);
	} while (n < N_VMS - 1);
	for (size_t i = 0; i < 10; i++)
		watches_vm_progress(f->watches, f->vms[i]);
	assert_int_equal(receive(f, stage), 0);
	/* Told of by a change, and again; told of; neither. */
	watches_vm_state(f->watches, f->vms[4]);
	watches_vm_progress(f->watches, f->vms[4]);
	watches_vm_state(f->watches, f->vms[6]);
	assert_int_equal(receive(f, stage), 4);
	assert_int_equal(receive(f, stage), 6);
	for (size_t i = 1; i < 4; i++)
		watches_vm_removed(f->watches, f->vms[i]);
	watches_vm_removed(f->watches, f->vms[6]);
	assert_true(is_forgotten(f->vms[6]));
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		assert_int_equal(receive(f, stage), gone[i]);
		assert_string_equal(stage, "gone");
	}
	for (int expected = 4; expected < 10; expected++) {
		int vm;

		if (expected == 6)
			continue;
		while ((vm = receive(f, stage)) < 0)
			assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
		assert_int_equal(vm, expected);
	}
	for (size_t i = 1; i < 10; i++)
		assert_true(is_forgotten(f->vms[i]));
}

/* Changes that nobody reads end the connection before they cost memory without end. */
static void test_too_many_changes(void **state)
{
	struct fixture *f = *state;
	size_t n = 0;

	run(f);
	while (varlink_server_n_connections(f->server) > 0) {
		watches_vm_state(f->watches, f->vms[0]);
		run(f);
		n++;
	}
	assert_in_range(n, 1, VARLINK_QUEUE_MAX / VM_NAME_MAX);
	assert_int_equal(varlink_server_stats(f->server)->dropped, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_thousands_of_vms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_progress_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_changes, setup, teardown),
	};

	return cmocka_run_group_tests_name("control-watch", tests, NULL, NULL);
}
