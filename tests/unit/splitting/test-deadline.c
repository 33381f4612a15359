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
#include "budget/budget.h"
#include "splitting/deadline.h"

#define SECONDS(s) ((s)*USEC_PER_SEC)

#define DEMAND(tokens_, usec_left_, ceiling_)                                          \
	{                                                                              \
		.tokens = (tokens_), .usec_left = (usec_left_), .ceiling = (ceiling_), \
		.announced = true                                                      \
	}

static struct deadline_division divide(struct deadline_demand *demands, size_t n, double rate)
{
	struct deadline_division division = { .rate = rate, .demands = demands, .n = n };

	deadline_divide(&division);
	return division;
}

/* By its weight, which is what the budget goes by. */
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
	divide(demands, 3, 1000);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(demands[i].weight, BUDGET_WEIGHT_DEFAULT);
		assert_int_equal(demands[i].ahead, 0);
	}
	divide(demands, 0, 1000);
}

/* One that needs nine tenths of the rate gets them, and the other what is left. */
static void test_nobody(void **state)
{
	(void)divide(NULL, 0, 1000);
}

static void test_in_time(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(10000, DEADLINE_NONE, INFINITY),
		DEMAND(8000, SECONDS(10), INFINITY),
	};

	divide(demands, 2, 1000);
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
	divide(demands, ARRAY_SIZE(demands), 1000);
	assert_true(share(demands, ARRAY_SIZE(demands), 0, 1000) >= 110);
}

/* Where the rest is next to nothing for each, it is still something: share() looks at that. */
static void test_many_beside_one(void **state)
{
	struct deadline_demand demands[2000] = { DEMAND(1000000, SECONDS(1), INFINITY) };

	for (size_t i = 1; i < ARRAY_SIZE(demands); i++)
		demands[i] = (struct deadline_demand)DEMAND(10000, DEADLINE_NONE, INFINITY);
	divide(demands, ARRAY_SIZE(demands), 1000);
	assert_true(share(demands, ARRAY_SIZE(demands), 0, 1000) >= 970);
	assert_true(share(demands, ARRAY_SIZE(demands), 1999, 1000) > 0);
}

/* With time to spare it gets more than it needs: nothing is gained by waiting. */
static void test_time_to_spare(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100, SECONDS(1000), INFINITY),
		DEMAND(100, DEADLINE_NONE, INFINITY),
	};

	divide(demands, 2, 1000);
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

	divide(demands, 4, 1000);
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

	divide(demands, 2, 1000);
	assert_true(share(demands, 2, 0, 1000) >= 490);
	assert_true(share(demands, 2, 1, 1000) >= 400);
}

/* One without a deadline, of whose kind there may be any number. */
static struct deadline_demand make(bool announced, int64_t uid)
{
	return (struct deadline_demand){
		.tokens = 10000,
		.usec_left = DEADLINE_NONE,
		.ceiling = INFINITY,
		.uid = uid,
		.announced = announced,
	};
}

static void assert_near(double a, double b)
{
	assert_true(fabs(a - b) <= 0.01 * fabs(b));
}

/* What the first in @demands with that uid gets. */
static double share_of(const struct deadline_demand *demands, size_t n, int64_t uid)
{
	for (size_t i = 0; i < n; i++)
		if (demands[i].uid == uid)
			return demands[i].share;
	fail_msg("nobody has that uid");
	return 0;
}

/* Users share alike, and each one's VMs, whatever their number; weights say the same. */
static void test_users(void **state)
{
	struct deadline_demand demands[100];

	for (size_t i = 0; i < 100; i++)
		demands[i] = make(true, i == 50 ? 1000 : i < 10 ? 1001 : 1002);
	divide(demands, 100, 9000);
	assert_near(share_of(demands, 100, 1000), 3000);
	assert_near(share_of(demands, 100, 1001), 300);
	assert_near(share_of(demands, 100, 1002), 3000.0 / 89);
	for (size_t i = 0; i < 100; i++)
		assert_near(share(demands, 100, i, 9000), demands[i].share);
}

/* One that was announced beside 4095 of another user that were not: three quarters, and all of its own. */
static void test_announced_beside_many(void **state)
{
	static struct deadline_demand demands[4096];
	double others = 0;

	for (size_t i = 0; i < 4096; i++)
		demands[i] = make(i == 1234, i == 1234 ? 0 : 1000);
	divide(demands, 4096, 1000);
	assert_near(share_of(demands, 4096, 0), 750);
	for (size_t i = 0; i < 4096; i++) {
		if (demands[i].uid == 0)
			assert_near(share(demands, 4096, i, 1000), 750);
		else
			others += share(demands, 4096, i, 1000);
	}
	assert_near(others, 250);

	/* And what it takes to be in time, up to nearly all. */
	for (size_t i = 0; i < 4096; i++)
		demands[i].usec_left = demands[i].uid ? 1 : SECONDS(12);
	divide(demands, 4096, 1000);
	assert_near(share_of(demands, 4096, 0),
		    10000 * 1.1 / 12 + 0.75 * (1000 - 10000 * 1.1 / 12));
	/* Whatever is said of the others': nobody has announced them. */
	assert_int_equal(demands[0].uid, 0);
	assert_int_equal(demands[1].ahead, 0);
}

/* Where nobody was announced the others have all of it. */
static void test_unannounced_alone(void **state)
{
	struct deadline_demand demands[4];

	for (int i = 0; i < 4; i++)
		demands[i] = make(false, i / 3);
	divide(demands, 4, 1200);
	assert_near(share_of(demands, 4, 0), 200);
	assert_near(share_of(demands, 4, 1), 600);
}

/* What it gets: the ceilings leave it to the others in proportion, as the budget does. */
static void test_shares_fill_up_below_ceilings(void **state)
{
	struct deadline_demand demands[5];
	double sum = 0;

	for (int i = 0; i < 5; i++)
		demands[i] = make(true, i);
	demands[1].ceiling = 50;
	demands[2].ceiling = 230;
	divide(demands, 5, 1000);
	/* 950 for four: 237.5, so 2 stays at 230 and the others get 240. */
	assert_near(share_of(demands, 5, 0), 240);
	assert_near(share_of(demands, 5, 1), 50);
	assert_near(share_of(demands, 5, 2), 230);
	for (int i = 0; i < 5; i++)
		sum += demands[i].share;
	assert_near(sum, 1000);
}

/* What it and those before it have together is what it goes by in its turn. */
static void test_turns(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100000, DEADLINE_NONE, INFINITY),
		DEMAND(6000, SECONDS(20), INFINITY),
		DEMAND(6000, SECONDS(10), INFINITY),
	};

	divide(demands, 3, 1000);
	assert_near(demands[0].turn, demands[0].share);
	assert_near(demands[1].turn, demands[0].share + demands[1].share);
	assert_true(demands[2].turn == 0);
	assert_near(demands[0].share + demands[1].share + demands[2].share, 1000);
}

/* One that comes later is told nearly what it would be if all were divided anew. */
static void test_estimate(void **state)
{
	static struct deadline_demand demands[301];
	uint64_t rng = 7;

	for (int round = 0; round < 200; round++) {
		struct deadline_division division;
		struct deadline_demand d;
		size_t n = 300;

		for (size_t i = 0; i <= n; i++) {
			rng = rng * 6364136223846793005 + 1442695040888963407;
			demands[i] = make(rng >> 63, 0);
			demands[i].tokens = 100 + (rng >> 40) % 1000;
			if ((rng >> 60) % 4 == 0)
				demands[i].usec_left = SECONDS(100 + (rng >> 35) % 1000);
		}
		d = demands[n];
		division = divide(demands, n, 1000);
		deadline_estimate(&division, &d);
		demands[n] = d;
		demands[n].userdata = state;
		divide(demands, n + 1, 1000);
		for (size_t i = 0; i <= n; i++) {
			if (demands[i].userdata != state)
				continue;
			assert_true(fabs(d.share - demands[i].share) < 0.05 * demands[i].share);
			assert_true(fabs((double)d.ahead - (double)demands[i].ahead) < 1000);
			assert_true(fabs(d.turn - demands[i].turn) <= 0.05 * demands[i].turn);
			assert_true(fabs((double)d.weight - demands[i].weight) <
				    0.05 * demands[i].weight + 2);
			demands[i].userdata = NULL;
		}
	}
}

/* The very first. */
static void test_estimate_alone(void **state)
{
	struct deadline_division division = { .rate = 1000 };
	struct deadline_demand d = DEMAND(1000, SECONDS(10), INFINITY);

	deadline_divide(&division);
	deadline_estimate(&division, &d);
	assert_near(d.share, 1000);
	assert_int_equal(d.ahead, 0);
}

/* What one cannot use for its ceiling is not kept for it. */
static void test_ceiling(void **state)
{
	struct deadline_demand demands[] = {
		DEMAND(100000, SECONDS(1), 100),
		DEMAND(8000, SECONDS(10), INFINITY),
	};

	divide(demands, 2, 1000);
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

	divide(demands, 4, 1e9);
	assert_true(share(demands, 4, 0, 1e9) >= 0.97e9);
	assert_true(share(demands, 4, 3, 1e9) > 0);
	divide(demands, 4, 1);
	assert_true(share(demands, 4, 0, 1) >= 0.97);
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
			all[i].announced = true;
		}
		all[5] = (struct deadline_demand)DEMAND(UINT64_MAX >> 1, DEADLINE_NONE, INFINITY);
		for (size_t n = 6; n > 1;) {
			const double step = 0.05;

			divide(all, n, rate);
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
		cmocka_unit_test(test_no_deadlines),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_in_time),
		cmocka_unit_test(test_margin),
		cmocka_unit_test(test_many_beside_one),
		cmocka_unit_test(test_time_to_spare),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_announced_beside_many),
		cmocka_unit_test(test_unannounced_alone),
		cmocka_unit_test(test_shares_fill_up_below_ceilings),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_estimate),
		cmocka_unit_test(test_estimate_alone),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_simulated),
	};

	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
