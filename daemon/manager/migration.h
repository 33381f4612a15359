/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's migration: what happens to it, by the table of vm-state.h, and what is done then.
 * What time it is, is said by the caller.
 */
#ifndef EAGERSPLITD_MIGRATION_H
#define EAGERSPLITD_MIGRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/vm-state.h"

struct vm;

/**
 * struct migration_terms - what may come with being told of a migration
 * @deadline_usec: CLOCK_REALTIME; NULL: not given
 * @tlbi_rate: a ceiling in TLBIs a second, 0: none; NULL: not given
 */
struct migration_terms {
	const uint64_t *deadline_usec;
	const uint64_t *tlbi_rate;
};

/*
 * Has @event happen to @vm's migration, sets the work's goal accordingly, and
 * logs it. @terms: NULL, or what was said along with it; where the state
 * stays the same, what is not given stays as it was. @boottime_usec: now, on
 * CLOCK_BOOTTIME. Returns what came of it.
 */
enum vm_step migration_handle(struct vm *vm, enum vm_event event,
			      const struct migration_terms *terms, uint64_t boottime_usec);

/*
 * When @vm's migration ends by itself, in microseconds of CLOCK_BOOTTIME: scheduled, and
 * nobody follows it up, @timeout_usec (0: never) after it was last said, or after the
 * deadline where that is later; active, and nothing is logged, as long after that was said.
 * @boottime_usec, @realtime_usec: now, on both clocks. UINT64_MAX: never.
 */
uint64_t migration_get_timeout(const struct vm *vm, uint64_t timeout_usec, uint64_t boottime_usec,
			       uint64_t realtime_usec);

#endif /* EAGERSPLITD_MIGRATION_H */
