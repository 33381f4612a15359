// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-reload.h"

#include <errno.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/control-names.h"
#include "control/control-change.h"
#include "manager/manager-reload.h"
#include "varlink/connection.h"

/**
 * struct reload_call - a call that waits
 * @connection: NULL: its client has left
 * @peer: that client
 * @number: of what it has asked for
 */
struct reload_call {
	struct varlink_connection *connection;
	struct ucred peer;
	uint64_t number;
	STAILQ_ENTRY(reload_call) link;
};

/* @calls: in order of their numbers */
struct reloads {
	struct manager *manager;
	STAILQ_HEAD(reload_list, reload_call) calls;
};

int reloads_new(struct reloads **ret, struct manager *manager)
{
	struct reloads *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->manager = manager;
	STAILQ_INIT(&r->calls);
	*ret = r;
	return 0;
}

static struct reload_call *take_first(struct reloads *r)
{
	struct reload_call *call = STAILQ_FIRST(&r->calls);

	STAILQ_REMOVE_HEAD(&r->calls, link);
	return call;
}

struct reloads *reloads_free(struct reloads *r)
{
	if (!r)
		return NULL;
	while (!STAILQ_EMPTY(&r->calls))
		free(take_first(r));
	free(r);
	return NULL;
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
}

/* What has begun goes on: the client has asked for it. */
static void on_closed(struct varlink_connection *connection, void *userdata)
{
	struct reload_call *call = userdata;

	call->connection = NULL;
}

static const struct varlink_stream_ops reload_ops = {
	.drained = on_drained,
	.closed = on_closed,
};

int reloads_begin(struct reloads *r, struct varlink_connection *connection)
{
	struct reload_call *call = calloc(1, sizeof(*call));

	if (!call)
		return -ENOMEM;
	call->connection = connection;
	call->peer = *varlink_connection_peer(connection);
	call->number = manager_reload(r->manager);
	STAILQ_INSERT_TAIL(&r->calls, call, link);
	varlink_connection_stream(connection, &reload_ops, call);
	return 0;
}

static void answer(const struct reload_call *call, int result, const char *error)
{
	if (result >= 0)
		control_log_change(&call->peer, NULL, "Configuration read again");
	if (!call->connection)
		return;
	if (result < 0)
		(void)varlink_connection_error_string(
			call->connection, CONTROL_ERROR_INVALID_CONFIGURATION, "reason", error);
	else
		(void)varlink_connection_reply(call->connection, json_object_new_object());
}

void reloads_end(struct reloads *r, uint64_t number, int result, const char *error)
{
	while (!STAILQ_EMPTY(&r->calls) && STAILQ_FIRST(&r->calls)->number <= number) {
		_cleanup_free_ struct reload_call *call = take_first(r);

		answer(call, result, error);
	}
}
