// SPDX-License-Identifier: GPL-2.0-or-later
/* Dividing the budget by deadlines: who gets more, who is in time, who waits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "budget.h"
#include "deadline.h"

#define SECONDS(s) ((s)*USEC_PER_SEC)

#define DEMAND(tokens_, usec_left_, ceiling_)                                         \
	{                                                                             \
		.tokens = (tokens_), .usec_left = (usec_left_), .ceiling = (ceiling_) \
	}

static double share(const struct deadline_demand *demands, size_t n, size_t i, double rate)
{
	double weights = 0;

	for (size_t o = 0; o < n; o++) {
		assert_in_range(demands[o].weight, 1, BUDGET_WEIGHT_MAX);
		weights += demands[o].weight;
	}
	return rate * demands[i].weight / weights;
}

static void test_no_deadlines(void **state)
{
	struct deadline_demand demands[3];

	for (size_t i = 0; i < 3; i++)
		demands[i] = (struct deadline_demand)DEMAND(i * 1000, DEADLINE_NONE, INFINITY);
	deadline_divide(demands, 3, 1000);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(demands[i].weight, BUDGET_WEIGHT_DEFAULT);
		assert_int_equal(demands[i].ahead, 0);
	}
	deadline_divide(demands, 0, 1000);
}

/* One that needs nine tenths of the rate gets them, and the other what is left. */
static void test_in_time(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(10000, DEADLINE_NONE, INFINITY),
		DEMAND(8000, SECONDS(10), INFINITY),
	};

	deadline_divide(demands, 2, 1000);
	assert_true(demands[0].usec_left == SECONDS(10));
	assert_true(share(demands, 2, 0, 1000) >= 800);
	assert_true(share(demands, 2, 1, 1000) >= 50);
	assert_int_equal(demands[0].ahead, 0);
}

/* A tenth more than it takes: calls end late, and blocks are mapped meanwhile. */
static void test_margin(void **state)
{
	struct deadline_demand demands[100] = { DEMAND(1000, SECONDS(10), INFINITY) };

	for (size_t i = 1; i < ARRAY_SIZE(demands); i++)
		demands[i] = (struct deadline_demand)DEMAND(10000, DEADLINE_NONE, INFINITY);
	deadline_divide(demands, ARRAY_SIZE(demands), 1000);
	assert_true(share(demands, ARRAY_SIZE(demands), 0, 1000) >= 110);
}

/* Where the rest is next to nothing for each, it is still something: share() looks at that. */
static void test_many_beside_one(void **state)
{
	struct deadline_demand demands[2000] = { DEMAND(1000000, SECONDS(1), INFINITY) };

	for (size_t i = 1; i < ARRAY_SIZE(demands); i++)
		demands[i] = (struct deadline_demand)DEMAND(10000, DEADLINE_NONE, INFINITY);
	deadline_divide(demands, ARRAY_SIZE(demands), 1000);
	assert_int_equal(demands[0].weight, BUDGET_WEIGHT_MAX);
	assert_true(share(demands, ARRAY_SIZE(demands), 1999, 1000) > 0);
}

/* With time to spare it gets more than it needs: nothing is gained by waiting. */
static void test_time_to_spare(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100, SECONDS(1000), INFINITY),
		DEMAND(100, DEADLINE_NONE, INFINITY),
	};

	deadline_divide(demands, 2, 1000);
	assert_true(share(demands, 2, 0, 1000) >= 500);
	assert_true(share(demands, 2, 1, 1000) >= 499);
}

/* Too much for all: the first deadline gets most, the order is that of the deadlines. */
static void test_too_much(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100000, DEADLINE_NONE, INFINITY),
		DEMAND(6000, SECONDS(20), INFINITY),
		DEMAND(6000, SECONDS(10), INFINITY),
		DEMAND(6000, SECONDS(30), INFINITY),
	};

	deadline_divide(demands, 4, 1000);
	for (size_t i = 0; i + 1 < 4; i++) {
		assert_true(demands[i].usec_left < demands[i + 1].usec_left);
		assert_true(demands[i].weight >= demands[i + 1].weight);
	}
	assert_true(share(demands, 4, 0, 1000) >= 600);
	assert_true(share(demands, 4, 1, 1000) >= 300);
	assert_true(share(demands, 4, 2, 1000) < 100);
	assert_true(share(demands, 4, 3, 1000) >= 4);
	assert_int_equal(demands[1].ahead, 6000);
	assert_int_equal(demands[2].ahead, 12000);
	assert_int_equal(demands[3].ahead, 0);
}

/* It is late whatever is done now: the others are not made late as well. */
static void test_passed(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100000, 0, INFINITY),
		DEMAND(4000, SECONDS(10), INFINITY),
	};

	deadline_divide(demands, 2, 1000);
	assert_true(share(demands, 2, 0, 1000) >= 490);
	assert_true(share(demands, 2, 1, 1000) >= 400);
}

/* What one cannot use for its ceiling is not kept for it. */
static void test_ceiling(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100000, SECONDS(1), 100),
		DEMAND(8000, SECONDS(10), INFINITY),
	};

	deadline_divide(demands, 2, 1000);
	assert_true(share(demands, 2, 0, 1000) >= 100);
	assert_true(share(demands, 2, 1, 1000) >= 800);
}

static void test_extremes(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(UINT64_MAX, 1, INFINITY),
		DEMAND(0, SECONDS(10), INFINITY),
		DEMAND(UINT64_MAX, UINT64_MAX - 1, INFINITY),
		DEMAND(1, DEADLINE_NONE, 1),
	};

	deadline_divide(demands, 4, 1e9);
	assert_int_equal(demands[0].weight, BUDGET_WEIGHT_MAX);
	assert_true(share(demands, 4, 3, 1e9) > 0);
	deadline_divide(demands, 4, 1);
	assert_int_equal(demands[0].weight, BUDGET_WEIGHT_MAX);
}

/*
 * Time goes by in steps, each divided anew. Whenever the deadlines can be met
 * with a tenth to spare, one after the other, they are.
 */
static void test_simulated(void **state)
{
	uint64_t rng = 42;

	for (int round = 0; round < 200; round++) {
		struct deadline_demand all[6] = {};
		double done = 0, rate = 1000;

		/* In order of their deadlines, each with room for its own work. */
		for (size_t i = 0; i < 5; i++) {
			rng = rng * 6364136223846793005 + 1442695040888963407;
			all[i].tokens = 100 + (rng >> 33) % 5000;
			done += (double)all[i].tokens / rate;
			all[i].usec_left = (uint64_t)(done * 1.15 * 1e6) + SECONDS(1);
			all[i].ceiling = INFINITY;
		}
		all[5] = (struct deadline_demand)DEMAND(UINT64_MAX >> 1, DEADLINE_NONE, INFINITY);
		for (size_t n = 6; n > 1;) {
			const double step = 0.05;

			deadline_divide(all, n, rate);
			for (size_t i = 0; i < n; i++) {
				double used = share(all, n, i, rate) * step;

				all[i].tokens -= min_u64(all[i].tokens, (uint64_t)ceil(used));
			}
			for (size_t i = 0; i + 1 < n; i++) {
				assert_true(!all[i].tokens || all[i].usec_left > 1e6 * step);
				all[i].usec_left -=
					min_u64(all[i].usec_left, (uint64_t)(1e6 * step));
			}
			/* Those that are done take no part any more. */
			for (size_t i = 0; i < n;) {
				if (all[i].tokens)
					i++;
				else
					all[i] = all[--n];
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_deadlines),  cmocka_unit_test(test_in_time),
		cmocka_unit_test(test_margin),	      cmocka_unit_test(test_many_beside_one),
		cmocka_unit_test(test_time_to_spare), cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_passed),	      cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_extremes),      cmocka_unit_test(test_simulated),
	};

	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
