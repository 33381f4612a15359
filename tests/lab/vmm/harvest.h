/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a migration does with the dirty log, and whether it has sent all that was written. Of each
 * page of a memslot it is kept what generation was sent: what the page held at some time after the
 * log that told of it was cleared.
 */
#ifndef LAB_HARVEST_H
#define LAB_HARVEST_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

/*
 * @missing: pages whose generation is not the one sent, and that are not in the log;
 *	@missing_page is the last of them
 * @logged: pages in the log
 */
struct harvest_check {
	uint64_t missing;
	uint64_t missing_page;
	uint64_t logged;
};

/* Sends all of it once, logging having been enabled. Returns 0 or a negative errno. */
int harvest_begin(struct vm *vm, unsigned int number);

/*
 * Fetches the log and clears it, then sends those pages. @manual: KVM_CLEAR_DIRTY_LOG is what
 * clears, here pages @first to @first+@pages (0: all) alone. @logged: pages in the log. Likewise.
 */
int harvest_collect(struct vm *vm, unsigned int number, bool manual, uint64_t first, uint64_t pages,
		    uint64_t *logged);

/* With the vCPUs standing still: what was written and not sent must be in the log. Likewise. */
int harvest_check(struct vm *vm, unsigned int number, bool manual, struct harvest_check *result);

#endif
