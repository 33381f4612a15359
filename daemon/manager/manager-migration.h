/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to migrations: it is told, seen, or nothing follows. */
#ifndef EAGERSPLITD_MANAGER_MIGRATION_H
#define EAGERSPLITD_MANAGER_MIGRATION_H

#include <stdint.h>

#include <systemd/sd-event.h>

#include "vm/vm-state.h"

struct manager;
struct vm;

/*
 * Tells of @vm's migration. @deadline_usec (CLOCK_REALTIME) and @tlbi_rate (a
 * ceiling in TLBIs a second, 0: none) may be NULL: not given. Where the state
 * stays the same, what is not given stays as it was.
 * -EPROTO: the transition is not allowed.
 */
int manager_set_migration(struct manager *m, struct vm *vm, enum vm_migration to,
			  const uint64_t *deadline_usec, const uint64_t *tlbi_rate);

/* What the last survey saw of dirty logging, if that is news. */
void manager_look_at_log(struct manager *m, struct vm *vm);

/* Sets the timer for the migration that ends first unless somebody follows it up. */
void manager_arm_timeout(struct manager *m);

/* The same where nothing has changed but @vm's. */
void manager_arm_timeout_of(struct manager *m, const struct vm *vm);

/* That timer. */
int manager_on_timeout(sd_event_source *source, uint64_t usec, void *userdata);

#endif /* EAGERSPLITD_MANAGER_MIGRATION_H */
