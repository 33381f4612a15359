// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-register.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/control-names.h"
#include "control/control-change.h"
#include "control/control-error.h"
#include "control/control-json.h"
#include "control/control-pending.h"
#include "host/process.h"
#include "manager/manager.h"
#include "manager/manager-index.h"
#include "manager/manager-names.h"
#include "manager/manager-register.h"
#include "manager/manager-table.h"
#include "service/strangers.h"
#include "varlink/connection.h"
#include "varlink/json.h"

struct register_params {
	struct varlink_int pid;
	const char *name;
	struct varlink_int splitter;
};

const struct varlink_field registration_fields[] = {
	VARLINK_FIELD("pid", VARLINK_INT, struct register_params, pid, .min = 1, .max = INT_MAX),
	VARLINK_FIELD("name", VARLINK_STRING, struct register_params, name, .optional = true),
	/* One descriptor is what a call can have with it. */
	VARLINK_FIELD("splitter", VARLINK_INT, struct register_params, splitter, .optional = true),
	{ 0 },
};

/**
 * struct waiting_call - a call whose VM is being registered
 * @connection: NULL: its client has left
 * @peer: that client
 * @name: that was asked for, NULL: none
 */
struct waiting_call {
	struct registrations *registrations;
	struct ucred peer;
	struct varlink_connection *connection;
	pid_t pid;
	char *name;
	LIST_ENTRY(waiting_call) list;
};

struct registrations {
	struct manager *manager;
	struct pending_calls *pending;
	struct strangers *strangers;
	LIST_HEAD(waiting_list, waiting_call) waiting;
};

static void waiting_call_free(struct waiting_call *call)
{
	LIST_REMOVE(call, list);
	free(call->name);
	free(call);
}

int registrations_new(struct registrations **ret, struct manager *manager,
		      struct pending_calls *pending, struct strangers *strangers)
{
	struct registrations *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->manager = manager;
	r->pending = pending;
	r->strangers = strangers;
	LIST_INIT(&r->waiting);
	*ret = r;
	return 0;
}

struct registrations *registrations_free(struct registrations *r)
{
	struct waiting_call *call;

	if (!r)
		return NULL;
	while ((call = LIST_FIRST(&r->waiting)))
		waiting_call_free(call);
	free(r);
	return NULL;
}

/* What is in the way of registering pid as name: the VM of that process, or of that name. */
static int error_exists(struct manager *m, struct varlink_connection *connection, pid_t pid,
			const char *name)
{
	json_object *parameters = json_object_new_object();
	struct vm *vm = name ? manager_find_vm(m, name) : NULL;
	struct vm_info info = { .name = name ? name : "", .pid = pid };
	int r;

	if (!vm)
		vm = manager_next_of_process(m, pid, process_find_start(pid), NULL);
	if (vm)
		vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	r = varlink_json_set_string(parameters, "vm", info.name);
	r |= varlink_json_set_u64(parameters, "pid", (uint64_t)info.pid);
	return varlink_connection_error(connection, CONTROL_ERROR_VM_EXISTS,
					varlink_json_finish(parameters, r));
}

static int refuse(struct manager *m, struct varlink_connection *connection, pid_t pid,
		  const char *name, int r)
{
	switch (r) {
	case -EINVAL:
		return varlink_connection_error_parameter(connection, name ? "name" : "pid");
	case -ESRCH:
	case -ENODEV:
		return control_error_pid(connection, CONTROL_ERROR_NO_SUCH_PROCESS, pid);
	case -ENOTTY:
		return control_error_pid(connection, CONTROL_ERROR_NOT_A_VMM, pid);
	case -EEXIST:
		return error_exists(m, connection, pid, name);
	case -EUSERS:
		return control_error_unsupported(connection,
						 "as many VMs as there is room for are registered");
	case -EMLINK:
		return control_error_unsupported(connection,
						 "the VM has as many splitters as it may have");
	case -EROFS:
		return control_error_not_kept(connection, name ? name : "", r);
	case -EPERM:
	case -EACCES:
		return control_error_unsupported(connection,
						 "eagersplitd may not look into that process");
	case -ESHUTDOWN:
		return control_error_unsupported(connection, "eagersplitd is being stopped");
	default:
		return control_error_host(m, connection, r);
	}
}

/* @vm is registered: the answer is what it is. */
static int answer(struct registrations *r, struct varlink_connection *connection, struct vm *vm)
{
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	/* One that was found earlier may have been given most of its memory since. */
	if (!varlink_connection_is_oneway(connection) &&
	    (!info.surveyed || manager_survey_vm(r->manager, vm) > 0))
		return pending_calls_add(r->pending, connection, vm, false);
	return varlink_connection_reply(connection, control_vm_reply(vm, false));
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
}

/* What has begun goes on: the client has asked for it. */
static void on_closed(struct varlink_connection *connection, void *userdata)
{
	struct waiting_call *call = userdata;

	call->connection = NULL;
}

static const struct varlink_stream_ops waiting_ops = {
	.drained = on_drained,
	.closed = on_closed,
};

static struct waiting_call *add_waiting_call(struct registrations *r,
					     struct varlink_connection *connection,
					     const struct register_params *p)
{
	struct waiting_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->registrations = r;
	call->connection = connection;
	call->peer = *varlink_connection_peer(connection);
	call->pid = (pid_t)p->pid.value;
	LIST_INSERT_HEAD(&r->waiting, call, list);
	call->name = p->name ? strdup(p->name) : NULL;
	if (!p->name || call->name)
		return call;
	waiting_call_free(call);
	return NULL;
}

/*
 * By whoever may not change anything: within the quota, as all else of his VMs. What others register
 * has none.
 */
static void log_registered(const struct waiting_call *call, const struct vm *vm)
{
	struct vm_info info;

	if (!vm_may_log(vm))
		return;
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	control_log_change(&call->peer, &info, "Registered");
}

/*
 * Whether the process with that id is the client's user's. That the client connected with that id
 * does not say so: it may have ended since, and the id be another's.
 */
static bool is_of_peer(const struct varlink_connection *connection, pid_t pid)
{
	return process_get_uid(pid) == (int64_t)varlink_connection_peer(connection)->uid;
}

/* It may fall to whoever does so to destroy the VM. */
static void close_splitter(struct registrations *r, const struct varlink_connection *connection,
			   int fd)
{
	if (fd >= 0)
		strangers_close(r->strangers, varlink_connection_peer(connection)->uid, fd);
}

/* The splitter that came with the call; -1: none. -EACCES: who calls may not do that. */
static int take_splitter(struct registrations *r, struct varlink_connection *connection,
			 const struct register_params *p, bool privileged, int *ret)
{
	int fd = p->splitter.given ? varlink_connection_take_descriptor(connection) : -1;

	*ret = -1;
	if (p->splitter.given && (fd == -1 || p->splitter.value != 0)) {
		close_splitter(r, connection, fd);
		return -EBADF;
	}
	if (!privileged && (fd < 0 || !is_of_peer(connection, (pid_t)p->pid.value))) {
		close_splitter(r, connection, fd);
		return -EACCES;
	}
	if (fd == VARLINK_UNWANTED)
		return -ENOTTY;
	*ret = fd;
	return 0;
}

int registrations_begin(struct registrations *r, struct varlink_connection *connection,
			const void *params, bool privileged)
{
	const struct register_params *p = params;
	int64_t teller =
		privileged ? REGISTER_TOLD : (int64_t)varlink_connection_peer(connection)->uid;
	pid_t pid = (pid_t)p->pid.value;
	struct waiting_call *call;
	struct vm *vm;
	int fd, e;

	e = take_splitter(r, connection, p, privileged, &fd);
	if (e == -EACCES)
		return varlink_connection_deny(connection, CONTROL_INTERFACE ".Register");
	if (e == -EBADF)
		return varlink_connection_error_parameter(connection, "splitter");
	if (e < 0)
		return refuse(r->manager, connection, pid, p->name, e);
	call = add_waiting_call(r, connection, p);
	e = call ? manager_register(r->manager, pid, p->name, teller, fd, call, &vm) : -ENOMEM;
	if (e == 0) {
		varlink_connection_stream(connection, &waiting_ops, call);
		return 0;
	}
	close_splitter(r, connection, fd);
	if (!call)
		return e;
	if (e > 0)
		log_registered(call, vm);
	waiting_call_free(call);
	return e < 0 ? refuse(r->manager, connection, pid, p->name, e) : answer(r, connection, vm);
}

void registrations_end(struct registrations *r, void *caller, int result, struct vm *vm)
{
	struct waiting_call *call = caller;

	if (result >= 0)
		log_registered(call, vm);
	if (call->connection && result < 0)
		(void)refuse(r->manager, call->connection, call->pid, call->name, result);
	else if (call->connection)
		(void)answer(r, call->connection, vm);
	waiting_call_free(call);
}
