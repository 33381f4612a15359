// SPDX-License-Identifier: GPL-2.0-or-later
/* What is learnt of batches, and from what nothing is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "budget/batching.h"
#include "host/backend.h"

static void learn(struct batching *b, uint64_t blocks, uint64_t tlbis, uint64_t yields,
		  uint64_t size)
{
	const struct split_call call = {
		.size = size,
		.blocks = blocks,
		.tlbis = tlbis,
		.yields = yields,
	};

	batching_learn(b, &call);
}

static void test_nothing_is_known(void **state)
{
	struct batching b = {};

	assert_true(batching_get(&b, 512) == 512);
	/* Nothing to split, and nothing split yet. */
	learn(&b, 0, 0, 0, 0);
	learn(&b, 0, 0, 1, 4096);
	/* All that there was, in one: there might have been more. */
	learn(&b, 3, 1, 0, 0);
	/* Without break-before-make. */
	learn(&b, 100, 0, 0, 0);
	assert_true(batching_get(&b, 7) == 7);
}

static void test_what_tells(void **state)
{
	static const struct {
		uint64_t blocks, tlbis, yields, size;
		double expect;
	} cases[] = {
		{ 512, 1, 0, 4096, 512 }, { 1000, 2, 0, 0, 500 }, { 3, 1, 1, 0, 3 },
		{ 8, 8, 8, 4096, 1 },	  { 8, 8, 8, 0, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct batching b = {};

		for (int j = 0; j < 20; j++)
			learn(&b, cases[i].blocks, cases[i].tlbis, cases[i].yields, cases[i].size);
		assert_true(fabs(batching_get(&b, 77) / cases[i].expect - 1) < 0.001);
	}
}

/* A first batch that ended early is one of which one knows: others may be as they were thought to be. */
static void test_first_call(void **state)
{
	struct batching b = {};
	double before = 512, now;

	for (int i = 0; i < 10; i++) {
		learn(&b, 1, 1, 1, 4096);
		now = batching_get(&b, 512);
		assert_true(now < before && now > before / 3);
		before = now;
	}
	/* But if that goes on, it is so. */
	assert_true(now < 2);

	/* And where others had little luck, one that is longer is no proof either. */
	b = (struct batching){};
	learn(&b, 512, 1, 0, 4096);
	assert_in_range(batching_get(&b, 1), 256, 400);
	learn(&b, 512, 1, 0, 4096);
	assert_in_range(batching_get(&b, 1), 400, 500);
}

/* What has changed is learnt within some calls; one call alone does not change all. */
static void test_change(void **state)
{
	struct batching b = {};

	for (int i = 0; i < 20; i++)
		learn(&b, 512, 1, 0, 4096);
	learn(&b, 1, 1, 1, 4096);
	assert_true(batching_get(&b, 0) > 256);
	for (int i = 0; i < 20; i++)
		learn(&b, 8, 8, 8, 4096);
	assert_true(batching_get(&b, 0) < 2);
	assert_true(batching_get(&b, 0) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_known),
		cmocka_unit_test(test_what_tells),
		cmocka_unit_test(test_first_call),
		cmocka_unit_test(test_change),
	};

	return cmocka_run_group_tests_name("batching", tests, NULL, NULL);
}
