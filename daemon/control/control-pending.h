/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CONTROL_PENDING_H
#define EAGERSPLITD_CONTROL_PENDING_H

/*
 * Calls that are answered with a VM once it has been surveyed: the kernel walks the
 * guest's tables for that, and the event loop does not wait for it.
 */

#include <stdbool.h>

#include "base/util.h"

struct pending_calls;
struct varlink_connection;
struct vm;

/* Begins without any. Returns 0 or -ENOMEM. */
int pending_calls_new(struct pending_calls **ret);

/* Forgets all calls. Returns NULL. */
struct pending_calls *pending_calls_free(struct pending_calls *calls);
DEFINE_CLEANUP(struct pending_calls *, pending_calls_free);

/*
 * Answers the call at hand of connection with vm when the survey of it has ended, at once
 * where none is under way. Returns 0, -ENOMEM, or what varlink_connection_reply() does.
 */
int pending_calls_add(struct pending_calls *calls, struct varlink_connection *connection,
		      struct vm *vm, bool memslots);

/* Has all calls that wait for vm answered by the event loop, one in a turn. */
void pending_calls_vm_surveyed(struct pending_calls *calls, struct vm *vm);

/* Answers all calls that wait for vm by the NoSuchVm error. */
void pending_calls_vm_removed(struct pending_calls *calls, struct vm *vm);

#endif /* EAGERSPLITD_CONTROL_PENDING_H */
