// SPDX-License-Identifier: GPL-2.0-or-later
/* A token bucket by itself: what is earned, what is in flight, what was overdrawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "budget/bucket.h"
#include "budget/budget-limits.h"

#define START 1000

static struct bucket make(uint64_t rate, uint64_t burst)
{
	struct bucket k;

	bucket_init(&k, rate, burst, START);
	return k;
}

/* It begins empty, and holds a burst at the most. */
static void test_earning(void **state)
{
	struct bucket k = make(10, 4);

	assert_false(bucket_has(&k, 1));
	assert_int_equal(bucket_ready_at(&k, 1, START), START + NSEC_PER_SEC / 10);
	bucket_refill(&k, START + NSEC_PER_SEC / 10 - 1);
	assert_false(bucket_has(&k, 1));
	bucket_refill(&k, START + NSEC_PER_SEC / 10);
	assert_true(bucket_has(&k, 1));
	/* A clock that goes back earns nothing, and takes nothing. */
	bucket_refill(&k, START);
	assert_true(bucket_has(&k, 1));
	bucket_refill(&k, UINT64_MAX);
	assert_true(bucket_has(&k, 4));
	assert_false(bucket_has(&k, 5));
}

/* What is in flight takes up its room, until it is back. */
static void test_in_flight(void **state)
{
	uint64_t now = START + NSEC_PER_SEC;
	struct bucket k = make(10, 4);

	bucket_refill(&k, now);
	bucket_take(&k, 3);
	assert_int_equal(bucket_room(&k), 1);
	now += NSEC_PER_SEC;
	bucket_refill(&k, now);
	assert_true(bucket_has(&k, 1));
	assert_false(bucket_has(&k, 2));
	bucket_put(&k, 3, 1, now);
	assert_int_equal(bucket_room(&k), 4);
	/* Two were not spent; nothing was earned for the one that was. */
	assert_true(bucket_has(&k, 3));
	assert_false(bucket_has(&k, 4));
}

/* What was spent beyond a grant is paid back first. */
static void test_overdraft(void **state)
{
	uint64_t now = START + NSEC_PER_SEC;
	struct bucket k = make(10, 4);

	bucket_refill(&k, now);
	bucket_take(&k, 1);
	bucket_put(&k, 1, 24, now);
	assert_int_equal(bucket_ready_at(&k, 1, now), now + 21 * NSEC_PER_SEC / 10);
	bucket_put(&k, 0, UINT64_MAX, now);
	assert_true(bucket_ready_at(&k, 1, now) < UINT64_MAX);
}

/* Time earns at the rate that was in force; without one, nothing is saved up for one that comes. */
static void test_limits(void **state)
{
	uint64_t now = START + NSEC_PER_SEC;
	struct bucket k = make(2, 100);

	bucket_set_limits(&k, 50, 100, now);
	assert_true(bucket_has(&k, 2));
	assert_false(bucket_has(&k, 3));
	bucket_set_limits(&k, 0, 100, now);
	assert_true(bucket_has(&k, UINT32_MAX));
	assert_int_equal(bucket_quantum(&k), BUDGET_UNLIMITED_GRANT);
	now += NSEC_PER_SEC;
	bucket_set_limits(&k, 50, 100, now);
	assert_false(bucket_has(&k, 1));
	/* One that is smaller than what is in it. */
	bucket_refill(&k, now + NSEC_PER_SEC);
	bucket_set_limits(&k, 50, 10, now + NSEC_PER_SEC);
	assert_false(bucket_has(&k, 11));
}

/* A hundredth of a second's worth, half a burst, and at least one. */
static void test_quantum(void **state)
{
	static const struct {
		uint64_t rate, burst, quantum;
	} cases[] = {
		{ 1, 1, 1 }, { 1000, 1000, 10 }, { 1000, 16, 8 }, { 1000000, 1, 1 }, { 99, 50, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bucket k = make(cases[i].rate, cases[i].burst);

		assert_int_equal(bucket_quantum(&k), cases[i].quantum);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_earning),	  cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_overdraft), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_quantum),
	};

	return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
