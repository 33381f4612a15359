// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ratelimit.h"

static void test_burst(void **state)
{
	struct ratelimit limit = { .interval = 100, .burst = 3 };
	uint64_t missed;

	/* The first interval begins with what is asked first, also at time 0. */
	for (uint64_t now = 0; now < 10; now++) {
		assert_int_equal(ratelimit_allow(&limit, now, &missed), now < 3);
		assert_int_equal(missed, 0);
	}
	assert_false(ratelimit_allow(&limit, 99, &missed));
	/* Then it is told how many were missed: once. */
	assert_true(ratelimit_allow(&limit, 100, &missed));
	assert_int_equal(missed, 8);
	assert_true(ratelimit_allow(&limit, 101, &missed));
	assert_int_equal(missed, 0);
	assert_true(ratelimit_allow(&limit, 102, &missed));
	assert_false(ratelimit_allow(&limit, 103, &missed));
}

static void test_few_are_never_missed(void **state)
{
	struct ratelimit limit = { .interval = 100, .burst = 2 };
	uint64_t missed;

	for (uint64_t now = 0; now < 10000; now += 50) {
		assert_true(ratelimit_allow(&limit, now, &missed));
		assert_int_equal(missed, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_few_are_never_missed),
	};

	return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
