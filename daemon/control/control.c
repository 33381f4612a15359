// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/control-names.h"
#include "base/log.h"
#include "conf/conf.h"
#include "control/control-change.h"
#include "control/control-error.h"
#include "control/control-json.h"
#include "control/control-list.h"
#include "control/control-metrics.h"
#include "control/control-pending.h"
#include "control/control-register.h"
#include "control/control-reload.h"
#include "control/control-watch.h"
#include "store/history.h"
#include "manager/manager.h"
#include "manager/manager-history.h"
#include "manager/manager-migration.h"
#include "manager/manager-names.h"
#include "manager/manager-register.h"
#include "manager/manager-settle.h"
#include "manager/manager-store.h"
#include "manager/manager-table.h"
#include "service/strangers.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/server.h"
#include "varlink/service.h"

struct control {
	struct manager *manager;
	struct varlink_server *server;
	struct watches *watches;
	struct pending_calls *pending;
	struct lists *lists;
	struct registrations *registrations;
	struct reloads *reloads;
	struct strangers *strangers;
};

static const char manager_description[] = ""
#include "org.eagersplit.Manager.varlink.h"
	;
static const char metrics_description[] = ""
#include "org.eagersplit.Metrics.varlink.h"
	;

static int reply_nothing(struct varlink_connection *connection)
{
	return varlink_connection_reply(connection, json_object_new_object());
}

static int get_host(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct control *c = userdata;
	struct host_info info;

	manager_check_store(c->manager);
	manager_get_host(c->manager, &info);
	return varlink_connection_reply(connection,
					control_parameter("host", control_host_to_json(&info)));
}

static int list_vms(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct control *c = userdata;

	if (varlink_connection_is_oneway(connection))
		return reply_nothing(connection);
	return lists_add_vms(c->lists, connection, c->manager);
}

struct vm_params {
	const char *vm;
};

static const struct varlink_field vm_fields[] = {
	VARLINK_FIELD("vm", VARLINK_STRING, struct vm_params, vm),
	{ 0 },
};

static int get_vm(struct varlink_connection *connection, const void *params, void *userdata)
{
	const struct vm_params *p = params;
	struct control *c = userdata;
	struct vm *vm = manager_find_vm(c->manager, p->vm);

	if (!vm)
		return control_error_no_such_vm(connection, p->vm);
	if (!varlink_connection_is_oneway(connection) && manager_survey_vm(c->manager, vm) > 0)
		return pending_calls_add(c->pending, connection, vm, true);
	return varlink_connection_reply(connection, control_vm_reply(vm, true));
}

static bool may_change(const struct varlink_connection *connection, void *userdata);

static int register_vm(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct control *c = userdata;

	return registrations_begin(c->registrations, connection, params, may_change(connection, c));
}

static int unregister_vm(struct varlink_connection *connection, const void *params, void *userdata)
{
	const struct vm_params *p = params;
	struct control *c = userdata;
	struct vm *vm = manager_find_vm(c->manager, p->vm);
	_cleanup_free_ char *name = NULL;
	struct vm_info info = {};
	int r;

	if (vm)
		vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	/* It is gone afterwards. */
	name = strdup(vm ? info.name : p->vm);
	info.name = name;
	info.error = NULL;
	r = manager_unregister(c->manager, p->vm);
	if (r == -EROFS)
		return control_error_not_kept(connection, p->vm, r);
	if (r < 0)
		return control_error_no_such_vm(connection, p->vm);
	if (name)
		control_log_change(varlink_connection_peer(connection), &info, "Unregistered");
	return reply_nothing(connection);
}

struct migration_params {
	const char *vm;
	const char *migration;
	struct varlink_int deadline_usec;
	struct varlink_int tlbi_rate;
};

static const struct varlink_field migration_fields[] = {
	VARLINK_FIELD("vm", VARLINK_STRING, struct migration_params, vm),
	VARLINK_FIELD("migration", VARLINK_STRING, struct migration_params, migration),
	VARLINK_FIELD("deadlineUSec", VARLINK_INT, struct migration_params, deadline_usec,
		      .optional = true, .max = INT64_MAX),
	VARLINK_FIELD("tlbiRate", VARLINK_INT, struct migration_params, tlbi_rate, .optional = true,
		      .max = INT64_MAX),
	{ 0 },
};

static int error_transition(struct varlink_connection *connection, enum vm_migration from,
			    enum vm_migration to)
{
	json_object *parameters = json_object_new_object();
	int r;

	r = varlink_json_set_string(parameters, "from", vm_migration_to_string(from));
	r |= varlink_json_set_string(parameters, "to", vm_migration_to_string(to));
	return varlink_connection_error(connection, CONTROL_ERROR_INVALID_TRANSITION,
					varlink_json_finish(parameters, r));
}

/* Of one that is there, or is gone and may still be said how it ended; -ENODEV: there is neither. */
static int change_migration(struct control *c, const struct migration_params *p,
			    enum vm_migration to, struct vm **ret, enum vm_migration *ret_from)
{
	struct vm *vm = manager_find_vm(c->manager, p->vm);
	struct vm *departed = vm ? NULL : manager_find_departed(c->manager, p->vm);
	uint64_t deadline = (uint64_t)p->deadline_usec.value;
	uint64_t rate = (uint64_t)p->tlbi_rate.value;

	*ret = vm ?: departed;
	if (!*ret)
		return -ENODEV;
	*ret_from = vm_state_get_migration((*ret)->migration.state);
	if (departed)
		return manager_end_departed(c->manager, departed, to);
	return manager_set_migration(c->manager, vm, to, p->deadline_usec.given ? &deadline : NULL,
				     p->tlbi_rate.given ? &rate : NULL);
}

static int set_migration_state(struct varlink_connection *connection, const void *params,
			       void *userdata)
{
	const struct migration_params *p = params;
	enum vm_migration from;
	struct vm_info after;
	char what[64];
	struct vm *vm;
	int to, r;

	to = vm_migration_from_string(p->migration);
	if (to < 0)
		return varlink_connection_error_parameter(connection, "migration");
	r = change_migration(userdata, p, (enum vm_migration)to, &vm, &from);
	if (r == -ENODEV)
		return control_error_no_such_vm(connection, p->vm);
	if (r == -EROFS)
		return control_error_not_kept(connection, p->vm, r);
	if (r < 0)
		return error_transition(connection, from, (enum vm_migration)to);
	snprintf(what, sizeof(what), "Migration said to be %s", p->migration);
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &after);
	control_log_change(varlink_connection_peer(connection), &after, what);
	return varlink_connection_reply(connection, control_vm_reply(vm, false));
}

static const struct varlink_field watch_fields[] = {
	VARLINK_FIELD("vm", VARLINK_STRING, struct vm_params, vm, .optional = true),
	{ 0 },
};

static int watch(struct varlink_connection *connection, const void *params, void *userdata)
{
	const struct vm_params *p = params;
	struct control *c = userdata;
	struct vm *vm = NULL;

	if (p->vm) {
		vm = manager_find_vm(c->manager, p->vm);
		if (!vm)
			return control_error_no_such_vm(connection, p->vm);
	}
	return watches_add(c->watches, connection, c->manager, vm);
}

#define HISTORY_LIMIT_DEFAULT 100

struct history_params {
	const char *vm;
	struct varlink_int limit;
};

static const struct varlink_field history_fields[] = {
	VARLINK_FIELD("vm", VARLINK_STRING, struct history_params, vm, .optional = true),
	VARLINK_FIELD("limit", VARLINK_INT, struct history_params, limit, .optional = true,
		      .min = 1, .max = HISTORY_MAX),
	{ 0 },
};

static int get_history(struct varlink_connection *connection, const void *params, void *userdata)
{
	const struct history_params *p = params;
	struct control *c = userdata;
	size_t limit = p->limit.given ? (size_t)p->limit.value : HISTORY_LIMIT_DEFAULT;
	struct vm *vm = p->vm ? manager_find_vm(c->manager, p->vm) : NULL;
	struct vm_info info = { .name = p->vm };

	if (varlink_connection_is_oneway(connection))
		return reply_nothing(connection);
	/* By whatever it is given; one that is gone by the name that it had. */
	if (vm)
		vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	return lists_add_history(c->lists, connection, manager_get_history(c->manager), info.name,
				 limit);
}

static int reload(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct control *c = userdata;

	return reloads_begin(c->reloads, connection);
}

static const struct varlink_method manager_methods[] = {
	{ "GetHost", 0, NULL, get_host },
	{ "ListVms", 0, NULL, list_vms },
	{ "GetVm", 0, vm_fields, get_vm },
	{ "Register", VARLINK_METHOD_CHANGES | VARLINK_METHOD_DESCRIPTOR, registration_fields,
	  register_vm },
	{ "Unregister", VARLINK_METHOD_CHANGES, vm_fields, unregister_vm },
	{ "SetMigrationState", VARLINK_METHOD_CHANGES, migration_fields, set_migration_state },
	{ "Watch", VARLINK_METHOD_MORE, watch_fields, watch },
	{ "GetHistory", 0, history_fields, get_history },
	{ "Reload", VARLINK_METHOD_CHANGES, NULL, reload },
	{ 0 }
};

static const struct varlink_interface manager_interface = {
	.name = CONTROL_INTERFACE,
	.description = manager_description,
	.methods = manager_methods,
};

static int get_metrics(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct control *c = userdata;
	struct manager_metrics metrics;

	manager_check_store(c->manager);
	manager_get_metrics(c->manager, &metrics);
	return varlink_connection_reply(
		connection,
		control_parameter("metrics", control_metrics_to_json(&metrics, c->server)));
}

static const struct varlink_method metrics_methods[] = {
	{ "GetMetrics", 0, NULL, get_metrics },
	{ 0 },
};

static const struct varlink_interface metrics_interface = {
	.name = "org.eagersplit.Metrics",
	.description = metrics_description,
	.methods = metrics_methods,
};

static const struct varlink_interface *const control_interfaces[] = {
	&manager_interface,
	&metrics_interface,
	&varlink_service_interface,
	NULL,
};

/* Whoever could do it without asking, too, and the group that is let. */
static bool may_change(const struct varlink_connection *connection, void *userdata)
{
	const struct ucred *peer = varlink_connection_peer(connection);
	struct control *c = userdata;
	gid_t group = manager_get_config(c->manager)->control_group;

	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	return group != CONFIG_GROUP_NONE && varlink_connection_in_group(connection, group);
}

static void log_for_server(int priority, const struct ucred *peer, const char *text, void *userdata)
{
	log_about(&(const struct log_about){ .priority = priority,
					     .id = peer ? MESSAGE_CLIENT : NULL,
					     .peer = peer },
		  "%s", text);
}

/* What may be taken, which a call of Register may bring. */
static bool is_splitter(int fd, void *userdata)
{
	const struct control *c = userdata;

	return manager_looks_like_splitter(c->manager, fd);
}

static void on_received(void *userdata, ssize_t result, const void *bytes, int descriptor)
{
	varlink_connection_received(userdata, result, bytes, descriptor);
}

static void *receive_for_server(struct varlink_connection *connection, int fd, size_t size,
				void *userdata)
{
	struct control *c = userdata;

	return strangers_receive(c->strangers, varlink_connection_peer(connection)->uid, fd, size,
				 on_received, connection);
}

static void forget_reception(void *reception)
{
	strangers_forget(reception);
}

static void close_for_server(uid_t uid, int fd, void *userdata)
{
	struct control *c = userdata;

	strangers_close(c->strangers, uid, fd);
}

static bool may_connect(void *userdata)
{
	const struct control *c = userdata;

	return strangers_have_room(c->strangers);
}

static const struct varlink_server_ops server_ops = {
	.may_change = may_change,
	.log = log_for_server,
	.receive = receive_for_server,
	.forget = forget_reception,
	.close = close_for_server,
	.has_room = may_connect,
};

static void on_vm_changed(void *userdata, struct vm *vm, enum vm_change what)
{
	struct control *c = userdata;

	/* Whatever the survey has changed: its end may be that of the splitting, too. */
	if (!manager_is_surveying_vm(vm))
		pending_calls_vm_surveyed(c->pending, vm);
	if (what == VM_CHANGE_STATE)
		watches_vm_state(c->watches, vm);
	else if (what == VM_CHANGE_PROGRESS)
		watches_vm_progress(c->watches, vm);
}

static void on_vm_removed(void *userdata, struct vm *vm)
{
	struct control *c = userdata;

	pending_calls_vm_removed(c->pending, vm);
	lists_vm_removed(c->lists, vm);
	watches_vm_removed(c->watches, vm);
}

static void on_vm_registered(void *userdata, void *caller, int r, struct vm *vm)
{
	struct control *c = userdata;

	registrations_end(c->registrations, caller, r, vm);
}

static void on_reloaded(void *userdata, uint64_t number, int r, const char *error)
{
	struct control *c = userdata;

	reloads_end(c->reloads, number, r, error);
}

static const struct manager_observer control_observer = {
	.reloaded = on_reloaded,
	.vm_registered = on_vm_registered,
	.vm_changed = on_vm_changed,
	.vm_removed = on_vm_removed,
};

int control_new(struct control **ret, sd_event *event, struct manager *manager, int listen_fd)
{
	_cleanup_(control_freep) struct control *c = calloc(1, sizeof(*c));
	_cleanup_close_ int fd = listen_fd;
	int r;

	if (!c)
		return -ENOMEM;
	c->manager = manager;
	r = watches_new(&c->watches, event);
	if (r < 0)
		return r;
	r = pending_calls_new(&c->pending);
	if (r < 0)
		return r;
	r = lists_new(&c->lists);
	if (r < 0)
		return r;
	r = strangers_new(&c->strangers, event, is_splitter, c);
	if (r < 0)
		return r;
	r = registrations_new(&c->registrations, manager, c->pending, c->strangers);
	if (r < 0)
		return r;
	r = reloads_new(&c->reloads, manager);
	if (r < 0)
		return r;
	r = varlink_server_new(&c->server, event, take_fd(&fd), control_interfaces, &server_ops, c);
	if (r < 0)
		return r;
	manager_set_observer(manager, &control_observer, c);
	*ret = TAKE_PTR(c);
	return 0;
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	manager_set_observer(c->manager, NULL, NULL);
	varlink_server_free(c->server);
	registrations_free(c->registrations);
	reloads_free(c->reloads);
	pending_calls_free(c->pending);
	lists_free(c->lists);
	watches_free(c->watches);
	strangers_free(c->strangers);
	free(c);
	return NULL;
}
