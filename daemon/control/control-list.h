/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies of any length, in pieces: the next one is made when the client has read most of those
 * before, and the event loop has looked at the others. What is told is what there was when the call
 * came, as it is when its turn comes.
 */
#ifndef EAGERSPLITD_CONTROL_LIST_H
#define EAGERSPLITD_CONTROL_LIST_H

#include <stddef.h>

#include "base/util.h"

/* The most of what is listed that a piece is made of. */
#define CONTROL_LIST_PIECE 16

struct history;
struct lists;
struct manager;
struct varlink_connection;
struct vm;

/* 0 or -ENOMEM. */
int lists_new(struct lists **ret);

/* Once there are no connections any more. Returns NULL. */
struct lists *lists_free(struct lists *lists);
DEFINE_CLEANUP(struct lists *, lists_free);

/* Answers the call at hand with all VMs. As varlink_connection_reply(). */
int lists_add_vms(struct lists *lists, struct varlink_connection *connection,
		  struct manager *manager);

/* The same with the last @limit of @history, oldest first, of that VM; NULL: of all. */
int lists_add_history(struct lists *lists, struct varlink_connection *connection,
		      const struct history *history, const char *vm, size_t limit);

/* Forgets @vm. */
void lists_vm_removed(struct lists *lists, const struct vm *vm);

#endif /* EAGERSPLITD_CONTROL_LIST_H */
