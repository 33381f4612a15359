// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/walk.h"

#include "base/util.h"
#include "host/survey.h"

void walk_start(struct walk *walk)
{
	walk->active = true;
	walk->slot = 0;
	walk->gpa = 0;
	walk->blocks = 0;
}

void walk_rebase(struct walk *walk)
{
	walk->slot = 0;
}

static void walk_end(struct walk *walk)
{
	walk->active = false;
	walk->passes++;
	if (walk->blocks)
		walk->idle_passes = 0;
	else
		walk->idle_passes++;
}

bool walk_next(struct walk *walk, const struct survey *survey, bool all, struct walk_range *ret)
{
	if (!walk->active)
		return false;
	for (; walk->slot < survey->n_slots; walk->slot++) {
		const struct memslot *slot = &survey->slots[walk->slot];
		uint64_t end = memslot_end(slot);

		/* One that had no blocks to begin with; others are walked to their end. */
		if (!all && !slot->blocks && walk->gpa <= slot->gpa)
			continue;
		walk->gpa = max_u64(walk->gpa, slot->gpa);
		if (walk->gpa >= end)
			continue;
		*ret = (struct walk_range){
			.slot = walk->slot,
			.gpa = walk->gpa,
			.size = min_u64(end - walk->gpa, WALK_RANGE_BYTES),
		};
		return true;
	}
	walk_end(walk);
	return false;
}

/* To the memslot that has @gpa, which may be one before. */
static void walk_go_back(struct walk *walk, uint64_t gpa)
{
	walk->gpa = gpa;
	walk->slot = 0;
}

void walk_advance(struct walk *walk, uint64_t gpa, uint64_t blocks)
{
	/* Not without having got anywhere. */
	if (blocks && gpa < walk->gpa)
		walk_go_back(walk, gpa);
	else
		walk->gpa = max_u64(walk->gpa, gpa);
	walk->blocks += blocks;
}
