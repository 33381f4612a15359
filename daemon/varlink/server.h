/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_SERVER_H
#define EAGERSPLITD_VARLINK_SERVER_H

/*
 * A Varlink service on a listening socket: takes connections, within bounds, and
 * hands their calls to the methods of its interfaces.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <systemd/sd-event.h>

#include "varlink/params.h"

/* Connections in all, of them only for root, and for one user: nobody can keep the others out. */
#define VARLINK_CONNECTIONS_MAX	     256
#define VARLINK_CONNECTIONS_ROOT_MIN 16
#define VARLINK_CONNECTIONS_UID_MAX  64

/*
 * Memory that messages of all clients but root may take. One user's may take as much as is left for
 * the others: that is half of it, or of what was left. And root's; and what nobody is asked about.
 */
#define VARLINK_BYTES_MAX      (24UL * 1024UL * 1024UL)
#define VARLINK_BYTES_ROOT_MAX (12UL * 1024UL * 1024UL)
#define VARLINK_BYTES_FREE     (16UL * 1024UL)

/* Interfaces that a server can have. */
#define VARLINK_INTERFACES_MAX 8
/* Methods of all of them together, and different errors, that are counted. */
#define VARLINK_METHODS_MAX 64
#define VARLINK_ERRORS_MAX  32

/* Room for the decoded parameters of any method. */
#define VARLINK_PARAMS_SIZE 128

struct varlink_connection;
struct varlink_server;

enum varlink_method_flags {
	VARLINK_METHOD_MORE = 1 << 0, /* answers only to a call with "more" */
	VARLINK_METHOD_CHANGES = 1 << 1, /* only for whom may_change() lets */
	/* Or for whoever has sent a descriptor with the call, at which the method looks itself. */
	VARLINK_METHOD_DESCRIPTOR = 1 << 2,
	VARLINK_METHOD_SERVER = 1 << 3, /* its userdata is the server */
};

/*
 * Handles a call: params is the structure that fields describe, valid during the
 * call. It answers by varlink_connection_reply() or _error(), or calls
 * varlink_connection_stream() and answers later. An errno returned means that no
 * answer can be given; the connection is then closed.
 */
typedef int (*varlink_method_handler)(struct varlink_connection *connection, const void *params,
				      void *userdata);

struct varlink_method {
	const char *name; /* NULL ends the table */
	unsigned int flags;
	const struct varlink_field *fields; /* NULL: no parameters */
	varlink_method_handler handler; /* NULL: MethodNotImplemented */
};

struct varlink_interface {
	const char *name;
	const char *description; /* the definition, as GetInterfaceDescription gives it */
	const struct varlink_method *methods;
};

/* Counts of a method's calls. */
struct varlink_method_stats {
	const struct varlink_interface *interface;
	const struct varlink_method *method;
	uint64_t calls;
	uint64_t errors; /* of those */
};

struct varlink_error_stats {
	const char *error;
	uint64_t count;
};

/* What has happened since the start. */
struct varlink_server_stats {
	uint64_t accepted; /* connections */
	uint64_t refused; /* one too many */
	uint64_t dropped; /* no call came, or replies were left unread */
	size_t n_methods;
	struct varlink_method_stats methods[VARLINK_METHODS_MAX];
	size_t n_errors;
	struct varlink_error_stats errors[VARLINK_ERRORS_MAX];
};

/* What a server asks of whom it serves for. */
struct varlink_server_ops {
	/* Whether the peer of this connection may call methods that change something. */
	bool (*may_change)(const struct varlink_connection *connection, void *userdata);
	/* Something for the log. @priority: LOG_ERR...; @peer: the client it is about, or NULL */
	void (*log)(int priority, const struct ucred *peer, const char *text, void *userdata);
	/* See struct varlink_connection_ops. */
	void *(*receive)(struct varlink_connection *connection, int fd, size_t size,
			 void *userdata);
	void (*forget)(void *reception);
	/* Takes a client's socket, or descriptor, or that on which clients connect. Closing it may block. */
	void (*close)(uid_t uid, int fd, void *userdata);
	/* Whether clients may connect now. */
	bool (*has_room)(void *userdata);
};

/*
 * Serves the interfaces, a table that NULL ends, on fd, a listening socket, which is taken, also on error. Interfaces, ops and userdata must
 * outlive the server. Returns 0 or a negative errno.
 */
int varlink_server_new(struct varlink_server **ret, sd_event *event, int fd,
		       const struct varlink_interface *const *interfaces,
		       const struct varlink_server_ops *ops, void *userdata);

/* Closes all connections, after a last try to send what is queued for them. Returns NULL. */
struct varlink_server *varlink_server_free(struct varlink_server *server);

/* Connections that there are now. */
size_t varlink_server_n_connections(const struct varlink_server *server);

/* Valid as long as the server is. */
const struct varlink_server_stats *varlink_server_stats(const struct varlink_server *server);

/*
 * Takes on a client by fd, a connected non-blocking socket, which is taken, as the server does
 * itself with those that come to the listening one; peer: whose it is. If there is no room for one
 * more of that user, or no memory, it is closed, and that is logged.
 */
void varlink_server_connect(struct varlink_server *server, int fd, const struct ucred *peer);

/* The i-th interface served, or NULL. */
const struct varlink_interface *varlink_server_interface(const struct varlink_server *server,
							 size_t i);

#endif /* EAGERSPLITD_VARLINK_SERVER_H */
