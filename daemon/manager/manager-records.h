/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon before has written down of VMs, until they are found. */
#ifndef EAGERSPLITD_MANAGER_RECORDS_H
#define EAGERSPLITD_MANAGER_RECORDS_H

#include <stdint.h>

struct kept_record;
struct manager;

/* Reads what is in the store. What cannot be read for now is read when its VM is found. */
void manager_load_records(struct manager *m);

/*
 * What was kept of the VM with that id, and has not been taken; NULL: nothing. It is the manager's, until
 * the next call. 0, -EUSERS: there are too many, or another negative errno: it cannot be read for now.
 */
int manager_find_record(struct manager *m, uint64_t id, struct kept_record **ret);

/*
 * Of VMs that have not been found by now: they are gone, unless their process is there, which may be one
 * that is not to be looked into, and register its VM yet.
 */
void manager_drop_records(struct manager *m);

#endif /* EAGERSPLITD_MANAGER_RECORDS_H */
