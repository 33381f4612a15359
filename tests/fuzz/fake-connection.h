/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of connections on sockets (varlink/connection.h): clients that call what a server
 * serves. Each call is answered once, and what answers it is looked at. Linked with
 * --wrap=varlink_server_new.
 */
#ifndef EAGERSPLITD_FAKE_CONNECTION_H
#define EAGERSPLITD_FAKE_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <json-c/json.h>

#define CLIENTS 4

/* What a client that watches was told of a VM last. */
struct view {
	char vm[256];
	char migration[16];
	char stage[16];
};

/* What a client calls, see struct varlink_call. Takes @parameters; @descriptor: -1: none. */
struct client_call {
	const char *method;
	json_object *parameters;
	int descriptor;
	bool more;
	bool oneway;
};

/* Connects a client, which was not, to the server that was made last. */
void client_connect(size_t client, uid_t uid);

/* It is, and is not waiting for an answer. */
bool client_may_call(size_t client);

void client_call(size_t client, const struct client_call *call);

/* Whether it waits for an answer, or for another one. */
bool client_is_calling(size_t client);

/* Whether it waits for the answer to a call, other than one that watches. */
bool client_is_waiting(size_t client);

/* Whether it watches all VMs, and what it has seen of one by that; NULL: nothing. */
bool client_is_watching(size_t client);
const struct view *client_get_view(size_t client, const char *vm);

/* It does not read, or does again. */
void client_set_busy(size_t client, bool busy);

/* It leaves, if it is there. */
void client_hang_up(size_t client);

/* What the event loop does for connections: frees those that were lost. False: nothing is to be done. */
bool clients_turn(void);

#endif /* EAGERSPLITD_FAKE_CONNECTION_H */
