// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "budget/eta.h"

static uint64_t estimate(struct eta_demand demand)
{
	uint64_t usec;

	assert_true(eta_estimate(&demand, &usec));
	return usec;
}

/* Whatever is slower, the budget or the calls. */
static void test_share_and_speed(void **state)
{
	struct eta_demand demand = {
		.tlbis = 1000,
		.share = 100,
		.speed = INFINITY,
		.rate = INFINITY,
		.limit = INFINITY,
	};

	assert_int_equal(estimate(demand), 10000000);
	demand.speed = 50;
	assert_int_equal(estimate(demand), 20000000);
	demand.share = INFINITY;
	assert_int_equal(estimate(demand), 20000000);
	demand.tlbis = 0;
	assert_int_equal(estimate(demand), 0);
}

/* Neither budget nor measured: nobody knows. */
static void test_unknown(void **state)
{
	const struct eta_demand demand = {
		.tlbis = 1000,
		.share = INFINITY,
		.speed = INFINITY,
		.rate = 100,
		.limit = INFINITY,
	};
	uint64_t usec;

	assert_false(eta_estimate(&demand, &usec));
}

/* With a deadline it is done in its turn, where that is sooner than by its share of now. */
static void test_in_turn(void **state)
{
	struct eta_demand demand = {
		.tlbis = 1000,
		.share = 10,
		.speed = INFINITY,
		.rate = 1000,
		.limit = INFINITY,
		.ahead = 3000,
	};

	assert_int_equal(estimate(demand), 4000000);
	demand.limit = 100;
	assert_int_equal(estimate(demand), 10000000);
	demand.ahead = 1000000;
	assert_int_equal(estimate(demand), 100000000);
}

static void test_beyond(void **state)
{
	const struct eta_demand demand = {
		.tlbis = UINT64_MAX,
		.share = 1e-9,
		.speed = INFINITY,
		.rate = INFINITY,
		.limit = INFINITY,
	};

	assert_true(estimate(demand) == INT64_MAX);
}

static void test_late(void **state)
{
	assert_false(eta_is_late(UINT64_MAX, UINT64_MAX, UINT64_MAX));
	assert_false(eta_is_late(10, 110, 100));
	assert_true(eta_is_late(11, 110, 100));
	assert_false(eta_is_late(0, 100, 100));
	assert_true(eta_is_late(0, 99, 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share_and_speed),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_in_turn),
		cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_late),
	};

	return cmocka_run_group_tests_name("eta", tests, NULL, NULL);
}
