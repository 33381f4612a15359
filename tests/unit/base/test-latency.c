// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "base/latency.h"

static void test_limits_rise(void **state)
{
	for (size_t i = 1; i < LATENCY_BUCKETS; i++)
		assert_true(latency_limit_usec(i) > latency_limit_usec(i - 1));
}

/* What takes exactly as long as a limit belongs to it, a nanosecond more to the next. */
static void test_limits_are_included(void **state)
{
	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		struct latency latency = {};

		latency_add(&latency, latency_limit_usec(i) * NSEC_PER_USEC);
		assert_int_equal(latency.counts[i], 1);
		latency_add(&latency, latency_limit_usec(i) * NSEC_PER_USEC + 1);
		assert_int_equal(latency.counts[i], 1);
		assert_int_equal(latency.counts[i + 1], 1);
	}
}

static void test_sum(void **state)
{
	struct latency latency = {};
	uint64_t counted = 0;

	latency_add(&latency, 0);
	latency_add(&latency, 12345);
	latency_add(&latency, 3600 * NSEC_PER_SEC);
	assert_int_equal(latency.count, 3);
	assert_int_equal(latency.sum_nsec, 3600 * NSEC_PER_SEC + 12345);
	assert_int_equal(latency.counts[0], 1);
	assert_int_equal(latency.counts[LATENCY_BUCKETS], 1);
	for (size_t i = 0; i <= LATENCY_BUCKETS; i++)
		counted += latency.counts[i];
	assert_int_equal(counted, latency.count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_rise),
		cmocka_unit_test(test_limits_are_included),
		cmocka_unit_test(test_sum),
	};

	return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
