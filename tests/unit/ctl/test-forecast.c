// SPDX-License-Identifier: GPL-2.0-or-later
/* How fast a host splits: the budget's rate, its load, and what a TLBI was good for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/forecast.h"

static void assert_speed(struct forecast_host host, double expected)
{
	double speed = forecast_speed(&host);

	if (!(speed == expected || fabs(speed - expected) < expected / 1e6))
		fail_msg("%f, not %f", speed, expected);
}

static void test_speed(void **state)
{
	/* Nothing limits it, or nothing that is known of. */
	assert_speed((struct forecast_host){ .rate = 5 }, INFINITY);
	assert_speed((struct forecast_host){ .throttled = true }, INFINITY);
	assert_speed((struct forecast_host){ .throttled = true, .load_ppm = 10000 }, INFINITY);
	/* The rate: a block each, until more is known. */
	assert_speed((struct forecast_host){ .throttled = true, .rate = 1000 }, 1000);
	assert_speed(
		(struct forecast_host){
			.throttled = true, .rate = 1000, .tlbis = 10, .blocks = 5120 },
		512000);
	/* Recovering has cost some of them. */
	assert_speed(
		(struct forecast_host){ .throttled = true, .rate = 1000, .tlbis = 10, .blocks = 5 },
		1000);
	/* The load: a TLBI of 20 us, and a hundredth of the time. */
	assert_speed((struct forecast_host){ .throttled = true,
					     .load_ppm = 10000,
					     .tlbis = 10,
					     .blocks = 10,
					     .tlbi_usec = 200 },
		     500);
	/* Pauses know of no budget, and have a rate of their own, or none. */
	assert_speed((struct forecast_host){ .pauses = true, .pause_rate = 10, .rate = 5 }, 5120);
	assert_speed((struct forecast_host){ .pauses = true, .rate = 5 }, INFINITY);
	/* Whichever is less. */
	assert_speed((struct forecast_host){ .throttled = true,
					     .rate = 400,
					     .load_ppm = 10000,
					     .tlbis = 10,
					     .blocks = 10,
					     .tlbi_usec = 200 },
		     400);
}

static void test_time(void **state)
{
	assert_int_equal(forecast_time(0, 5), 0);
	assert_int_equal(forecast_time(10, 5), 2000000);
	assert_int_equal(forecast_time(10, INFINITY), 0);
	assert_true(forecast_time(UINT64_MAX, 1e-3) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_speed),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
