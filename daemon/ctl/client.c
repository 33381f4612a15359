// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/client.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/control-names.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/text.h"
#include "varlink/frame.h"
#include "varlink/json.h"

/* A list of as many VMs as there can be, or a VM with all the memslots that KVM allows. */
#define REPLY_MAX (64UL * 1024UL * 1024UL)

/* Between two tries to connect to a daemon that is being restarted. */
#define AGAIN_MSEC 100
/* How often it is tried where nobody may be there at all, who is then to be told soon. */
#define CONNECT_MAX 30
#define NO_LIMIT    UINT64_MAX

/**
 * struct client - a connection
 * @patient: it is made again when it is lost
 * @lost: how often that was, since the last reply
 * @lost_nsec: CLOCK_MONOTONIC, when it was lost first since then
 * @call: what was called last, as it was sent
 * @more: that has many replies
 * @until_nsec: CLOCK_MONOTONIC, by when the reply must have come; NO_LIMIT
 * @before_report: called with @userdata before something is said about a call; may be NULL
 */
struct client {
	const struct ctl *ctl;
	int fd;
	struct varlink_reader reader;
	struct varlink_writer writer;
	bool patient;
	unsigned int lost;
	uint64_t lost_nsec;
	json_object *call;
	bool more;
	uint64_t until_nsec;
	void (*before_report)(void *userdata);
	void *userdata;
};

/* What the command will end with, unless something else is said. */
static void set_status(const struct ctl *ctl, int status)
{
	ctl->outcome->status = status;
}

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

/* A daemon that hangs takes no connection once its backlog is full, and reads nothing. */
static int limit_sending(int fd, uint64_t usec)
{
	struct timeval limit = {
		.tv_sec = (time_t)(usec / USEC_PER_SEC),
		.tv_usec = (suseconds_t)(usec % USEC_PER_SEC),
	};

	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ? -errno : 0;
}

/* Returns a socket that is connected, or a negative errno. */
static int connect_to(const struct ctl *ctl)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(ctl->socket) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, ctl->socket);
	r = limit_sending(fd, ctl->timeout_usec);
	if (r < 0)
		return r;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return take_fd(&fd);
}

static void report_no_answer(const struct ctl *ctl)
{
	char span[FORMAT_SIZE];

	fprintf(stderr, "eagersplitd has not answered within %s.\n",
		format_span(span, ctl->timeout_usec));
	set_status(ctl, CTL_NO_DAEMON);
}

static void report_not_connected(const struct ctl *ctl, int r)
{
	const char *path = ctl->socket;

	switch (r) {
	case -ENOENT:
	case -ECONNREFUSED:
		report_not_running(path);
		set_status(ctl, CTL_NO_DAEMON);
		break;
	case -EACCES:
	case -EPERM:
		report_not_permitted(path);
		set_status(ctl, CTL_NOT_PERMITTED);
		break;
	case -ETIMEDOUT:
		report_no_answer(ctl);
		break;
	default:
		fprintf(stderr, "Cannot connect to %s: %s\n", path, strerror(-r));
	}
}

int client_try(struct client **ret, const struct ctl *ctl)
{
	_cleanup_close_ int fd = connect_to(ctl);
	struct client *client;

	if (fd < 0)
		return fd;
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
		report_not_connected(ctl, r);
	return r;
}

int client_connect_patiently(struct client **ret, const struct ctl *ctl)
{
	int r = client_try(ret, ctl);

	for (int i = 1; i < CONNECT_MAX && (r == -ECONNREFUSED || r == -ENOENT); i++) {
		poll(NULL, 0, AGAIN_MSEC);
		r = client_try(ret, ctl);
	}
	if (r < 0)
		report_not_connected(ctl, r);
	else
		client_set_patient(*ret);
	return r;
}

void client_set_patient(struct client *client)
{
	client->patient = true;
}

void client_set_before_report(struct client *client, void (*before)(void *userdata), void *userdata)
{
	client->before_report = before;
	client->userdata = userdata;
}

static void begin_report(const struct client *client)
{
	if (client->before_report)
		client->before_report(client->userdata);
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	varlink_reader_done(&client->reader);
	varlink_writer_done(&client->writer);
	json_object_put(client->call);
	close(client->fd);
	free(client);
	return NULL;
}

/* Returns r, after saying what it means for the connection. */
static int report_lost(const struct client *client, int r)
{
	begin_report(client);
	if (r == -ETIMEDOUT) {
		report_no_answer(client->ctl);
	} else if (r == -EPIPE || r == -ECONNRESET) {
		fprintf(stderr, "eagersplitd has closed the connection.\n");
		set_status(client->ctl, CTL_NO_DAEMON);
	} else {
		fprintf(stderr, "Lost the connection to eagersplitd: %s\n", strerror(-r));
	}
	return r;
}

/* Sends the call. Returns 0 or a negative errno. */
static int send_call(struct client *client)
{
	uint64_t limit = client->ctl->timeout_usec;
	const char *text;
	size_t length;
	int r;

	client->until_nsec = client->more || limit == 0 || limit > NO_LIMIT / NSEC_PER_USEC / 2
				     ? NO_LIMIT
				     : now_nsec(CLOCK_MONOTONIC) + limit * NSEC_PER_USEC;
	text = json_object_to_json_string_length(client->call, JSON_C_TO_STRING_PLAIN, &length);
	r = text ? varlink_writer_push(&client->writer, text, length + 1) : -ENOMEM;
	if (r < 0)
		return r;
	r = varlink_writer_flush(&client->writer, client->fd);
	if (r == -EAGAIN)
		return -ETIMEDOUT;
	/* What is to be read says more than that writing failed. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

/* The same as client_send(), but says nothing. */
static int start_call(struct client *client, const char *method, json_object *parameters, bool more)
{
	char full[128];

	if (strchr(method, '.'))
		snprintf(full, sizeof(full), "%s", method);
	else
		snprintf(full, sizeof(full), "%s.%s", CONTROL_INTERFACE, method);
	json_object_put(client->call);
	client->call = varlink_call_to_message(full, parameters, more);
	client->more = more;
	return client->call ? send_call(client) : -ENOMEM;
}

int client_send(struct client *client, const char *method, json_object *parameters, bool more)
{
	int r = start_call(client, method, parameters, more);

	return r < 0 ? report_lost(client, r) : 0;
}

/* Waits until there is something to read. Returns 0 or a negative errno. */
static int wait_to_read(const struct client *client)
{
	struct pollfd pfd = { .fd = client->fd, .events = POLLIN };
	uint64_t now;
	int r, msec;

	do {
		now = now_nsec(CLOCK_MONOTONIC);
		if (client->until_nsec == NO_LIMIT)
			msec = -1;
		else if (now >= client->until_nsec)
			return -ETIMEDOUT;
		else
			msec = (int)min_u64((client->until_nsec - now) / NSEC_PER_MSEC + 1,
					    INT32_MAX);
		r = poll(&pfd, 1, msec);
	} while (r == 0 || (r < 0 && errno == EINTR));
	return r < 0 ? -errno : 0;
}

/* Waits for a message, which is the reader's. Returns 0 or a negative errno. */
static int receive_message(struct client *client, const char **ret, size_t *ret_length)
{
	int r;

	while (varlink_reader_next(&client->reader, ret, ret_length) == 0) {
		r = wait_to_read(client);
		if (r < 0)
			return r;
		r = varlink_reader_fill(&client->reader, client->fd);
		if (r <= 0)
			return r == 0 ? -ECONNRESET : r;
	}
	return 0;
}

/*
 * Whether to try once more. As long as it may take to answer a call it may take to come back, which on
 * a busy host is some seconds; one that closes each connection at once does not keep us going for ever.
 */
static bool may_try_again(struct client *client, int r)
{
	uint64_t now = now_nsec(CLOCK_MONOTONIC), limit = client->ctl->timeout_usec;

	if (!client->patient || (r != -ECONNRESET && r != -ECONNREFUSED && r != -ENOENT))
		return false;
	/* At once where a service manager listens. */
	if (client->lost++ == 0)
		client->lost_nsec = now;
	else
		poll(NULL, 0, AGAIN_MSEC);
	return limit == 0 || (now - client->lost_nsec) / NSEC_PER_USEC <= limit;
}

/* Connects and calls again, if that is wanted. Returns r if not, or 0. */
static int again(struct client *client, int r)
{
	while (may_try_again(client, r)) {
		r = connect_to(client->ctl);
		if (r < 0)
			continue;
		close(client->fd);
		client->fd = r;
		varlink_reader_done(&client->reader);
		varlink_writer_done(&client->writer);
		r = send_call(client);
	}
	return r;
}

/* The same as client_receive(), but says nothing. */
static int receive_reply(struct client *client, struct varlink_reply *ret, const char **ret_why)
{
	json_object *message;
	const char *text;
	size_t length;
	int r;

	*ret_why = NULL;
	do {
		r = receive_message(client, &text, &length);
	} while (r == -ECONNRESET && again(client, r) == 0);
	if (r < 0)
		return r;
	client->lost = 0;
	r = varlink_message_parse(text, length, &message, ret_why);
	return r < 0 ? r : varlink_reply_from_message(message, ret, ret_why);
}

int client_receive(struct client *client, struct varlink_reply *ret)
{
	const char *why;
	int r = receive_reply(client, ret, &why);

	if (r < 0 && why) {
		begin_report(client);
		fprintf(stderr, "eagersplitd sent an invalid reply: %s\n", why);
	} else if (r < 0) {
		report_lost(client, r);
	}
	return r;
}

/* Some services leave it out where there is nothing to say. */
static json_object *take_parameters(const struct varlink_reply *reply)
{
	return reply->parameters ? json_object_get(reply->parameters) : json_object_new_object();
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
	return take_parameters(&reply);
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
			"To try eagersplitd without, run it by hand, in a folder of its own, with\n"
			"\"--backend=sim --socket=FOLDER/control.sock\".\n"
			"\"eagersplitctl doctor\" checks all that is needed.\n");
}

static void report_invalid(const char *parameter)
{
	fprintf(stderr, "Invalid value for \"%s\".\n", parameter);
	if (strcmp(parameter, "name") == 0)
		fprintf(stderr,
			"Names are up to 128 bytes of UTF-8, not only blanks, without \"/\" and "
			"control\ncharacters, and do not look like an id, as 1234.5 does.\n");
}

static void report_standard(const struct ctl *ctl, const struct varlink_reply *reply)
{
	if (client_reply_is_error(reply, VARLINK_ERROR_PERMISSION_DENIED)) {
		set_status(ctl, CTL_NOT_PERMITTED);
		fprintf(stderr,
			"Permission denied: only root and the members of Group= in [Control] of\n"
			"eagersplitd.conf may change something.\n");
	} else if (client_reply_is_error(reply, VARLINK_ERROR_INVALID_PARAMETER))
		report_invalid(ctl_json_string(reply->parameters, "parameter"));
	else
		fprintf(stderr,
			"eagersplitd answered %s; its version may differ from this program's.\n",
			reply->error);
}

/* Two things: the name that was asked for is taken, or the process is registered. */
static void report_exists(const struct ctl *ctl, json_object *p)
{
	const char *vm = ctl_json_string(p, "vm");
	long long pid = (long long)ctl_json_int(p, "pid");
	char shown[TEXT_ESCAPED_MAX];

	text_escape(shown, vm);
	if (ctl->name && strcmp(ctl->name, vm) == 0)
		fprintf(stderr, "The name \"%s\" is taken, by the VM of process %lld.\n", shown,
			pid);
	else
		fprintf(stderr, "Process %lld is registered already, as \"%s\".\n", pid, shown);
}

void client_report(struct client *client, const struct varlink_reply *reply)
{
	json_object *p = reply->parameters;
	char vm[TEXT_ESCAPED_MAX];

	begin_report(client);
	text_escape(vm, ctl_json_string(p, "vm"));
	if (client->ctl->json) {
		ctl_json_print(reply->message);
		client->ctl->outcome->told = true;
	}
	if (client_reply_is_error(reply, CONTROL_ERROR_NO_SUCH_VM) ||
	    client_reply_is_error(reply, CONTROL_ERROR_NO_SUCH_PROCESS) ||
	    client_reply_is_error(reply, CONTROL_ERROR_NOT_A_VMM))
		set_status(client->ctl, CTL_NO_SUCH_VM);
	if (client_reply_is_error(reply, CONTROL_ERROR_NO_SUCH_VM))
		fprintf(stderr, "No VM \"%s\": \"eagersplitctl list\" shows those there are.\n",
			vm);
	else if (client_reply_is_error(reply, CONTROL_ERROR_NO_SUCH_PROCESS))
		fprintf(stderr, "No process %lld.\n", (long long)ctl_json_int(p, "pid"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_NOT_A_VMM))
		fprintf(stderr, "Process %lld has no KVM VM.\n", (long long)ctl_json_int(p, "pid"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_VM_EXISTS))
		report_exists(client->ctl, p);
	else if (client_reply_is_error(reply, CONTROL_ERROR_INVALID_TRANSITION))
		fprintf(stderr, "A migration that is \"%s\" cannot become \"%s\".\n",
			ctl_json_string(p, "from"), ctl_json_string(p, "to"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_NOT_KEPT))
		fprintf(stderr,
			"Refused: what is known of \"%s\" can be neither written nor removed: %s.\n",
			vm, ctl_json_string(p, "reason"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_INVALID_CONFIGURATION))
		fprintf(stderr, "Nothing was changed: %s\n", ctl_json_string(p, "reason"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_TRY_AGAIN))
		fprintf(stderr, "Not now, try again: %s.\n", ctl_json_string(p, "reason"));
	else if (client_reply_is_error(reply, CONTROL_ERROR_UNSUPPORTED))
		report_unsupported(client, reply);
	else
		report_standard(client->ctl, reply);
}

int client_try_ask(struct client *client, const char *method, json_object *parameters,
		   json_object **ret)
{
	_cleanup_(varlink_reply_done) struct varlink_reply reply = { 0 };
	const char *why;
	int r;

	/* Nobody is told of it: nor is that by which a command would end. */
	r = start_call(client, method, parameters, false);
	if (r == 0)
		r = receive_reply(client, &reply, &why);
	if (r == 0 && reply.error)
		r = -EREMOTEIO;
	if (r < 0)
		return r;
	*ret = take_parameters(&reply);
	return *ret ? 0 : -ENOMEM;
}
