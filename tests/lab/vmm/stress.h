/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Splitting, dirty logging and clearing at once, round after round, with the
 * vCPUs writing: is each page that they write in the log?
 */
#ifndef LAB_STRESS_H
#define LAB_STRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "vm.h"

/* Where the memslot beside is to be, or 1 GiB above that. */
#define STRESS_BESIDE (VM_MEMORY + (4ull << 30))

/*
 * @rounds: how many; after each the vCPUs stand still and all pages are looked at
 * @cycle: rounds from enabling dirty logging to disabling it
 * @progress: pages that each vCPU deals with between two steps of a round
 * @step: see struct vm_work; what is unmapped is by as much larger, too
 * @write_every: of the pages that are looked at, one in so many is written
 * @manual: KVM_CLEAR_DIRTY_LOG is what clears (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
 * @split, @recover: flags for KVM_ARM_SPLIT_RUN, in a thread of its own during each
 *	cycle, with the VM held, and after it, released; 0: not called
 * @max_tlbis, @max_blocks: of each call that splits
 * @disturb: the host's own mapping changes all the while, in another thread: parts of
 *	it and all of it are unmapped, by mprotect() and made huge pages again, or where
 *	it has a file, by munmap() and MADV_DONTNEED
 * @beside: a memslot that the same thread moves, collapses and drops, and that the vCPUs
 *	read between cycles; its pages are equal, for KSM to merge; 0: none
 */
struct stress {
	uint64_t rounds;
	uint64_t cycle;
	uint64_t progress;
	uint64_t step;
	uint64_t write_every;
	bool manual;
	uint32_t split;
	uint32_t recover;
	uint64_t max_tlbis;
	uint64_t max_blocks;
	bool disturb;
	unsigned int beside;
};

/*
 * @missing: pages that were written and not in the log, over all rounds;
 *	@missing_page is one of them, in round @missing_round
 * @logged: pages in the log, over all rounds
 * @errors: pages that the guest found wrong
 * @blocks, @tlbis, @calls: of the splitting thread
 * @disturbed: how often the host's mapping was changed; @collapsed: how often it was
 *	made huge pages again
 */
struct stress_result {
	uint64_t rounds;
	uint64_t missing;
	uint64_t missing_page;
	uint64_t missing_round;
	uint64_t logged;
	uint64_t errors;
	uint64_t blocks;
	uint64_t tlbis;
	uint64_t calls;
	uint64_t disturbed;
	uint64_t collapsed;
};

/*
 * Runs it on a memslot that is populated and not logged, with all vCPUs idle.
 * Returns 0 or a negative errno; what was found is in @result.
 */
int stress_run(struct vm *vm, unsigned int number, const struct stress *stress,
	       struct stress_result *result);

#endif
