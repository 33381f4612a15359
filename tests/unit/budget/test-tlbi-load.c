// SPDX-License-Identifier: GPL-2.0-or-later
/* The limit on TLBIs' time by itself: its debt, and what is learnt of what they take. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "budget/budget-limits.h"
#include "budget/tlbi-load.h"

#define PERCENT (BUDGET_LOAD_MAX / 100)

/* One that has paid what it begins with, by *@now. */
static struct tlbi_load make(uint32_t limit, uint64_t *now)
{
	struct tlbi_load l;

	*now = 1000;
	tlbi_load_init(&l, limit, *now);
	if (!limit)
		return l;
	*now = tlbi_load_ready_at(&l, *now);
	assert_int_equal(*now, 1000 + BUDGET_LOAD_START_NSEC * BUDGET_LOAD_MAX / limit);
	tlbi_load_settle(&l, *now);
	assert_int_equal(tlbi_load_ready_at(&l, *now), *now);
	return l;
}

/* One call at a time, and the next once what that took has been earned, since its end. */
static void test_one_call_at_a_time(void **state)
{
	uint64_t now;
	struct tlbi_load l = make(PERCENT, &now);

	tlbi_load_begin_call(&l, 4, now);
	assert_int_equal(tlbi_load_ready_at(&l, now), UINT64_MAX);
	now += NSEC_PER_SEC;
	tlbi_load_end_call(&l, 4, NSEC_PER_MSEC, NSEC_PER_SEC, now);
	assert_int_equal(tlbi_load_ready_at(&l, now), now + 100 * NSEC_PER_MSEC);
	tlbi_load_settle(&l, now + 40 * NSEC_PER_MSEC);
	assert_int_equal(tlbi_load_ready_at(&l, now + 40 * NSEC_PER_MSEC),
			 now + 100 * NSEC_PER_MSEC);
	/* With another limit the rest takes another time. */
	tlbi_load_set_limit(&l, 2 * PERCENT, now + 40 * NSEC_PER_MSEC);
	assert_int_equal(tlbi_load_ready_at(&l, now + 40 * NSEC_PER_MSEC),
			 now + 70 * NSEC_PER_MSEC);
	/* While a call is under way nothing is. */
	tlbi_load_begin_call(&l, 1, now + 50 * NSEC_PER_MSEC);
	tlbi_load_end_call(&l, 0, 0, 0, now + 90 * NSEC_PER_MSEC);
	assert_int_equal(tlbi_load_ready_at(&l, now + 90 * NSEC_PER_MSEC),
			 now + 110 * NSEC_PER_MSEC);
	/* And without one all is paid. */
	tlbi_load_set_limit(&l, 0, now + 90 * NSEC_PER_MSEC);
	tlbi_load_settle(&l, now + 90 * NSEC_PER_MSEC + 1);
	assert_int_equal(tlbi_load_ready_at(&l, now), now);
	assert_int_equal(tlbi_load_quantum(&l), UINT64_MAX);
}

/* One at first; then what a hundredth of a second earns, at most twice what there were last. */
static void test_quantum(void **state)
{
	uint64_t now;
	struct tlbi_load l = make(PERCENT, &now);

	assert_int_equal(tlbi_load_quantum(&l), 1);
	assert_true(isinf(tlbi_load_get_rate(&l)));
	for (uint64_t n = 1; n <= 32; n *= 2) {
		assert_int_equal(tlbi_load_quantum(&l), n);
		tlbi_load_begin_call(&l, n, now);
		/* Of 2 us each: 50 in a hundredth of a second. */
		tlbi_load_end_call(&l, n, n * 2000, n * 2000, now);
	}
	assert_int_equal(tlbi_load_quantum(&l), 50);
	assert_true(fabs(tlbi_load_get_rate(&l) - 1e9 / (2000 * 101)) < 1);
	/* One that took longer counts at once, one that did not little by little. */
	tlbi_load_begin_call(&l, 50, now);
	tlbi_load_end_call(&l, 50, 50 * UINT64_C(20000), 50 * UINT64_C(20000), now);
	assert_int_equal(tlbi_load_quantum(&l), 5);
	tlbi_load_begin_call(&l, 5, now);
	tlbi_load_end_call(&l, 5, 5 * 2000, 5 * 2000, now);
	assert_in_range(tlbi_load_quantum(&l), 6, 20);
	/* One in which there was none tells nothing. */
	tlbi_load_begin_call(&l, 20, now);
	tlbi_load_end_call(&l, 0, 0, NSEC_PER_SEC, now);
	assert_in_range(tlbi_load_quantum(&l), 6, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_call_at_a_time),
		cmocka_unit_test(test_quantum),
	};

	return cmocka_run_group_tests_name("tlbi-load", tests, NULL, NULL);
}
