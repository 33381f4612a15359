/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a look at a VM shows: its memslots, and what maps them. */
#ifndef EAGERSPLITD_SURVEY_H
#define EAGERSPLITD_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct memslot - a memslot as a survey saw it
 * @slot: id, with the address space in bits 31:16
 * @gpa: guest physical address where it starts
 * @bytes: size
 * @blocks: blocks that still map it
 * @block_bytes: guest memory that those cover
 * @read_only: KVM_MEM_READONLY is set
 * @dirty_logging: KVM_MEM_LOG_DIRTY_PAGES is set
 */
struct memslot {
	uint32_t slot;
	uint64_t gpa;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t block_bytes;
	bool read_only;
	bool dirty_logging;
};

/**
 * struct vm_counters - what the host has counted since the VM was created
 * @stalls: faults of vCPUs that had to wait for the VM's page tables
 * @stall_nsec: for how long, all
 * @stall_max_nsec: the longest
 */
struct vm_counters {
	uint64_t stalls;
	uint64_t stall_nsec;
	uint64_t stall_max_nsec;
};

/**
 * struct survey - a VM's memslots, in order of guest physical address
 * @held: by the splitter that was asked: faults map pages, not blocks
 * @holders: splitters that hold the VM, that one among them
 */
struct survey {
	bool held;
	uint32_t holders;
	struct vm_counters counters;
	size_t n_slots;
	struct memslot *slots;
};

/* Frees what @survey holds and empties it. */
void survey_done(struct survey *survey);

/* Whether both say the same of memslots and hold. */
bool survey_is_same(const struct survey *a, const struct survey *b);

/* Blocks in all memslots. */
uint64_t survey_count_blocks(const struct survey *survey);

#endif /* EAGERSPLITD_SURVEY_H */
