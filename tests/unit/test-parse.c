// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parse.h"
#include "util.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_parse_size),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
