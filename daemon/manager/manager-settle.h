/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migrations that are over, and of which it is yet to be said how they ended, be it that their VM is
 * gone: libvirt ends QEMU before it tells whoever asked for the migration.
 */
#ifndef EAGERSPLITD_MANAGER_SETTLE_H
#define EAGERSPLITD_MANAGER_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "vm/vm-state.h"

struct manager;
struct vm;

/* So many are kept that are gone; of one more, the first is told of as it is. */
#define MANAGER_DEPARTED_MAX 1024U

/*
 * Keeps @vm, which is in no list any more and has no splitter, if it is gone and the end of its
 * migration is to be said. Whether it did: it is the manager's then.
 */
bool manager_depart(struct manager *m, struct vm *vm);

/* The one that is gone, and was meant by that name, id, UUID or pid; the last one if there are two. NULL: none. */
struct vm *manager_find_departed(struct manager *m, const char *text);

/* What manager_set_migration() does for one of these. 0, -ENODEV: a migration cannot begin, or -EPROTO. */
int manager_end_departed(struct manager *m, struct vm *vm, enum vm_migration to);

/*
 * Has those that are gone forgotten that ended COURSE_SETTLE_USEC before @boottime_usec, and tells of them;
 * UINT64_MAX: all. Returns when it is the next one's turn, UINT64_MAX: never.
 */
uint64_t manager_settle_departed(struct manager *m, uint64_t boottime_usec);

/* The timer's callback, see manager_arm_settle(). */
int manager_on_settle(sd_event_source *source, uint64_t usec, void *userdata);

#endif /* EAGERSPLITD_MANAGER_SETTLE_H */
