// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log-quota.h"

/* How many of @n messages at once @uid may cause; @ret_missed: what was said to be missed. */
static size_t count(struct log_quota *q, int64_t uid, uint64_t now, size_t n, uint64_t *ret_missed)
{
	size_t allowed = 0;

	*ret_missed = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t missed;

		allowed += log_quota_allow(q, uid, now, &missed);
		*ret_missed += missed;
	}
	return allowed;
}

/* What one causes is not another's, and what was missed is said once, when there is room again. */
static void test_users(void **state)
{
	uint64_t now = 7 * NSEC_PER_SEC, missed;
	struct log_quota *q;

	assert_int_equal(log_quota_new(&q), 0);
	assert_int_equal(count(q, 1000, now, 16200, &missed), LOG_QUOTA_MAX);
	assert_int_equal(missed, 0);
	assert_int_equal(count(q, 1001, now, 10, &missed), 10);
	assert_int_equal(count(q, -1, now, 10, &missed), 10);
	now += LOG_QUOTA_NSEC - 1;
	assert_int_equal(count(q, 1000, now, 10, &missed), 0);
	now++;
	assert_int_equal(count(q, 1000, now, 10, &missed), 10);
	assert_int_equal(missed, 16210 - LOG_QUOTA_MAX);
	log_quota_free(q);
}

/* However many users there are: together no more than a quota beyond those that have one each. */
static void test_many_users(void **state)
{
	uint64_t now = 7 * NSEC_PER_SEC, missed;
	struct log_quota *q;
	size_t sum = 0;

	assert_int_equal(log_quota_new(&q), 0);
	for (int64_t uid = 1000; uid < 2000; uid++)
		sum += count(q, uid, now, 1000, &missed);
	assert_int_equal(sum, (LOG_QUOTA_USERS + 1) * LOG_QUOTA_MAX);
	/* Of those whom something is to be told of, it is. */
	now += LOG_QUOTA_NSEC;
	assert_int_equal(count(q, 1000, now, 1, &missed), 1);
	assert_int_equal(missed, 1000 - LOG_QUOTA_MAX);
	/* He leaves his place when he has been quiet. */
	now += LOG_QUOTA_NSEC;
	assert_int_equal(count(q, 3000, now, 1000, &missed), LOG_QUOTA_MAX);
	assert_int_equal(missed, 0);
	/* But not before what was missed has been said. */
	assert_int_equal(count(q, 3001, now, 1, &missed), 1);
	assert_int_equal(count(q, 1001, now, 1, &missed), 1);
	assert_int_equal(missed, 1000 - LOG_QUOTA_MAX);
	log_quota_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_many_users),
	};

	return cmocka_run_group_tests_name("log-quota", tests, NULL, NULL);
}
