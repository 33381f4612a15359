/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How VMs come from the daemon before. */
#ifndef EAGERSPLITD_MANAGER_RESUME_H
#define EAGERSPLITD_MANAGER_RESUME_H

#include <stddef.h>

struct manager;

/*
 * Takes over what the daemon before left in the store, once, as soon as the host can
 * split. @splitters: see manager_begin().
 */
void manager_load(struct manager *m, int *splitters, size_t n);

/* Of VMs that have not been found by now: they are gone. */
void manager_drop_records(struct manager *m);

#endif /* EAGERSPLITD_MANAGER_RESUME_H */
