// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"
#include "base/util.h"

struct sample {
	const char *text;
	int r;
	uint64_t value;
};

static void test_parse_u64(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "1K", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		uint64_t value = 0;

		assert_int_equal(parse_u64(samples[i].text, &value), samples[i].r);
		assert_true(value == samples[i].value);
	}
}

static void test_parse_size(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "1K", 0, 1024 },
		{ "2M", 0, UINT64_C(2) << 20 },
		{ "64G", 0, UINT64_C(64) << 30 },
		{ "3T", 0, UINT64_C(3) << 40 },
		{ "16777215T", 0, UINT64_C(16777215) << 40 },
		{ "16777216T", -ERANGE, 0 },
		{ "64GiB", 0, UINT64_C(64) << 30 },
		{ "1KiB", 0, 1024 },
		{ "1iB", -EINVAL, 0 },
		{ "1GiBs", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "G", -EINVAL, 0 },
		{ "1g", -EINVAL, 0 },
		{ "1GB", -EINVAL, 0 },
		{ "1 G", -EINVAL, 0 },
		{ "-1G", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		uint64_t value = 0;

		assert_int_equal(parse_size(samples[i].text, &value), samples[i].r);
		assert_true(value == samples[i].value);
	}
}

static void test_parse_rate(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "1000", 0, 1000 },
		{ "1000/s", 0, 1000 },
		{ "10K", 0, 10000 },
		{ "10K/s", 0, 10000 },
		{ "3M/s", 0, 3000000 },
		{ "18G", 0, UINT64_C(18000000000) },
		{ "18446744074G", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "/s", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "10k", -EINVAL, 0 },
		{ "10 /s", -EINVAL, 0 },
		{ "10/min", -EINVAL, 0 },
		{ "10T", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		uint64_t value = 0;

		assert_int_equal(parse_rate(samples[i].text, &value), samples[i].r);
		if (samples[i].r == 0)
			assert_true(value == samples[i].value);
	}
}

static void test_parse_percent(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "0%", 0, 0 },
		{ "0.0", 0, 0 },
		{ "1%", 0, 10000 },
		{ "0.5%", 0, 5000 },
		{ "12.3456%", 0, 123456 },
		{ "0.00001%", 0, 1 },
		{ "0.0000001%", 0, 1 },
		{ "0.00000000000000000000000001%", 0, 1 },
		{ "0.00000000%", 0, 0 },
		{ "0.0001000%", 0, 1 },
		{ "0.0001000001%", 0, 2 },
		{ "0.9999999%", 0, 10000 },
		{ "100%", 0, 1000000 },
		{ "101%", 0, 1010000 },
		{ "1844674407370955.1615%", 0, UINT64_MAX },
		{ "1844674407370955.1616%", -ERANGE, 0 },
		{ "1844674407370955.16150001%", -ERANGE, 0 },
		{ "18446744073709551615%", -ERANGE, 0 },
		{ "99999999999999999999%", -ERANGE, 0 },
		{ "1", -EINVAL, 0 },
		{ "0.1", -EINVAL, 0 },
		{ "0.0000001", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "%", -EINVAL, 0 },
		{ "1.%", -EINVAL, 0 },
		{ ".5%", -EINVAL, 0 },
		{ "1 %", -EINVAL, 0 },
		{ "1%%", -EINVAL, 0 },
		{ "-1%", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		uint64_t value = 0;

		assert_int_equal(parse_percent(samples[i].text, &value), samples[i].r);
		if (samples[i].r == 0)
			assert_true(value == samples[i].value);
	}
}

static void test_parse_duration(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7000 },
		{ "20us", 0, 20 },
		{ "1ms", 0, 1000 },
		{ "3s", 0, 3000000 },
		{ "2min", 0, 120000000 },
		{ "1h 30min", 0, UINT64_C(5400000000) },
		{ "1h30min", 0, UINT64_C(5400000000) },
		{ "1d", 0, UINT64_C(86400000000) },
		{ "30min ", 0, UINT64_C(1800000000) },
		{ "5 sec", 0, 5000000 },
		{ " 2m 1sec", 0, 121000000 },
		{ "1.5s", 0, 1500000 },
		{ "0.25", 0, 250 },
		{ "0.5us", 0, 1 },
		{ "0.0000001s", 0, 1 },
		{ "0.0000001", 0, 1 },
		{ "0.0000000s", 0, 0 },
		{ "0.9999999s", 0, 1000000 },
		{ "1.0000009s", 0, 1000001 },
		{ "213503982.9999999d", -ERANGE, 0 },
		{ "213503983d", -ERANGE, 0 },
		{ "213503982d 24h", -ERANGE, 0 },
		{ "18446744073709551615", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ " ", -EINVAL, 0 },
		{ "5 6s", -EINVAL, 0 },
		{ "5.s", -EINVAL, 0 },
		{ ".5s", -EINVAL, 0 },
		{ "1.5.5s", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 },
		{ "1h 30", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1year", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		uint64_t value = 0;

		assert_int_equal(parse_duration(samples[i].text, 1000, &value), samples[i].r);
		assert_true(value == samples[i].value);
	}
}

/* libc's, but for two groups of many members: what those take is more than some room, or any. */
int __real_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size,
		      struct group **ret);
int __wrap_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size,
		      struct group **ret);
int __wrap_getgrnam_r(const char *name, struct group *group, char *buffer, size_t size,
		      struct group **ret)
{
	if (strcmp(name, "thousands") != 0 && strcmp(name, "endless") != 0)
		return __real_getgrnam_r(name, group, buffer, size, ret);
	*ret = NULL;
	if (size < 300000 || strcmp(name, "endless") == 0)
		return ERANGE;
	/* All of it may be written to. */
	memset(buffer, 0, size);
	*group = (struct group){ .gr_name = buffer, .gr_gid = 4711 };
	*ret = group;
	return 0;
}

static void test_parse_group(void **state)
{
	gid_t gid = 12345;

	assert_int_equal(parse_group("root", &gid), 0);
	assert_int_equal(gid, 0);
	assert_int_equal(parse_group("4294967294", &gid), 0);
	assert_int_equal(gid, 4294967294);
	assert_int_equal(parse_group("4294967295", &gid), -ERANGE);
	assert_int_equal(parse_group("99999999999999999999", &gid), -ERANGE);
	assert_int_equal(parse_group("there is none of that name", &gid), -ESRCH);
	assert_int_equal(parse_group("", &gid), -EINVAL);
	assert_int_equal(parse_group("thousands", &gid), 0);
	assert_int_equal(gid, 4711);
	assert_int_equal(parse_group("endless", &gid), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_u64),      cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_rate),     cmocka_unit_test(test_parse_percent),
		cmocka_unit_test(test_parse_duration), cmocka_unit_test(test_parse_group),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
