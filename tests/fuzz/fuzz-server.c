// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The server with connections to it: a program of bytes connects, sends, reads, hangs
 * up and answers streams, in any order. Bounds hold, nothing leaks, and what answers
 * there are begin like answers.
 */
#include <string.h>

#include "base/util.h"
#include "fuzz.h"
#include "local-socket.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/server.h"
#include "varlink/service.h"

#define CLIENTS 4

struct client {
	int fd; /* -1: not connected */
	bool inside; /* of a message that is being received */
};

struct fixture {
	sd_event *event;
	struct varlink_server *server;
	struct local_socket socket;
	struct client clients[CLIENTS];
	struct varlink_connection *streams[CLIENTS];
	size_t n_streams;
	bool may_change;
};

struct echo_params {
	const char *text;
	struct varlink_int number;
};

static const struct varlink_field echo_fields[] = {
	VARLINK_FIELD("text", VARLINK_STRING, struct echo_params, text, .optional = true),
	VARLINK_FIELD("number", VARLINK_INT, struct echo_params, number, .optional = true,
		      .min = INT64_MIN, .max = INT64_MAX),
	{ 0 },
};

static json_object *echo_parameters(const struct echo_params *p)
{
	json_object *object = json_object_new_object();

	check(object);
	if (p->text)
		check(varlink_json_set(object, "text", json_object_new_string(p->text)) == 0);
	if (p->number.given)
		check(varlink_json_set(object, "number", json_object_new_int64(p->number.value)) ==
		      0);
	return object;
}

static int echo(struct varlink_connection *connection, const void *params, void *userdata)
{
	return varlink_connection_reply(connection, echo_parameters(params));
}

static void forget(struct fixture *f, const struct varlink_connection *connection)
{
	for (size_t i = 0; i < f->n_streams; i++)
		if (f->streams[i] == connection)
			f->streams[i] = f->streams[--f->n_streams];
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
	(void)varlink_connection_notify(connection, json_object_new_object());
}

static void on_closed(struct varlink_connection *connection, void *userdata)
{
	forget(userdata, connection);
}

static const struct varlink_stream_ops stream_ops = { on_drained, on_closed };

static int stream(struct varlink_connection *connection, const void *params, void *userdata)
{
	struct fixture *f = userdata;

	check(f->n_streams < CLIENTS);
	f->streams[f->n_streams++] = connection;
	varlink_connection_stream(connection, &stream_ops, f);
	return 0;
}

static int fail_handler(struct varlink_connection *connection, const void *params, void *userdata)
{
	return -1;
}

static const struct varlink_method methods[] = {
	{ "Echo", 0, echo_fields, echo },
	{ "Change", VARLINK_METHOD_CHANGES, echo_fields, echo },
	{ "Stream", VARLINK_METHOD_MORE, NULL, stream },
	{ "Fail", 0, NULL, fail_handler },
	{ "Later", 0, NULL, NULL },
	{ 0 },
};

static const struct varlink_interface interface = {
	.name = "a.b",
	.description = "interface a.b\n",
	.methods = methods,
};

static const struct varlink_interface *const interfaces[] = { &interface,
							      &varlink_service_interface, NULL };

static bool may_change(const struct varlink_connection *connection, void *userdata)
{
	struct fixture *f = userdata;

	return f->may_change;
}

/* Millions of runs would say the same. */
static void log_nothing(int priority, const struct ucred *peer, const char *text, void *userdata)
{
}

static const struct varlink_server_ops server_ops = {
	.may_change = may_change,
	.log = log_nothing,
};

static void run(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		check(varlink_server_n_connections(f->server) <= CLIENTS + 1);
}

static void set_up(struct fixture *f)
{
	int fd = local_socket_listen(&f->socket, CLIENTS);

	check(fd >= 0);
	for (size_t i = 0; i < CLIENTS; i++)
		f->clients[i].fd = -1;
	check(sd_event_new(&f->event) == 0);
	check(varlink_server_new(&f->server, f->event, fd, interfaces, &server_ops, f) == 0);
}

static void hang_up(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static void tear_down(struct fixture *f)
{
	for (size_t i = 0; i < CLIENTS; i++)
		hang_up(&f->clients[i]);
	run(f);
	/* Those that streamed to nobody have noticed by now or do when they are freed. */
	varlink_server_free(f->server);
	check(f->n_streams == 0);
	sd_event_unref(f->event);
}

static void reconnect(struct fixture *f, struct client *client)
{
	hang_up(client);
	run(f);
	client->inside = false;
	client->fd = local_socket_connect(&f->socket);
	check(client->fd >= 0);
}

static void send_some(int client, const uint8_t *data, size_t size)
{
	if (client >= 0)
		(void)!send(client, data, size, MSG_NOSIGNAL);
}

static void send_call(int client, unsigned int which)
{
	static const char *const calls[] = {
		"{\"method\":\"a.b.Echo\",\"parameters\":{\"text\":\"x\",\"number\":-1}}",
		"{\"method\":\"a.b.Stream\",\"more\":true}",
		"{\"method\":\"a.b.Change\"}",
		"{\"method\":\"a.b.Fail\"}",
		"{\"method\":\"a.b.Later\",\"oneway\":true}",
		"{\"method\":\"org.varlink.service.GetInfo\"}",
		"{\"method\":\"a.c\"}",
		"{}",
	};
	const char *call = calls[which % ARRAY_SIZE(calls)];

	send_some(client, (const uint8_t *)call, strlen(call) + 1);
}

static void receive_some(struct client *client)
{
	char buffer[65536];
	ssize_t n = client->fd >= 0 ? recv(client->fd, buffer, sizeof(buffer), 0) : 0;

	for (ssize_t i = 0; i < n; i++) {
		check(client->inside || buffer[i] == '{');
		client->inside = buffer[i] != '\0';
	}
}

static void answer_stream(struct fixture *f, bool last)
{
	struct varlink_connection *connection;

	if (f->n_streams == 0)
		return;
	connection = f->streams[0];
	if (!last) {
		(void)varlink_connection_notify(connection, json_object_new_object());
		return;
	}
	forget(f, connection);
	(void)varlink_connection_reply(connection, json_object_new_object());
}

/* One instruction; gives how many bytes of it and its data there were. */
static size_t step(struct fixture *f, const uint8_t *data, size_t size)
{
	struct client *client = &f->clients[data[0] % CLIENTS];
	unsigned int operand = size > 1 ? data[1] : 0;
	size_t n;

	switch (data[0] / CLIENTS % 8) {
	case 0:
		reconnect(f, client);
		return 1;
	case 1:
		hang_up(client);
		return 1;
	case 2:
		if (client->fd >= 0)
			shutdown(client->fd, operand & 1 ? SHUT_WR : SHUT_RD);
		return 2;
	case 3:
		send_call(client->fd, operand);
		return 2;
	case 4:
		n = size > 2 ? min_u64(operand, size - 2) : 0;
		send_some(client->fd, data + 2, n);
		return 2 + n;
	case 5:
		receive_some(client);
		return 1;
	case 6:
		answer_stream(f, operand & 1);
		f->may_change = operand & 2;
		return 2;
	default:
		run(f);
		return 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fixture f = {};
	size_t n;

	if (size > 4096)
		return 0;
	set_up(&f);
	for (size_t i = 0; i < size; i += n) {
		n = step(&f, data + i, size - i);
		if (n > size - i)
			break;
	}
	tear_down(&f);
	return 0;
}
