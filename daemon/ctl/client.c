// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/client.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/control-names.h"
#include "ctl/json.h"
#include "varlink/frame.h"
#include "varlink/json.h"

/* A list of as many VMs as there can be, or a VM with all the memslots that KVM allows. */
#define REPLY_MAX (64UL * 1024UL * 1024UL)

struct client {
	const struct ctl *ctl;
	int fd;
	struct varlink_reader reader;
	struct varlink_writer writer;
};

static void report_not_permitted(const char *path)
{
	struct stat st;
	struct group *group = NULL;

	if (stat(path, &st) == 0 && st.st_mode & S_IWGRP && st.st_gid != 0)
		group = getgrgid(st.st_gid);
	fprintf(stderr, "Not permitted to connect to %s.\n", path);
	if (group)
		fprintf(stderr, "Try again as root, or as a member of the group %s.\n",
			group->gr_name);
	else
		fprintf(stderr, "Try again as root.\n");
}

static void report_not_running(const char *path)
{
	fprintf(stderr, "eagersplitd is not running: nothing listens on %s.\n", path);
	if (strcmp(path, EAGERSPLITD_SOCKET) == 0)
		fprintf(stderr, "Start it with: systemctl start eagersplitd.socket\n");
	else
		fprintf(stderr, "Start it with: eagersplitd --socket=%s\n", path);
}

static int connect_to(int fd, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

static void report_not_connected(const char *path, int r)
{
	switch (r) {
	case -ENOENT:
	case -ECONNREFUSED:
		report_not_running(path);
		break;
	case -EACCES:
	case -EPERM:
		report_not_permitted(path);
		break;
	default:
		fprintf(stderr, "Cannot connect to %s: %s\n", path, strerror(-r));
	}
}

int client_try(struct client **ret, const struct ctl *ctl)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct client *client;
	int r;

	if (fd < 0)
		return -errno;
	r = connect_to(fd, ctl->socket);
	if (r < 0)
		return r;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->ctl = ctl;
	client->fd = take_fd(&fd);
	client->reader.max = REPLY_MAX;
	*ret = client;
	return 0;
}

int client_connect(struct client **ret, const struct ctl *ctl)
{
	int r = client_try(ret, ctl);

	if (r < 0)
		report_not_connected(ctl->socket, r);
	return r;
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	varlink_reader_done(&client->reader);
	varlink_writer_done(&client->writer);
	close(client->fd);
	free(client);
	return NULL;
}

/* Returns r, after saying what it means for the connection. */
static int report_lost(int r)
{
	if (r == -EPIPE || r == -ECONNRESET)
		fprintf(stderr, "eagersplitd has closed the connection.\n");
	else
		fprintf(stderr, "Lost the connection to eagersplitd: %s\n", strerror(-r));
	return r;
}

int client_send(struct client *client, const char *method, json_object *parameters, bool more)
{
	_cleanup_json_ json_object *message = NULL;
	char full[128];
	const char *text;
	size_t length;
	int r;

	if (strchr(method, '.'))
		snprintf(full, sizeof(full), "%s", method);
	else
		snprintf(full, sizeof(full), "%s.%s", CONTROL_INTERFACE, method);
	message = varlink_call_to_message(full, parameters, more);
	if (!message)
		return report_lost(-ENOMEM);
	text = json_object_to_json_string_length(message, JSON_C_TO_STRING_PLAIN, &length);
	r = text ? varlink_writer_push(&client->writer, text, length) : -ENOMEM;
	if (r < 0)
		return report_lost(r);
	r = varlink_writer_flush(&client->writer, client->fd);
	/* What is to be read says more than that writing failed. */
	return r < 0 && r != -EPIPE ? report_lost(r) : 0;
}

int client_receive(struct client *client, struct varlink_reply *ret)
{
	json_object *message;
	const char *text, *why;
	size_t length;
	int r;

	while (varlink_reader_next(&client->reader, &text, &length) == 0) {
		r = varlink_reader_fill(&client->reader, client->fd);
		if (r == 0)
			r = -ECONNRESET;
		if (r < 0)
			return report_lost(r);
	}
	r = varlink_message_parse(text, length, &message, &why);
	if (r == 0)
		r = varlink_reply_from_message(message, ret, &why);
	if (r == -ENOMEM)
		return report_lost(r);
	if (r < 0)
		fprintf(stderr, "eagersplitd sent an invalid reply: %s\n", why);
	return r;
}

json_object *client_ask(struct client *client, const char *method, json_object *parameters)
{
	_cleanup_(varlink_reply_done) struct varlink_reply reply = { 0 };

	if (client_send(client, method, parameters, false) < 0 ||
	    client_receive(client, &reply) < 0)
		return NULL;
	if (reply.error) {
		client_report(client, &reply);
		return NULL;
	}
	/* Some services leave it out where there is nothing to say. */
	return reply.parameters ? json_object_get(reply.parameters) : json_object_new_object();
}

json_object *client_call(struct client *client, const char *method, json_object *parameters)
{
	json_object *reply = client_ask(client, method, parameters);

	if (reply && client->ctl->json)
		ctl_json_print(reply);
	return reply;
}

json_object *client_call_once(const struct ctl *ctl, const char *method, json_object *parameters)
{
	_cleanup_(client_freep) struct client *client = NULL;

	if (client_connect(&client, ctl) < 0) {
		json_object_put(parameters);
		return NULL;
	}
	return client_call(client, method, parameters);
}

bool client_reply_is_error(const struct varlink_reply *reply, const char *error)
{
	return reply->error && strcmp(reply->error, error) == 0;
}

/* Tells a kernel without the ioctls from the other reasons, for there is something to do then. */
static void report_unsupported(struct client *client, const struct varlink_reply *reply)
{
	_cleanup_(varlink_reply_done) struct varlink_reply host = { 0 };

	fprintf(stderr, "Refused: %s\n", ctl_json_string(reply->parameters, "reason"));
	if (client_send(client, "GetHost", json_object_new_object(), false) < 0 ||
	    client_receive(client, &host) < 0 || host.error)
		return;
	if (!ctl_json_bool(ctl_json_member(host.parameters, "host"), "supported"))
		fprintf(stderr,
			"Splitting needs a kernel with the eager-split patches: build it with\n"
			"\"make -C kernel debs\" in the source of eagersplitd, install and boot it.\n"
			"To try eagersplitd without, set Backend=sim in its configuration.\n"
			"\"eagersplitctl doctor\" checks all that is needed.\n");
}

static void report_invalid(const char *parameter)
{
	fprintf(stderr, "Invalid value for \"%s\".\n", parameter);
	if (strcmp(parameter, "name") == 0)
		fprintf(stderr,
			"Names are up to 128 letters, digits and . _ : @ + -, begin with a "
			"letter or a\ndigit, and do not look like an id, as 1234.5 does.\n");
}

static void report_standard(const struct varlink_reply *reply)
{
	if (client_reply_is_error(reply, VARLINK_ERROR_PERMISSION_DENIED))
		fprintf(stderr,
			"Permission denied: only root and the members of Group= in [Control] of\n"
			"eagersplitd.conf may change something.\n");
	else if (client_reply_is_error(reply, VARLINK_ERROR_INVALID_PARAMETER))
		report_invalid(ctl_json_string(reply->parameters, "parameter"));
	else
		fprintf(stderr,
			"eagersplitd answered %s; its version may differ from this program's.\n",
			reply->error);
}

void client_report(struct client *client, const struct varlink_reply *reply)
{
	json_object *p = reply->parameters;

	if (client->ctl->json)
		ctl_json_print(reply->message);
	if (client_reply_is_error(reply, CONTROL_ERROR_NO_SUCH_VM))
		fprintf(stderr, "No VM \"%s\": \"eagersplitctl list\" shows those there are.\n",
			ctl_json_string(p, "vm"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_NO_SUCH_PROCESS))
		fprintf(stderr, "No process %lld.\n", (long long)ctl_json_int(p, "pid"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_NOT_A_VMM))
		fprintf(stderr, "Process %lld has no KVM VM.\n", (long long)ctl_json_int(p, "pid"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_VM_EXISTS))
		fprintf(stderr, "VM \"%s\" is registered already.\n", ctl_json_string(p, "vm"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_INVALID_TRANSITION))
		fprintf(stderr, "A migration that is \"%s\" cannot become \"%s\".\n",
			ctl_json_string(p, "from"), ctl_json_string(p, "to"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_INVALID_CONFIGURATION))
		fprintf(stderr, "Nothing was changed: %s\n", ctl_json_string(p, "reason"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_UNSUPPORTED))
		report_unsupported(client, reply);
	else
		report_standard(reply);
}
