/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CONTROL_WATCH_H
#define EAGERSPLITD_CONTROL_WATCH_H

/*
 * The Watch streams. A change of state goes out at once. Progress goes out at most
 * ten times a second for each watch, the VM that has waited longest first, and
 * waits while the client is slow to read: the next reply tells all that happened
 * meanwhile. So does what the VMs are at the start. Changes of state do not wait:
 * a client that leaves too many of them unread loses its connection, not a change.
 */

#include <systemd/sd-event.h>

#include "base/util.h"

struct manager;
struct varlink_connection;
struct vm;
struct watches;

/* Begins without any; their timer is on event. Returns 0 or a negative errno. */
int watches_new(struct watches **ret, sd_event *event);

/* Ends all streams by forgetting them. Returns NULL. */
struct watches *watches_free(struct watches *watches);
DEFINE_CLEANUP(struct watches *, watches_free);

/*
 * Answers the call at hand of connection by a stream about vm, or about all VMs of
 * the manager if that is NULL: first what they are now, then what changes. Returns
 * 0 or a negative errno.
 */
int watches_add(struct watches *watches, struct varlink_connection *connection,
		struct manager *manager, struct vm *vm);

/* Tells of a change of stage or migration. */
void watches_vm_state(struct watches *watches, struct vm *vm);

/* Tells of progress, now or later. */
void watches_vm_progress(struct watches *watches, struct vm *vm);

/* Ends the streams about vm by the NoSuchVm error, and forgets it in the others. */
void watches_vm_removed(struct watches *watches, struct vm *vm);

#endif /* EAGERSPLITD_CONTROL_WATCH_H */
