// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

void survey_done(struct survey *survey)
{
	free(survey->slots);
	*survey = (struct survey){};
}

static int compare_memslots(const void *a, const void *b)
{
	const struct memslot *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

static void extent_add(struct memslot_extent *extent, uint64_t bytes)
{
	extent->bytes += bytes;
	extent->largest = max_u64(extent->largest, bytes);
}

static void sums_add(struct memslot_sums *sums, const struct memslot *slot)
{
	sums->memslots++;
	sums->bytes += slot->bytes;
	sums->blocks += slot->blocks;
	sums->block_bytes += slot->block_bytes;
	sums->any_logged |= slot->dirty_logging;
	/* Firmware: logged on migration as well, and nothing to go by. */
	if (!slot->read_only)
		extent_add(slot->dirty_logging ? &sums->logged : &sums->other, slot->bytes);
}

/* Between @slot and the one before. */
static uint64_t get_hole(const struct memslot *slot)
{
	return slot->gpa - min_u64(memslot_end(slot - 1), slot->gpa);
}

/**
 * struct borders - the largest holes, which areas end at: a walk is not to go through these
 * @holes: that are borders, the largest first
 * @n: how many those are
 * @ties: of the smallest of them: more holes may be as large as that
 */
struct borders {
	uint64_t holes[SURVEY_AREAS_MAX - 1];
	size_t n;
	size_t ties;
};

static void borders_add(struct borders *b, uint64_t hole)
{
	size_t i = b->n;

	if (b->n < ARRAY_SIZE(b->holes))
		b->n++;
	else if (hole <= b->holes[--i])
		return;
	for (; i > 0 && b->holes[i - 1] < hole; i--)
		b->holes[i] = b->holes[i - 1];
	b->holes[i] = hole;
}

static void borders_find(struct borders *b, const struct memslot *slots, size_t n)
{
	*b = (struct borders){};
	for (size_t i = 1; i < n; i++)
		borders_add(b, get_hole(&slots[i]));
	for (size_t i = 0; i < b->n; i++)
		b->ties += b->holes[i] == b->holes[b->n - 1];
}

/* Whether @hole is one of them, each of which is asked for in turn. */
static bool borders_take(struct borders *b, uint64_t hole)
{
	uint64_t least = b->holes[b->n - 1];

	if (hole > least)
		return true;
	return hole == least && b->ties && b->ties--;
}

/* @slot, which is behind all that is in @area, belongs to it from now on. */
static void area_add(struct memslot *area, const struct memslot *slot)
{
	area->holes += slot->gpa - min_u64(memslot_end(area), slot->gpa);
	area->bytes += slot->bytes;
	area->blocks += slot->blocks;
	area->block_bytes += slot->block_bytes;
	area->read_only &= slot->read_only;
	area->dirty_logging |= slot->dirty_logging;
}

/* Makes areas of memslots, of which there are more than those; as many as there are then. */
static size_t make_areas(struct memslot *areas, const struct memslot *slots, size_t n)
{
	struct borders borders;
	size_t last = 0;

	borders_find(&borders, slots, n);
	areas[0] = slots[0];
	for (size_t i = 1; i < n; i++) {
		if (borders_take(&borders, get_hole(&slots[i])))
			areas[++last] = slots[i];
		else
			area_add(&areas[last], &slots[i]);
	}
	return last + 1;
}

int survey_set_memslots(struct survey *survey, struct memslot *slots, size_t n)
{
	_cleanup_free_ struct memslot *all = slots;

	qsort(all, n, sizeof(*all), compare_memslots);
	survey->sums = (struct memslot_sums){};
	for (size_t i = 0; i < n; i++)
		sums_add(&survey->sums, &all[i]);
	if (n <= SURVEY_SLOTS_MAX + SURVEY_AREAS_MAX) {
		survey->slots = TAKE_PTR(all);
		survey->n_slots = n;
		return 0;
	}

	survey->slots = calloc(SURVEY_SLOTS_MAX + SURVEY_AREAS_MAX, sizeof(*survey->slots));
	if (!survey->slots)
		return -ENOMEM;
	memcpy(survey->slots, all, SURVEY_SLOTS_MAX * sizeof(*all));
	survey->n_slots =
		SURVEY_SLOTS_MAX + make_areas(survey->slots + SURVEY_SLOTS_MAX,
					      all + SURVEY_SLOTS_MAX, n - SURVEY_SLOTS_MAX);
	return 0;
}

static bool memslot_is_same(const struct memslot *a, const struct memslot *b)
{
	return a->slot == b->slot && a->gpa == b->gpa && a->bytes == b->bytes &&
	       a->holes == b->holes && a->blocks == b->blocks && a->block_bytes == b->block_bytes &&
	       a->read_only == b->read_only && a->dirty_logging == b->dirty_logging;
}

static bool extent_is_same(const struct memslot_extent *a, const struct memslot_extent *b)
{
	return a->bytes == b->bytes && a->largest == b->largest;
}

/* Blocks are in what is kept, of which some were split since. */
static bool sums_are_same(const struct memslot_sums *a, const struct memslot_sums *b)
{
	return a->memslots == b->memslots && a->any_logged == b->any_logged &&
	       extent_is_same(&a->logged, &b->logged) && extent_is_same(&a->other, &b->other);
}

bool survey_is_same(const struct survey *a, const struct survey *b)
{
	if (a->held != b->held || a->n_slots != b->n_slots || !sums_are_same(&a->sums, &b->sums))
		return false;
	for (size_t i = 0; i < a->n_slots; i++)
		if (!memslot_is_same(&a->slots[i], &b->slots[i]))
			return false;
	return true;
}
