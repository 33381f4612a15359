// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-connection.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "varlink/server.h"

/* Replies that a client that does not read leaves behind before it loses the connection. */
#define UNREAD_MAX 16
#define VIEWS_MAX  16

enum call_state {
	CALL_NONE,
	CALL_AT_HAND,
	CALL_STREAMING,
};

struct varlink_connection {
	size_t client;
	const struct varlink_connection_ops *ops;
	void *userdata;
	struct ucred peer;
	int descriptor;
	enum call_state state;
	bool oneway;
	bool more;
	bool watches_all;
	bool gone; /* the client, which wants no answer to what is under way */
	bool lost;
	bool busy;
	bool again;
	size_t unread;
	char *text; /* of an answer, so far */
	size_t size;
	const struct varlink_stream_ops *stream;
	void *stream_userdata;
	size_t n_views;
	struct view views[VIEWS_MAX];
};

static struct varlink_server *server;
/* That was made last. */
static struct varlink_connection *made;
static struct varlink_connection *clients[CLIENTS];
/* Of clients that have left, with something under way. */
static struct varlink_connection *left[CLIENTS];

int __real_varlink_server_new(struct varlink_server **ret, sd_event *event, int fd,
			      const struct varlink_interface *const *interfaces,
			      const struct varlink_server_ops *ops, void *userdata);
int __wrap_varlink_server_new(struct varlink_server **ret, sd_event *event, int fd,
			      const struct varlink_interface *const *interfaces,
			      const struct varlink_server_ops *ops, void *userdata);

int __wrap_varlink_server_new(struct varlink_server **ret, sd_event *event, int fd,
			      const struct varlink_interface *const *interfaces,
			      const struct varlink_server_ops *ops, void *userdata)
{
	int r = __real_varlink_server_new(ret, event, fd, interfaces, ops, userdata);

	server = r < 0 ? NULL : *ret;
	return r;
}

void client_connect(size_t client, uid_t uid)
{
	check(!clients[client]);
	made = NULL;
	varlink_server_connect(server, -1, &(struct ucred){ .pid = 1, .uid = uid, .gid = uid });
	check(made);
	made->client = client;
	clients[client] = made;
}

bool client_may_call(size_t client)
{
	const struct varlink_connection *c = clients[client];

	return c && c->state == CALL_NONE && !c->lost && !c->busy;
}

bool client_is_calling(size_t client)
{
	return clients[client] && clients[client]->state != CALL_NONE;
}

bool client_is_waiting(size_t client)
{
	const struct varlink_connection *c = clients[client];

	return c && c->state != CALL_NONE && !c->more;
}

bool client_is_watching(size_t client)
{
	const struct varlink_connection *c = clients[client];

	return c && c->state != CALL_NONE && c->watches_all && !c->lost;
}

const struct view *client_get_view(size_t client, const char *vm)
{
	const struct varlink_connection *c = clients[client];

	for (size_t i = 0; c && i < c->n_views; i++)
		if (strcmp(c->views[i].vm, vm) == 0)
			return &c->views[i];
	return NULL;
}

static void discard_descriptor(struct varlink_connection *c)
{
	int fd = take_fd(&c->descriptor);

	if (fd >= 0)
		c->ops->close(c->peer.uid, fd, c->userdata);
}

void client_call(size_t client, const struct client_call *what)
{
	struct varlink_connection *c = clients[client];
	struct varlink_call call = {
		.method = what->method,
		.parameters = what->parameters,
		.more = what->more && !what->oneway,
		.oneway = what->oneway,
	};

	check(client_may_call(client));
	c->state = CALL_AT_HAND;
	c->oneway = call.oneway;
	c->more = call.more;
	c->watches_all = call.more && !json_object_object_get_ex(what->parameters, "vm", NULL);
	c->n_views = 0;
	c->descriptor = what->descriptor;
	c->ops->call(c, &call, c->userdata);
	json_object_put(what->parameters);
	/* It was answered, or will be. */
	check(c->state != CALL_AT_HAND);
	if (c->state == CALL_NONE)
		discard_descriptor(c);
}

void client_set_busy(size_t client, bool busy)
{
	struct varlink_connection *c = clients[client];

	if (!c || c->busy == busy)
		return;
	c->busy = busy;
	c->unread = 0;
	if (!busy && !c->lost && c->state == CALL_STREAMING)
		c->stream->drained(c, c->stream_userdata);
}

void client_hang_up(size_t client)
{
	struct varlink_connection *c = clients[client];

	if (!c)
		return;
	/* Behind what wants no answer there may be more: it is not known that it has left. */
	if (c->state == CALL_STREAMING && c->oneway && !c->lost && !left[client]) {
		c->gone = true;
		clients[client] = NULL;
		left[client] = c;
		return;
	}
	varlink_connection_free(c);
}

/* False: there is nothing to be done for it. */
static bool client_turn(struct varlink_connection *c)
{
	if (c->lost || (c->gone && c->state == CALL_NONE)) {
		varlink_connection_free(c);
		return true;
	}
	if (!c->again)
		return false;
	c->again = false;
	if (!c->busy && c->state == CALL_STREAMING)
		c->stream->drained(c, c->stream_userdata);
	return true;
}

bool clients_turn(void)
{
	bool any = false;

	for (size_t i = 0; i < CLIENTS; i++) {
		any |= clients[i] && client_turn(clients[i]);
		any |= left[i] && client_turn(left[i]);
	}
	return any;
}

/*
 * varlink/connection.h
 */

struct varlink_connection *varlink_connection_free(struct varlink_connection *c)
{
	if (c->state == CALL_STREAMING)
		c->stream->closed(c, c->stream_userdata);
	c->ops->freed(c, c->userdata);
	discard_descriptor(c);
	if (c->gone)
		left[c->client] = NULL;
	else
		clients[c->client] = NULL;
	free(c->text);
	free(c);
	return NULL;
}

int varlink_connection_new(struct varlink_connection **ret, sd_event *event, int fd,
			   const struct ucred *peer, const struct varlink_connection_ops *ops,
			   void *userdata)
{
	struct varlink_connection *c = calloc(1, sizeof(*c));

	check(c);
	c->ops = ops;
	c->userdata = userdata;
	c->peer = *peer;
	c->descriptor = -1;
	*ret = made = c;
	return 0;
}

const struct ucred *varlink_connection_peer(const struct varlink_connection *c)
{
	return &c->peer;
}

bool varlink_connection_in_group(const struct varlink_connection *c, gid_t group)
{
	return false;
}

bool varlink_connection_is_busy(const struct varlink_connection *c)
{
	return c->busy;
}

bool varlink_connection_is_oneway(const struct varlink_connection *c)
{
	return c->oneway;
}

void varlink_connection_set_stats(struct varlink_connection *c, void *stats)
{
}

int varlink_connection_take_descriptor(struct varlink_connection *c)
{
	return take_fd(&c->descriptor);
}

/* Clients have no sockets. */
void varlink_connection_received(struct varlink_connection *c, ssize_t result, const void *bytes,
				 int descriptor)
{
	check(false);
}

bool varlink_connection_has_descriptor(const struct varlink_connection *c)
{
	return c->descriptor >= 0;
}

static const char *get_string(json_object *vm, const char *key)
{
	json_object *value;

	check(json_object_object_get_ex(vm, key, &value));
	return json_object_get_string(value);
}

static void view_vm(struct varlink_connection *c, json_object *vm, bool gone)
{
	const char *name = get_string(vm, "vm");
	struct view *view = (struct view *)client_get_view(c->client, name);

	if (gone && view)
		*view = c->views[--c->n_views];
	if (gone)
		return;
	if (!view && c->n_views < VIEWS_MAX)
		view = &c->views[c->n_views++];
	if (!view)
		return;
	snprintf(view->vm, sizeof(view->vm), "%s", name);
	snprintf(view->migration, sizeof(view->migration), "%s", get_string(vm, "migration"));
	snprintf(view->stage, sizeof(view->stage), "%s", get_string(vm, "stage"));
}

static int answer(struct varlink_connection *c, json_object *parameters)
{
	check(parameters);
	/* Once, and not twice. */
	check(c->state != CALL_NONE);
	json_object_put(parameters);
	c->state = CALL_NONE;
	c->stream = NULL;
	return c->lost ? -ENOTCONN : 0;
}

int varlink_connection_reply(struct varlink_connection *c, json_object *parameters)
{
	return answer(c, parameters);
}

int varlink_connection_error(struct varlink_connection *c, const char *error,
			     json_object *parameters)
{
	check(strchr(error, '.'));
	return answer(c, parameters);
}

int varlink_connection_error_string(struct varlink_connection *c, const char *error,
				    const char *name, const char *value)
{
	json_object *parameters = json_object_new_object();

	check(varlink_json_set_string(parameters, name, value) == 0);
	return varlink_connection_error(c, error, parameters);
}

int varlink_connection_error_parameter(struct varlink_connection *c, const char *field)
{
	return varlink_connection_error_string(c, VARLINK_ERROR_INVALID_PARAMETER, "parameter",
					       field);
}

int varlink_connection_deny(struct varlink_connection *c, const char *method)
{
	return varlink_connection_error(c, VARLINK_ERROR_PERMISSION_DENIED,
					json_object_new_object());
}

void varlink_connection_stream(struct varlink_connection *c, const struct varlink_stream_ops *ops,
			       void *userdata)
{
	check(c->state == CALL_AT_HAND || c->state == CALL_STREAMING);
	c->state = CALL_STREAMING;
	c->stream = ops;
	c->stream_userdata = userdata;
}

char *varlink_notification_to_text(json_object *parameters, size_t *ret_length)
{
	json_object *message = varlink_reply_to_message(parameters, true);
	char *text;

	check(message);
	text = strdup(json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN));
	check(text);
	json_object_put(message);
	*ret_length = strlen(text);
	return text;
}

int varlink_connection_notify_text(struct varlink_connection *c, const char *text, size_t length)
{
	json_object *message, *parameters;
	const char *reason;

	check(varlink_message_parse(text, length, &message, &reason) == 0);
	check(json_object_object_get_ex(message, "parameters", &parameters));
	parameters = json_object_get(parameters);
	json_object_put(message);
	return varlink_connection_notify(c, parameters);
}

/* All that was sent of it is one message. */
static void check_text(struct varlink_connection *c)
{
	json_object *message;
	const char *reason;

	check(c->size && !c->text[c->size - 1]);
	check(varlink_message_parse(c->text, c->size - 1, &message, &reason) == 0);
	json_object_put(message);
	free(c->text);
	c->text = NULL;
	c->size = 0;
}

int varlink_connection_send_part(struct varlink_connection *c, const char *text, size_t length,
				 bool last)
{
	check(c->state == CALL_STREAMING && !c->oneway);
	c->text = realloc(c->text, c->size + length + 1);
	check(c->text);
	memcpy(c->text + c->size, text, length);
	c->size += length;
	if (last) {
		check_text(c);
		c->state = CALL_NONE;
	}
	return c->lost ? -ENOTCONN : 0;
}

void varlink_connection_give_up(struct varlink_connection *c)
{
	c->lost = true;
}

void varlink_connection_drop(struct varlink_connection *c)
{
	c->lost = true;
}

void varlink_connection_again(struct varlink_connection *c)
{
	c->again = true;
}

size_t varlink_connection_get_bytes(const struct varlink_connection *c)
{
	return 0;
}

int varlink_connection_notify(struct varlink_connection *c, json_object *parameters)
{
	json_object *vm;

	check(parameters && c->state == CALL_STREAMING && c->more);
	if (json_object_object_get_ex(parameters, "vm", &vm))
		view_vm(c, vm, json_object_object_get_ex(parameters, "gone", NULL));
	json_object_put(parameters);
	c->lost = c->lost || (c->busy && ++c->unread > UNREAD_MAX);
	return c->lost ? -ENOTCONN : 0;
}
