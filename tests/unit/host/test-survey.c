// SPDX-License-Identifier: GPL-2.0-or-later
/* What is kept of a VM's memslots, and what all of them come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/survey.h"

#define PAGE UINT64_C(4096)
#define GIB  (UINT64_C(1) << 30)
#define KEPT (SURVEY_SLOTS_MAX + SURVEY_AREAS_MAX)

static struct memslot *new_slots(size_t n)
{
	struct memslot *slots = calloc(n, sizeof(*slots));

	assert_non_null(slots);
	return slots;
}

/* @n of a page and with a block each, and a page between them, in the order that random numbers give. */
static struct memslot *make_slots(size_t n)
{
	struct memslot *slots = new_slots(n);

	for (size_t i = 0; i < n; i++)
		slots[i] = (struct memslot){
			.slot = (uint32_t)i,
			.gpa = i * 2 * PAGE,
			.bytes = PAGE,
			.blocks = 1,
			.block_bytes = PAGE,
		};
	return slots;
}

static void shuffle(struct memslot *slots, size_t n)
{
	uint64_t rng = 42;

	for (size_t i = n; i > 1; i--) {
		struct memslot slot = slots[i - 1];
		size_t other;

		rng = rng * UINT64_C(6364136223846793005) + 1;
		other = (rng >> 33) % i;
		slots[i - 1] = slots[other];
		slots[other] = slot;
	}
}

/* What is kept is in order, and comes to what is there, but for what of it is logged. */
static void assert_kept(const struct survey *survey, size_t n)
{
	struct memslot_sums sums = {};
	uint64_t end = 0;

	for (size_t i = 0; i < survey->n_slots; i++) {
		const struct memslot *slot = &survey->slots[i];

		assert_true(slot->gpa >= end);
		end = memslot_end(slot);
		sums.bytes += slot->bytes;
		sums.blocks += slot->blocks;
		sums.block_bytes += slot->block_bytes;
	}
	assert_true(survey->n_slots <= KEPT);
	assert_int_equal(survey->sums.memslots, n);
	assert_int_equal(survey->sums.bytes, sums.bytes);
	assert_int_equal(survey->sums.blocks, sums.blocks);
	assert_int_equal(survey->sums.block_bytes, sums.block_bytes);
}

/* As many as there may be: the first are as they are, and the others in areas. */
static void test_all_there_may_be(void **state)
{
	const size_t n = 32767;
	struct memslot *slots = make_slots(n);
	struct survey survey = {};

	shuffle(slots, n);
	assert_int_equal(survey_set_memslots(&survey, slots, n), 0);
	assert_kept(&survey, n);
	assert_int_equal(survey.n_slots, KEPT);
	assert_int_equal(survey.sums.bytes, n * PAGE);
	assert_int_equal(survey.sums.blocks, n);
	for (size_t i = 0; i < SURVEY_SLOTS_MAX; i++) {
		assert_int_equal(survey.slots[i].slot, i);
		assert_int_equal(survey.slots[i].bytes, PAGE);
		assert_int_equal(survey.slots[i].holes, 0);
	}
	assert_int_equal(memslot_end(&survey.slots[survey.n_slots - 1]), (2 * n - 1) * PAGE);
	survey_done(&survey);
}

/* Those that there is room for are kept as they are. */
static void test_as_many_as_are_kept(void **state)
{
	struct survey survey = {};

	for (size_t n = 0; n <= KEPT + 1; n += n ? 1 : KEPT - 1) {
		assert_int_equal(survey_set_memslots(&survey, make_slots(max_u64(n, 1)), n), 0);
		assert_kept(&survey, n);
		assert_int_equal(survey.n_slots, min_u64(n, KEPT));
		survey_done(&survey);
	}
}

/* The largest holes are between areas, so that walks do not go through them. */
static void test_holes(void **state)
{
	const size_t n = 10000;
	struct memslot *slots = make_slots(n);
	struct survey survey = {};
	uint64_t holes = 0;

	/* One behind every 300th, each larger than the one before; there is room for 31. */
	for (size_t i = 0; i < n; i++)
		slots[i].gpa += GIB * (i / 300) * (i / 300 + 1) / 2;
	assert_int_equal(survey_set_memslots(&survey, slots, n), 0);
	assert_kept(&survey, n);
	assert_int_equal(survey.n_slots, KEPT);
	for (size_t i = 0; i < survey.n_slots; i++)
		holes += survey.slots[i].holes / GIB;
	/* 33 of them, of which two are no borders. */
	assert_int_equal(holes, 1 + 2);
	survey_done(&survey);
}

/* Of which the guest can write to all but every third, and every tenth is logged. */
static void test_logging(void **state)
{
	const size_t n = 5000;
	struct memslot *slots = make_slots(n);
	struct survey survey = {}, other = {};
	struct memslot_sums sums = {};

	for (size_t i = 0; i < n; i++) {
		slots[i].read_only = i % 3 == 0;
		slots[i].dirty_logging = i % 10 == 0;
		if (!slots[i].read_only && slots[i].dirty_logging)
			sums.logged.bytes += PAGE;
		else if (!slots[i].read_only)
			sums.other.bytes += PAGE;
	}
	assert_int_equal(survey_set_memslots(&survey, slots, n), 0);
	assert_int_equal(survey.sums.logged.bytes, sums.logged.bytes);
	assert_int_equal(survey.sums.other.bytes, sums.other.bytes);
	assert_int_equal(survey.sums.logged.largest, PAGE);
	assert_int_equal(survey.sums.other.largest, PAGE);
	assert_true(survey.sums.any_logged);

	/* Also where all that has changed is in an area. */
	assert_int_equal(survey_set_memslots(&other, make_slots(n), n), 0);
	assert_false(other.sums.any_logged);
	assert_false(survey_is_same(&survey, &other));
	survey_done(&other);
	slots = make_slots(n);
	for (size_t i = 0; i < n; i++) {
		slots[i].read_only = i % 3 == 0;
		slots[i].dirty_logging = i % 10 == 0 && i != 4990;
	}
	assert_int_equal(survey_set_memslots(&other, slots, n), 0);
	assert_false(survey_is_same(&survey, &other));
	assert_true(survey_is_same(&other, &other));
	survey_done(&other);
	survey_done(&survey);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_there_may_be),
		cmocka_unit_test(test_as_many_as_are_kept),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_logging),
	};

	return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
