// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/survey.h"
#include "splitting/walk.h"

#define GIB (UINT64_C(1) << 30)

static struct memslot slots[] = {
	{ .gpa = 1 * GIB, .bytes = 10 * GIB, .blocks = 5 },
	{ .gpa = 20 * GIB, .bytes = GIB },
	{ .gpa = 21 * GIB, .bytes = GIB, .blocks = 1 },
	{ .gpa = 30 * GIB },
};
static const struct survey survey = { .n_slots = ARRAY_SIZE(slots), .slots = slots };

static void assert_range_of(const struct survey *of, struct walk *walk, size_t slot, uint64_t gpa,
			    uint64_t size)
{
	struct walk_range range;

	assert_true(walk_next(walk, of, false, &range));
	assert_int_equal(range.slot, slot);
	assert_true(range.gpa == gpa && range.size == size);
}

static void assert_range(struct walk *walk, bool all, size_t slot, uint64_t gpa, uint64_t size)
{
	struct walk_range range;

	assert_true(walk_next(walk, &survey, all, &range));
	assert_int_equal(range.slot, slot);
	assert_true(range.gpa == gpa && range.size == size);
}

static void test_ranges(void **state)
{
	struct walk walk = {};
	struct walk_range range;

	assert_false(walk_next(&walk, &survey, false, &range));
	assert_int_equal(walk.passes, 0);
	walk_start(&walk);
	assert_range(&walk, false, 0, GIB, 4 * GIB);
	/* The same until something was dealt with. */
	assert_range(&walk, false, 0, GIB, 4 * GIB);
	walk_advance(&walk, 2 * GIB, 1);
	assert_range(&walk, false, 0, 2 * GIB, 4 * GIB);
	walk_advance(&walk, 9 * GIB, 0);
	assert_range(&walk, false, 0, 9 * GIB, 2 * GIB);
	/* Never back. */
	walk_advance(&walk, 3 * GIB, 0);
	assert_range(&walk, false, 0, 9 * GIB, 2 * GIB);
	/* Blocks may have come since it was looked at: to the end, once it has begun. */
	slots[0].blocks = 0;
	assert_range(&walk, false, 0, 9 * GIB, 2 * GIB);
	slots[0].blocks = 5;
	walk_advance(&walk, 11 * GIB, 0);
	assert_range(&walk, false, 2, 21 * GIB, GIB);
	walk_advance(&walk, 22 * GIB, 0);
	assert_false(walk_next(&walk, &survey, false, &range));
	assert_int_equal(walk.passes, 1);
	assert_int_equal(walk.idle_passes, 0);
	assert_int_equal(walk.blocks, 1);
	assert_false(walk.active);
}

static void test_all_memslots(void **state)
{
	struct walk walk = {};
	struct walk_range range;

	walk_start(&walk);
	walk_advance(&walk, 11 * GIB, 0);
	assert_range(&walk, true, 1, 20 * GIB, GIB);
	walk_advance(&walk, 22 * GIB, 0);
	assert_false(walk_next(&walk, &survey, true, &range));
}

/* In the middle of a memslot, those before which are gone, and others are there. */
static void test_another_survey(void **state)
{
	struct memslot others[] = {
		{ .gpa = 0, .bytes = GIB, .blocks = 1 },
		{ .gpa = 21 * GIB, .bytes = 10 * GIB, .blocks = 3 },
		{ .gpa = 40 * GIB, .bytes = GIB, .blocks = 1 },
	};
	struct survey other = { .n_slots = ARRAY_SIZE(others), .slots = others };
	struct walk walk = {};
	struct walk_range range;

	walk_start(&walk);
	walk_advance(&walk, 21 * GIB + GIB / 2, 1);
	assert_range(&walk, false, 2, 21 * GIB + GIB / 2, GIB / 2);

	walk_rebase(&walk);
	assert_true(walk_next(&walk, &other, false, &range));
	assert_int_equal(range.slot, 1);
	assert_true(range.gpa == 21 * GIB + GIB / 2 && range.size == 4 * GIB);
	walk_advance(&walk, 31 * GIB, 0);
	assert_true(walk_next(&walk, &other, false, &range));
	assert_int_equal(range.slot, 2);

	/* None is left: the pass ends as one that did something. */
	other.n_slots = 0;
	walk_rebase(&walk);
	assert_false(walk_next(&walk, &other, false, &range));
	assert_int_equal(walk.passes, 1);
	assert_int_equal(walk.idle_passes, 0);
}

static void test_idle_passes(void **state)
{
	struct walk walk = {};
	struct walk_range range;

	for (unsigned int i = 1; i <= 3; i++) {
		walk_start(&walk);
		walk_advance(&walk, UINT64_MAX, 0);
		assert_false(walk_next(&walk, &survey, false, &range));
		assert_int_equal(walk.idle_passes, i);
	}
	walk_start(&walk);
	walk_advance(&walk, UINT64_MAX, 2);
	assert_false(walk_next(&walk, &survey, false, &range));
	assert_int_equal(walk.idle_passes, 0);
	assert_int_equal(walk.passes, 4);
}

/* Tables of a 1 GiB region that have become blocks are to become one: it begins there again. */
static void test_going_back(void **state)
{
	struct memslot two[] = {
		{ .gpa = 0, .bytes = 4 * GIB },
		{ .gpa = 8 * GIB, .bytes = 4 * GIB },
	};
	const struct survey both = { .n_slots = 2, .slots = two };
	struct walk_range range;
	struct walk walk = {};

	walk_start(&walk);
	assert_true(walk_next(&walk, &both, true, &range));
	walk_advance(&walk, 4 * GIB, 1);
	assert_true(walk_next(&walk, &both, true, &range));
	assert_int_equal(range.gpa, 8 * GIB);
	walk_advance(&walk, 9 * GIB, 512);
	walk_advance(&walk, 8 * GIB, 1);
	assert_true(walk_next(&walk, &both, true, &range));
	assert_int_equal(range.slot, 1);
	assert_int_equal(range.gpa, 8 * GIB);
	/* Not where nothing was done: that would be for ever. */
	walk_advance(&walk, 10 * GIB, 0);
	walk_advance(&walk, 8 * GIB, 0);
	assert_true(walk_next(&walk, &both, true, &range));
	assert_int_equal(range.gpa, 10 * GIB);
	walk_advance(&walk, 12 * GIB, 0);
	assert_false(walk_next(&walk, &both, true, &range));
}

/* Several memslots that are kept as one: to the end of the last of them. */
static void test_area(void **state)
{
	struct memslot two[] = {
		{ .gpa = GIB, .bytes = 2 * GIB, .holes = 3 * GIB, .blocks = 1 },
		{ .gpa = 8 * GIB, .bytes = GIB, .blocks = 1 },
	};
	const struct survey both = { .n_slots = 2, .slots = two };
	struct walk walk = {};

	walk_start(&walk);
	assert_range_of(&both, &walk, 0, GIB, 4 * GIB);
	walk_advance(&walk, 5 * GIB, 0);
	assert_range_of(&both, &walk, 0, 5 * GIB, GIB);
	walk_advance(&walk, 6 * GIB, 1);
	assert_range_of(&both, &walk, 1, 8 * GIB, GIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),	       cmocka_unit_test(test_all_memslots),
		cmocka_unit_test(test_another_survey), cmocka_unit_test(test_idle_passes),
		cmocka_unit_test(test_going_back),     cmocka_unit_test(test_area),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
