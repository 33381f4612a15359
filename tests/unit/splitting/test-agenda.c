// SPDX-License-Identifier: GPL-2.0-or-later
/* What is due, and when the next is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "splitting/agenda.h"
#include "base/util.h"

static void test_order(void **state)
{
	static const uint64_t times[] = { 30, 10, 20, 10 };
	struct agenda_entry entries[ARRAY_SIZE(times)] = {}, *due;
	struct agenda a;
	unsigned int n = 0;

	agenda_init(&a);
	assert_int_equal(agenda_get_next(&a), UINT64_MAX);
	assert_null(agenda_get_due(&a, UINT64_MAX));
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		agenda_set(&a, &entries[i], times[i]);
	assert_int_equal(agenda_get_next(&a), 10);
	assert_null(agenda_get_due(&a, 9));
	while ((due = agenda_get_due(&a, 20))) {
		assert_true(due->at <= 20);
		agenda_set(&a, due, 0);
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(agenda_get_next(&a), 30);
}

/* Put off, or brought forward, it is due once, at the time that was said last. */
static void test_setting_again(void **state)
{
	struct agenda_entry one = {}, two = {};
	struct agenda a;

	agenda_init(&a);
	agenda_set(&a, &one, 10);
	agenda_set(&a, &two, 20);
	agenda_set(&a, &one, 30);
	assert_ptr_equal(agenda_get_due(&a, 25), &two);
	agenda_set(&a, &one, 5);
	assert_ptr_equal(agenda_get_due(&a, 25), &one);
	agenda_set(&a, &one, 0);
	agenda_set(&a, &one, 0);
	assert_ptr_equal(agenda_get_due(&a, 25), &two);
	agenda_set(&a, &two, 0);
	assert_int_equal(agenda_get_next(&a), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_setting_again),
	};

	return cmocka_run_group_tests_name("agenda", tests, NULL, NULL);
}
