// SPDX-License-Identifier: GPL-2.0-or-later
/* Sizes, spans and times as people write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/util.h"
#include "ctl/format.h"

static void test_format_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 2 << 20, "2.0 MiB" },
		{ (1 << 20) - 1, "1.0 MiB" },
		{ UINT64_C(64) << 30, "64.0 GiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char buf[FORMAT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(format_bytes(buf, cases[i].bytes), cases[i].text);
}

static void test_format_span(void **state)
{
	static const struct {
		uint64_t usec;
		const char *text;
	} cases[] = {
		{ 0, "0.0s" },
		{ 449999, "0.4s" },
		{ 9949999, "9.9s" },
		{ 9950000, "10s" },
		{ 59499999, "59s" },
		{ 59500000, "1min 0s" },
		{ 185 * USEC_PER_SEC, "3min 5s" },
		{ 7800 * USEC_PER_SEC, "2h 10min" },
		{ 99 * 3600 * USEC_PER_SEC, "4d 3h" },
		{ UINT64_MAX, "213503982d 8h" },
	};
	char buf[FORMAT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(format_span(buf, cases[i].usec), cases[i].text);
}

static void test_parse_span(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t usec;
	} cases[] = {
		{ "0", 0, 0 },
		{ "60", 0, 60 * USEC_PER_SEC },
		{ "90s", 0, 90 * USEC_PER_SEC },
		{ "1min 30s", 0, 90 * USEC_PER_SEC },
		{ "1min30s", 0, 90 * USEC_PER_SEC },
		{ " 2 h ", 0, 7200 * USEC_PER_SEC },
		{ "1.5h", 0, 5400 * USEC_PER_SEC },
		{ "0.25s", 0, 250000 },
		{ "20ms 5us", 0, 20005 },
		{ "2m 5sec", 0, 125 * USEC_PER_SEC },
		{ "1d", 0, 86400 * USEC_PER_SEC },
		{ "106751991d", 0, UINT64_C(106751991) * 86400 * USEC_PER_SEC },
		{ "", -EINVAL, 0 },
		{ " ", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "5 parsecs", -EINVAL, 0 },
		{ "5s!", -EINVAL, 0 },
		{ "99999999999999999999s", -ERANGE, 0 },
		{ "18446744073709551615s", -ERANGE, 0 },
		{ "18446744073709551615us 1us", -ERANGE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t usec = 0;

		if (parse_span(cases[i].text, &usec) != cases[i].r || usec != cases[i].usec)
			fail_msg("\"%s\" gives %llu", cases[i].text, (unsigned long long)usec);
	}
}

/* 2024-03-07 18:30:15 UTC */
#define NOW (UINT64_C(1709836215) * USEC_PER_SEC)

static void test_parse_time(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t usec;
	} cases[] = {
		{ "+60s", 0, NOW + 60 * USEC_PER_SEC },
		{ "+60", 0, NOW + 60 * USEC_PER_SEC },
		{ "60s", 0, NOW + 60 * USEC_PER_SEC },
		{ "+1h 30min", 0, NOW + 5400 * USEC_PER_SEC },
		{ "@1709836215", 0, NOW },
		{ "2024-03-07 18:30:15", 0, NOW },
		{ "2024-03-07 18:30", 0, NOW - 15 * USEC_PER_SEC },
		{ "2024-03-08", 0, UINT64_C(1709856000) * USEC_PER_SEC },
		{ "18:31:00", 0, NOW + 45 * USEC_PER_SEC },
		{ "18:31", 0, NOW + 45 * USEC_PER_SEC },
		/* Not today any more */
		{ "18:30:15", 0, NOW + 86400 * USEC_PER_SEC },
		{ "18:30", 0, NOW + (86400 - 15) * USEC_PER_SEC },
		{ "01:30", 0, NOW + (7 * 3600 - 15) * USEC_PER_SEC },
		{ "60", -EINVAL, 0 },
		{ "99999999999999999999999", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "tomorrow", -EINVAL, 0 },
		{ "2024-13-07", -EINVAL, 0 },
		{ "25:00", -EINVAL, 0 },
		{ "@", -EINVAL, 0 },
		{ "@9223372036854775807", -ERANGE, 0 },
		{ "+18446744073709551615us", -ERANGE, 0 },
		{ "+9223372036854775807us", -ERANGE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t usec = 0;

		if (parse_time(cases[i].text, NOW, &usec) != cases[i].r || usec != cases[i].usec)
			fail_msg("\"%s\" gives %llu", cases[i].text, (unsigned long long)usec);
	}
}

static void test_format_time(void **state)
{
	char buf[FORMAT_SIZE];

	assert_string_equal(format_time(buf, NOW), "2024-03-07 18:30:15");
}

static void test_parse_number(void **state)
{
	int64_t n = -1;

	assert_int_equal(parse_number("0", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_number("9223372036854775807", &n), 0);
	assert_true(n == INT64_MAX);
	assert_int_equal(parse_number("9223372036854775808", &n), -ERANGE);
	assert_int_equal(parse_number("-1", &n), -EINVAL);
	assert_int_equal(parse_number("+1", &n), -EINVAL);
	assert_int_equal(parse_number(" 1", &n), -EINVAL);
	assert_int_equal(parse_number("1x", &n), -EINVAL);
	assert_int_equal(parse_number("", &n), -EINVAL);
}

/* Local time is UTC here, wherever this runs. */
static int set_utc(void **state)
{
	setenv("TZ", "UTC0", 1);
	tzset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_bytes), cmocka_unit_test(test_format_span),
		cmocka_unit_test(test_parse_span),   cmocka_unit_test(test_parse_time),
		cmocka_unit_test(test_format_time),  cmocka_unit_test(test_parse_number),
	};

	return cmocka_run_group_tests(tests, set_utc, NULL);
}
