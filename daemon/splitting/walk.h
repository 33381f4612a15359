/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking a VM's memslots in ranges, each short enough for one call, and pass
 * after pass, until one finds nothing left to do. Pure.
 */
#ifndef EAGERSPLITD_WALK_H
#define EAGERSPLITD_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct survey;

/*
 * The most guest memory in a range, so that calls stay short also where there
 * is little to do, or nothing to wait for.
 */
#define WALK_RANGE_BYTES (UINT64_C(4) << 30)

/**
 * struct walk - where a walk is; all 0 before its first pass
 * @active: a pass is under way
 * @slot: the memslot, as an index into the survey
 * @gpa: where to go on; below the memslot: at its start
 * @blocks: blocks dealt with in this pass, or in the last one
 * @passes: passes that have ended
 * @idle_passes: passes in a row that dealt with none
 */
struct walk {
	bool active;
	size_t slot;
	uint64_t gpa;
	uint64_t blocks;
	unsigned int passes;
	unsigned int idle_passes;
};

/* Part of the memslot, or the area, at index @slot of the survey; holes may be in it. */
struct walk_range {
	size_t slot;
	uint64_t gpa;
	uint64_t size;
};

/* Begins a pass. */
void walk_start(struct walk *walk);

/*
 * Goes on with the pass that is under way by another survey, at the address that
 * it has got to: what appeared below that is for another pass.
 */
void walk_rebase(struct walk *walk);

/*
 * The range to deal with next, of memslots that had blocks, or of @all. False:
 * the pass has ended (or there is none).
 */
bool walk_next(struct walk *walk, const struct survey *survey, bool all, struct walk_range *ret);

/*
 * All below @gpa has been dealt with, and @blocks more. It may lie before where the walk
 * was, where there is more to be done with what those have become.
 */
void walk_advance(struct walk *walk, uint64_t gpa, uint64_t blocks);

#endif /* EAGERSPLITD_WALK_H */
