/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a look at a VM shows: its memslots, and what maps them. */
#ifndef EAGERSPLITD_SURVEY_H
#define EAGERSPLITD_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * So many of a VM's memslots are kept as they are, and those that follow as so many areas: KVM
 * lets any user have 32767 of them, of a page each, and that in each of thousands of VMs.
 */
#define SURVEY_SLOTS_MAX 256
#define SURVEY_AREAS_MAX 32

/**
 * struct memslot - a memslot as a survey saw it, or several neighbours as one area
 * @slot: id, with the address space in bits 31:16; of the first
 * @read_only: KVM_MEM_READONLY is set, of all
 * @dirty_logging: KVM_MEM_LOG_DIRTY_PAGES is set, of any
 * @gpa: guest physical address where it starts
 * @bytes: size; of all
 * @holes: bytes between them, of no memslot
 * @blocks: blocks that still map it
 * @block_bytes: guest memory that those cover
 */
struct memslot {
	uint32_t slot;
	bool read_only;
	bool dirty_logging;
	uint64_t gpa;
	uint64_t bytes;
	uint64_t holes;
	uint64_t blocks;
	uint64_t block_bytes;
};

/* Where it ends. */
static inline uint64_t memslot_end(const struct memslot *slot)
{
	return slot->gpa + slot->bytes + slot->holes;
}

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

/* Bytes of memslots that are alike: of all, and of the largest. */
struct memslot_extent {
	uint64_t bytes;
	uint64_t largest;
};

/**
 * struct memslot_sums - what all memslots come to, also those that are not kept
 * @memslots: how many there are
 * @bytes: guest memory in them
 * @blocks: that still map them
 * @block_bytes: and what those cover
 * @logged: that the guest can write to, with dirty logging
 * @other: and without
 * @any_logged: one is, whether or not the guest can write to it
 */
struct memslot_sums {
	uint64_t memslots;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t block_bytes;
	struct memslot_extent logged;
	struct memslot_extent other;
	bool any_logged;
};

/**
 * struct survey - a VM's memslots
 * @held: by the splitter that was asked: faults map pages, not blocks
 * @holders: splitters that hold the VM, that one among them
 * @sums: of all of them
 * @slots: the first of them, in order of guest physical address, and what follows as areas
 */
struct survey {
	bool held;
	uint32_t holders;
	struct vm_counters counters;
	struct memslot_sums sums;
	size_t n_slots;
	struct memslot *slots;
};

/*
 * Sums up the VM's @n memslots at @slots, in whatever order, and keeps of them in @survey, which has
 * none yet, what is to be kept. Takes @slots, also on error. 0 or -ENOMEM.
 */
int survey_set_memslots(struct survey *survey, struct memslot *slots, size_t n);

/* Frees what @survey holds and empties it. */
void survey_done(struct survey *survey);

/* Whether both say the same of hold, what is kept of memslots, and what all of them come to. */
bool survey_is_same(const struct survey *a, const struct survey *b);

#endif /* EAGERSPLITD_SURVEY_H */
