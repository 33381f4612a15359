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
#include "ctl/when.h"

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
		/* RFC 3339 */
		{ "2024-03-07T18:30:15Z", 0, NOW },
		{ "2024-03-07t18:30:15z", 0, NOW },
		{ "2024-03-07T18:30:15.25Z", 0, NOW + 250000 },
		{ "2024-03-07T20:30:15+02:00", 0, NOW },
		{ "2024-03-07 13:00:15-05:30", 0, NOW },
		{ "2024-03-07T18:30:15", 0, NOW },
		{ "2024-03-07T18:30Z", 0, NOW - 15 * USEC_PER_SEC },
		{ "2024-02-29T00:00:00Z", 0, UINT64_C(1709164800) * USEC_PER_SEC },
		{ "2024-03-07T18:30:15X", -EINVAL, 0 },
		{ "2024-03-07T18:30:15+2", -EINVAL, 0 },
		{ "2024-03-07T18:30:15+02:00Z", -EINVAL, 0 },
		{ "2024-03-07T18:30:15.Z", -EINVAL, 0 },
		{ "@1709836215.5", 0, NOW + 500000 },
		{ "@1709836215.000001", 0, NOW + 1 },
		{ "@1709836215.", -EINVAL, 0 },
		{ "@1709836215s", -EINVAL, 0 },
		{ "@-1", -EINVAL, 0 },
		{ "2027-02-30", -EINVAL, 0 },
		{ "2027-02-30 12:00", -EINVAL, 0 },
		{ "2027-02-29T12:00:00Z", -EINVAL, 0 },
		{ "2024-04-31", -EINVAL, 0 },
		{ "1969-12-31", -EINVAL, 0 },
		{ "1969-12-31T00:00:00Z", -ERANGE, 0 },
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

/* Where clocks are put back and forward: 2026-10-25 at 1:00 UTC, 2027-03-28 at 1:00 UTC. */
static void test_summer_time(void **state)
{
	static const struct {
		const char *text;
		uint64_t now, then; /* seconds; 0: there is none */
	} cases[] = {
		/* At 1:30, and at 2:15 for the first and the second time */
		{ "02:30", 1792884600, 1792884600 + 3600 },
		{ "02:30", 1792887300, 1792887300 + 900 },
		{ "02:30", 1792890900, 1792890900 + 900 },
		/* At 2:45 for the first time, the second one is next; then the day after */
		{ "02:30", 1792889100, 1792889100 + 2700 },
		{ "02:30", 1792892700, 1792892700 + 85500 },
		{ "2026-10-25 02:30", 1792884600, 1792884600 + 3600 },
		{ "2026-10-25 02:30", 1792889100, 1792889100 + 2700 },
		{ "2026-10-25T02:30:00+01:00", 1792884600, 1792884600 + 7200 },
		{ "03:30", 1792884600, 1792884600 + 3 * 3600 },
		/* The day before, at 23:00: there is no 2:30 on the next */
		{ "02:30", 1806184800, 1806184800 + 26 * 3600 + 1800 },
		{ "2027-03-28 02:30", 1806184800, 0 },
		{ "2027-03-28 03:30", 1806184800, 1806184800 + 12600 },
	};

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t usec = 0;
		int r = parse_time(cases[i].text, cases[i].now * USEC_PER_SEC, &usec);

		if (r != (cases[i].then ? 0 : -EINVAL) || usec != cases[i].then * USEC_PER_SEC)
			fail_msg("%zu: \"%s\" gives %llu", i, cases[i].text,
				 (unsigned long long)(usec / USEC_PER_SEC));
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
		cmocka_unit_test(test_format_bytes),
		cmocka_unit_test(test_format_span),
		cmocka_unit_test(test_parse_span),
		cmocka_unit_test(test_parse_time),
		cmocka_unit_test(test_format_time),
		cmocka_unit_test(test_parse_number),
		cmocka_unit_test_setup_teardown(test_summer_time, NULL, set_utc),
	};

	return cmocka_run_group_tests(tests, set_utc, NULL);
}
