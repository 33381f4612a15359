// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-pending.h"

#include <errno.h>
#include <sys/queue.h>

#include "base/control-names.h"
#include "control/control-json.h"
#include "manager/manager.h"
#include "varlink/connection.h"

struct pending_call {
	LIST_ENTRY(pending_call) list;
	struct varlink_connection *connection;
	struct vm *vm;
	bool memslots;
	bool surveyed; /* its turn is about to come */
};

struct pending_calls {
	LIST_HEAD(pending_list, pending_call) list;
};

static void pending_call_free(struct pending_call *call)
{
	LIST_REMOVE(call, list);
	free(call);
}

int pending_calls_new(struct pending_calls **ret)
{
	struct pending_calls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	LIST_INIT(&calls->list);
	*ret = calls;
	return 0;
}

struct pending_calls *pending_calls_free(struct pending_calls *calls)
{
	struct pending_call *call;

	if (!calls)
		return NULL;
	while ((call = LIST_FIRST(&calls->list)))
		pending_call_free(call);
	free(calls);
	return NULL;
}

/* A turn of the event loop each: there may be as many as connections, and a VM may have many memslots. */
static void on_drained(struct varlink_connection *connection, void *userdata)
{
	struct pending_call *call = userdata;

	if (!call->surveyed)
		return;
	varlink_connection_reply(connection, control_vm_reply(call->vm, call->memslots));
	pending_call_free(call);
}

static void on_closed(struct varlink_connection *connection, void *userdata)
{
	pending_call_free(userdata);
}

static const struct varlink_stream_ops pending_ops = {
	.drained = on_drained,
	.closed = on_closed,
};

int pending_calls_add(struct pending_calls *calls, struct varlink_connection *connection,
		      struct vm *vm, bool memslots)
{
	struct pending_call *call;

	/* The last has failed, and there is nothing to wait for. */
	if (!manager_is_surveying_vm(vm))
		return varlink_connection_reply(connection, control_vm_reply(vm, memslots));
	call = calloc(1, sizeof(*call));
	/* Whoever has had it wait until now will not be there for it any more. */
	if (!call)
		return varlink_connection_reply(connection, NULL);
	call->connection = connection;
	call->vm = vm;
	call->memslots = memslots;
	LIST_INSERT_HEAD(&calls->list, call, list);
	varlink_connection_stream(connection, &pending_ops, call);
	return 0;
}

void pending_calls_vm_surveyed(struct pending_calls *calls, struct vm *vm)
{
	struct pending_call *call;

	LIST_FOREACH(call, &calls->list, list) {
		if (call->vm != vm || call->surveyed)
			continue;
		call->surveyed = true;
		varlink_connection_again(call->connection);
	}
}

void pending_calls_vm_removed(struct pending_calls *calls, struct vm *vm)
{
	struct pending_call *call = LIST_FIRST(&calls->list);
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	while (call) {
		struct pending_call *next = LIST_NEXT(call, list);

		if (call->vm == vm) {
			varlink_connection_error_string(call->connection, CONTROL_ERROR_NO_SUCH_VM,
							"vm", info.name);
			pending_call_free(call);
		}
		call = next;
	}
}
