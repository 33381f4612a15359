// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/ratelimit.h"
#include "base/util.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/message.h"
#include "varlink/peer.h"

/* After accept() failed for want of something, it is tried again after this time. */
#define ACCEPT_PAUSE_USEC 1000000ULL
/* Connections taken before the event loop looks at the others again. */
#define ACCEPTS_AT_ONCE 16
/* Lines in the log about what clients do, in so much time. */
#define LOG_BURST    200
#define LOG_INTERVAL (30 * NSEC_PER_SEC)

struct varlink_server {
	sd_event *event;
	int fd;
	sd_event_source *io;
	sd_event_source *pause;
	const struct varlink_interface *interfaces[VARLINK_INTERFACES_MAX + 1]; /* NULL ends it */
	const struct varlink_server_ops *ops;
	void *userdata;

	struct varlink_connection_ops connection_ops;
	struct varlink_connection *connections[VARLINK_CONNECTIONS_MAX];
	size_t n_connections;
	struct ratelimit log_limit;
	struct ratelimit refusal_limit; /* of the log about connections */
	struct varlink_server_stats stats;
};

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_pause_end(sd_event_source *source, uint64_t usec, void *userdata);
static const struct varlink_connection_ops connection_ops;

static int add_sources(struct varlink_server *s)
{
	int r;

	r = sd_event_add_io(s->event, &s->io, s->fd, EPOLLIN, on_accept, s);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(s->event, &s->pause, CLOCK_MONOTONIC, 0, 0, on_pause_end, s);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
}

static void add_interface(struct varlink_server *s, size_t i,
			  const struct varlink_interface *interface)
{
	struct varlink_server_stats *stats = &s->stats;

	s->interfaces[i] = interface;
	for (const struct varlink_method *m = interface->methods; m->name; m++) {
		assert(stats->n_methods < VARLINK_METHODS_MAX);
		stats->methods[stats->n_methods++] = (struct varlink_method_stats){
			.interface = interface,
			.method = m,
		};
	}
}

static void add_interfaces(struct varlink_server *s,
			   const struct varlink_interface *const *interfaces)
{
	for (size_t i = 0; interfaces[i]; i++) {
		assert(i < VARLINK_INTERFACES_MAX);
		add_interface(s, i, interfaces[i]);
	}
}

static void *receive_for_connection(struct varlink_connection *connection, int fd, size_t size,
				    void *userdata)
{
	struct varlink_server *s = userdata;

	return s->ops->receive(connection, fd, size, s->userdata);
}

static void close_for(uid_t uid, int fd, void *userdata)
{
	struct varlink_server *s = userdata;

	if (s->ops->close)
		s->ops->close(uid, fd, s->userdata);
	else
		close(fd);
}

int varlink_server_new(struct varlink_server **ret, sd_event *event, int fd,
		       const struct varlink_interface *const *interfaces,
		       const struct varlink_server_ops *ops, void *userdata)
{
	struct varlink_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		close(fd);
		return -ENOMEM;
	}
	/* systemd hands sockets over in blocking mode. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
		r = -errno;
		close(fd);
		free(s);
		return r;
	}
	s->event = sd_event_ref(event);
	s->fd = fd;
	add_interfaces(s, interfaces);
	s->ops = ops;
	s->log_limit = (struct ratelimit){ .interval = LOG_INTERVAL, .burst = LOG_BURST };
	/* Ten thousand lines would not say more, and what else is to be said gets its place. */
	s->refusal_limit = (struct ratelimit){ .interval = LOG_INTERVAL, .burst = 1 };
	s->userdata = userdata;
	s->connection_ops = connection_ops;
	s->connection_ops.receive = ops->receive ? receive_for_connection : NULL;
	s->connection_ops.forget = ops->forget;
	r = add_sources(s);
	if (r < 0) {
		varlink_server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct varlink_server *varlink_server_free(struct varlink_server *s)
{
	if (!s)
		return NULL;
	while (s->n_connections > 0)
		varlink_connection_free(s->connections[s->n_connections - 1]);
	sd_event_source_disable_unref(s->pause);
	sd_event_source_disable_unref(s->io);
	sd_event_unref(s->event);
	close_for(0, s->fd, s);
	free(s);
	return NULL;
}

size_t varlink_server_n_connections(const struct varlink_server *s)
{
	return s->n_connections;
}

static void on_freed(struct varlink_connection *connection, void *userdata)
{
	struct varlink_server *s = userdata;

	for (size_t i = 0; i < s->n_connections; i++) {
		if (s->connections[i] != connection)
			continue;
		s->connections[i] = s->connections[--s->n_connections];
		return;
	}
}

const struct varlink_interface *varlink_server_interface(const struct varlink_server *s, size_t i)
{
	return s->interfaces[i];
}

const struct varlink_server_stats *varlink_server_stats(const struct varlink_server *s)
{
	return &s->stats;
}

static void count_error(void *method_stats, const char *error, void *userdata)
{
	struct varlink_method_stats *method = method_stats;
	struct varlink_server *s = userdata;
	struct varlink_server_stats *stats = &s->stats;
	size_t i = 0;

	if (method)
		method->errors++;
	while (i < stats->n_errors && strcmp(stats->errors[i].error, error) != 0)
		i++;
	if (i == VARLINK_ERRORS_MAX)
		return;
	if (i == stats->n_errors)
		stats->errors[stats->n_errors++].error = error;
	stats->errors[i].count++;
}

static void count_dropped(void *userdata)
{
	struct varlink_server *s = userdata;

	s->stats.dropped++;
}

/* Logs what is about no client. */
static void _printf_(3, 4) log_own(struct varlink_server *s, int priority, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	s->ops->log(priority, NULL, text, s->userdata);
}

/*
 * Logs what a client did, followed by who it is. Not each time: there are bounds on what
 * clients can fill the log with.
 */
static void _printf_(4, 5)
	log_client(void *userdata, int priority, const struct ucred *peer, const char *format, ...)
{
	struct varlink_server *s = userdata;
	char what[256], text[320];
	uint64_t missed;
	va_list ap;

	if (!ratelimit_allow(&s->log_limit, now_nsec(CLOCK_MONOTONIC), &missed))
		return;
	if (missed)
		log_own(s, LOG_NOTICE, "%" PRIu64 " messages about clients were left out", missed);
	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%s: process %d (uid %u)", what, (int)peer->pid, peer->uid);
	s->ops->log(priority, peer, text, s->userdata);
}

/* Whether there is room for one more connection of this user. */
static bool has_room(const struct varlink_server *s, uid_t uid)
{
	size_t max = VARLINK_CONNECTIONS_MAX, n = 0;

	if (uid != 0)
		max -= VARLINK_CONNECTIONS_ROOT_MIN;
	if (s->n_connections >= max)
		return false;
	for (size_t i = 0; i < s->n_connections; i++)
		if (varlink_connection_peer(s->connections[i])->uid == uid)
			n++;
	return n < VARLINK_CONNECTIONS_UID_MAX;
}

/*
 * Where the user of @connection has more memory in use than is his, the connection of his that has
 * most is closed.
 */
static void limit(struct varlink_connection *connection, void *userdata)
{
	struct varlink_server *s = userdata;
	struct varlink_connection *largest = connection;
	uid_t uid = varlink_connection_peer(connection)->uid;
	size_t his = 0, others = 0;

	/* What all of them may have: nearly every message is smaller. */
	if (varlink_connection_get_bytes(connection) <= VARLINK_BYTES_FREE)
		return;
	for (size_t i = 0; i < s->n_connections; i++) {
		struct varlink_connection *c = s->connections[i];
		size_t bytes = varlink_connection_get_bytes(c);

		if (varlink_connection_peer(c)->uid != uid) {
			others += varlink_connection_peer(c)->uid ? bytes : 0;
			continue;
		}
		his += bytes;
		if (bytes > varlink_connection_get_bytes(largest))
			largest = c;
	}
	if (his <= (uid ? (VARLINK_BYTES_MAX - min_u64(others, VARLINK_BYTES_MAX)) / 2
			: VARLINK_BYTES_ROOT_MAX))
		return;
	log_client(s, LOG_WARNING, varlink_connection_peer(largest),
		   "Closing a connection, of all of its user's the one with most unread");
	count_dropped(s);
	varlink_connection_drop(largest);
}

void varlink_server_connect(struct varlink_server *s, int fd, const struct ucred *peer)
{
	struct varlink_connection *connection;
	uint64_t missed;
	int r;

	if (!has_room(s, peer->uid)) {
		s->stats.refused++;
		if (ratelimit_allow(&s->refusal_limit, now_nsec(CLOCK_MONOTONIC), &missed))
			log_client(s, LOG_WARNING, peer,
				   "Refusing connections, this is one too many");
		close_for(peer->uid, fd, s);
		return;
	}
	r = varlink_connection_new(&connection, s->event, fd, peer, &s->connection_ops, s);
	if (r < 0) {
		log_client(s, LOG_WARNING, peer, "Refusing a connection, %s", strerror(-r));
		return;
	}
	s->connections[s->n_connections++] = connection;
	s->stats.accepted++;
}

/* Takes fd. */
static void add_connection(struct varlink_server *s, int fd)
{
	struct ucred peer;
	int r;

	r = varlink_peer_get(fd, &peer);
	if (r < 0) {
		log_own(s, LOG_WARNING, "Refusing a connection: cannot tell whose it is: %s",
			strerror(-r));
		close_for((uid_t)-1, fd, s);
		return;
	}
	varlink_server_connect(s, fd, &peer);
}

/* The listening socket stays readable while accept() cannot do its work: do not spin on it. */
static int pause_accepting(struct varlink_server *s)
{
	int r;

	r = sd_event_source_set_time_relative(s->pause, ACCEPT_PAUSE_USEC);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
	return r;
}

static int on_pause_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct varlink_server *s = userdata;

	return sd_event_source_set_enabled(s->io, SD_EVENT_ON);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct varlink_server *s = userdata;

	if (s->ops->has_room && !s->ops->has_room(s->userdata)) {
		log_own(s, LOG_WARNING,
			"Cannot accept connections for now: too many of those "
			"that there were cannot be closed");
		return pause_accepting(s);
	}
	for (unsigned int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			add_connection(s, client);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return 0;
		log_own(s, LOG_WARNING, "Cannot accept connections for now: %s", strerror(errno));
		return pause_accepting(s);
	}
	return 0;
}

/* The interface that a method's full name starts with, and the rest; NULL: there is none. */
static const struct varlink_interface *find_interface(const struct varlink_server *s,
						      const char *full, size_t length)
{
	const struct varlink_interface *interface;

	for (size_t i = 0; (interface = varlink_server_interface(s, i)); i++)
		if (strlen(interface->name) == length && memcmp(interface->name, full, length) == 0)
			break;
	return interface;
}

/* The interface's method of that name, with its counts, or NULL. */
static struct varlink_method_stats *
find_method(struct varlink_server *s, const struct varlink_interface *interface, const char *name)
{
	for (size_t i = 0; i < s->stats.n_methods; i++) {
		struct varlink_method_stats *m = &s->stats.methods[i];

		if (m->interface == interface && strcmp(m->method->name, name) == 0)
			return m;
	}
	return NULL;
}

static void interface_not_found(struct varlink_connection *connection, const char *full,
				size_t length)
{
	json_object *parameters = json_object_new_object();

	if (varlink_json_set(parameters, "interface",
			     json_object_new_string_len(full, (int)length)) < 0) {
		json_object_put(parameters);
		parameters = NULL;
	}
	varlink_connection_error(connection, VARLINK_ERROR_INTERFACE_NOT_FOUND, parameters);
}

/* Decodes the parameters and calls the handler. */
static void call_handler(struct varlink_server *s, struct varlink_connection *connection,
			 const struct varlink_call *call, const struct varlink_method *method)
{
	void *userdata = method->flags & VARLINK_METHOD_SERVER ? s : s->userdata;
	_Alignas(max_align_t) char params[VARLINK_PARAMS_SIZE] = { 0 };
	const char *field;
	int r;

	r = varlink_params_decode(call->parameters, method->fields, params, &field);
	if (r < 0) {
		varlink_connection_error_parameter(connection, field);
		return;
	}
	r = method->handler(connection, params, userdata);
	if (r < 0 && r != -ENOTCONN)
		log_own(s, LOG_ERR, "%s failed: %s", call->method, strerror(-r));
}

static bool may_call(const struct varlink_server *s, const struct varlink_connection *connection,
		     const struct varlink_method *method)
{
	if (!(method->flags & VARLINK_METHOD_CHANGES))
		return true;
	if (method->flags & VARLINK_METHOD_DESCRIPTOR &&
	    varlink_connection_has_descriptor(connection))
		return true;
	return s->ops->may_change(connection, s->userdata);
}

/* Hands a call to its method, or answers it by the error that it deserves. */
static void dispatch(struct varlink_connection *connection, const struct varlink_call *call,
		     void *userdata)
{
	struct varlink_server *s = userdata;
	const char *dot = strrchr(call->method, '.');
	const struct varlink_interface *interface;
	struct varlink_method_stats *stats;
	const struct varlink_method *method;
	size_t length = dot ? (size_t)(dot - call->method) : 0;

	if (!dot) {
		varlink_connection_error_parameter(connection, "method");
		return;
	}
	interface = find_interface(s, call->method, length);
	if (!interface) {
		interface_not_found(connection, call->method, length);
		return;
	}
	stats = find_method(s, interface, dot + 1);
	if (!stats) {
		varlink_connection_error_string(connection, VARLINK_ERROR_METHOD_NOT_FOUND,
						"method", call->method);
		return;
	}
	stats->calls++;
	varlink_connection_set_stats(connection, stats);
	method = stats->method;
	if (!method->handler) {
		varlink_connection_error_string(connection, VARLINK_ERROR_METHOD_NOT_IMPLEMENTED,
						"method", call->method);
	} else if (!may_call(s, connection, method)) {
		(void)varlink_connection_deny(connection, call->method);
	} else if (method->flags & VARLINK_METHOD_MORE && !call->more) {
		varlink_connection_error(connection, VARLINK_ERROR_EXPECTED_MORE,
					 json_object_new_object());
	} else {
		call_handler(s, connection, call, method);
	}
}

static const struct varlink_connection_ops connection_ops = {
	.call = dispatch,
	.count_error = count_error,
	.count_dropped = count_dropped,
	.grown = limit,
	.close = close_for,
	.freed = on_freed,
	.log = log_client,
};
