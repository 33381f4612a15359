// SPDX-License-Identifier: GPL-2.0-or-later
/* What it takes to split a guest, reckoned ahead. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "ctl/plan.h"

#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)
#define NONE UINT64_MAX

static struct plan make(uint64_t memory, uint64_t block_size, uint64_t rate, uint64_t span_usec)
{
	struct plan_demand demand = { memory, block_size, false, 1, rate, span_usec };
	struct plan plan;

	assert_int_equal(plan_make(&plan, &demand), 0);
	return plan;
}

/* Each granule's blocks: how many, how many tables, and what those take. */
static void test_tables(void **state)
{
	static const struct {
		uint64_t memory, block_size;
		uint64_t blocks, tables, table_bytes, page_size;
	} cases[] = {
		{ 512 * GIB, 2 * MIB, 262144, 262144, GIB, 4096 },
		{ 512 * GIB, GIB, 512, 512 * 513, 512 * 513 * UINT64_C(4096), 4096 },
		{ 512 * GIB, 32 * MIB, 16384, 16384, 256 * MIB, 16384 },
		{ 512 * GIB, 512 * MIB, 1024, 1024, 64 * MIB, 65536 },
		/* A block that is mapped in part only is split as a whole. */
		{ 3 * MIB, 2 * MIB, 2, 2, 8192, 4096 },
		{ 1, GIB, 1, 513, 513 * UINT64_C(4096), 4096 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan plan = make(cases[i].memory, cases[i].block_size, 0, NONE);

		assert_true(plan.blocks == cases[i].blocks);
		assert_true(plan.tables == cases[i].tables);
		assert_true(plan.table_bytes == cases[i].table_bytes);
		assert_true(plan.page_size == cases[i].page_size);
		assert_true(plan.tlbis == plan.most_tlbis);
		assert_true(plan.least_rate == 0 && plan.time_usec == 0 && !plan.late);
	}
}

/* What a TLBI is good for, at the least and at the best. */
static void test_batches(void **state)
{
	static const struct {
		uint64_t memory, block_size, batch;
		uint64_t tlbis, most;
	} cases[] = {
		{ 64 * GIB, 2 * MIB, 1, 32768, 32768 },
		{ 64 * GIB, 2 * MIB, 512, 64, 32768 },
		{ 64 * GIB, 2 * MIB, 100, 328, 32768 },
		{ 128 * MIB, 2 * MIB, 512, 1, 64 },
		/* To blocks of 2 MiB, and those to pages. */
		{ GIB, GIB, 512, 2, 513 },
		{ 64 * GIB, GIB, 512, 128, 64 * 513 },
		{ 64 * GIB, GIB, 256, 192, 64 * 513 },
		{ 64 * GIB, GIB, 1, 64 * 513, 64 * 513 },
		{ 512 * GIB, 32 * MIB, 512, 32, 16384 },
		{ 512 * GIB, 512 * MIB, 512, 2, 1024 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan_demand demand = {
			cases[i].memory, cases[i].block_size, false, cases[i].batch, 1, NONE
		};
		struct plan plan;

		assert_int_equal(plan_make(&plan, &demand), 0);
		assert_true(plan.tlbis == cases[i].tlbis);
		assert_true(plan.most_tlbis == cases[i].most);
		assert_true(plan.time_usec == cases[i].tlbis * USEC_PER_SEC);
	}
}

static void test_time(void **state)
{
	/* 32768 blocks */
	assert_true(make(64 * GIB, 2 * MIB, 1000, NONE).time_usec == 32768000);
	assert_true(make(64 * GIB, 2 * MIB, 32768, NONE).time_usec == USEC_PER_SEC);
	/* Rounded up: what is said is enough. */
	assert_true(make(2 * MIB, 2 * MIB, 3, NONE).time_usec == 333334);
}

static void test_least_rate(void **state)
{
	static const struct {
		uint64_t span_usec, rate;
	} cases[] = {
		{ 60 * USEC_PER_SEC, 547 }, /* 546.13 */
		{ 32768 * USEC_PER_SEC, 1 }, { 100000 * USEC_PER_SEC, 1 },
		{ USEC_PER_SEC, 32768 },     { 1, UINT64_C(32768) * USEC_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan plan = make(64 * GIB, 2 * MIB, 0, cases[i].span_usec);

		assert_true(plan.least_rate == cases[i].rate);
		assert_false(plan.late);
		/* That rate is enough, and the next lower one is not. */
		plan = make(64 * GIB, 2 * MIB, cases[i].rate, cases[i].span_usec);
		assert_true(plan.time_usec <= cases[i].span_usec);
		assert_false(plan.late);
		if (cases[i].rate == 1)
			continue;
		plan = make(64 * GIB, 2 * MIB, cases[i].rate - 1, cases[i].span_usec);
		assert_true(plan.late);
		assert_true(plan.time_usec > cases[i].span_usec || cases[i].span_usec == 1);
	}
}

/* Without break-before-make nothing waits for a budget, but tables it takes all the same. */
static void test_bbm(void **state)
{
	struct plan_demand demand = { 64 * GIB, 2 * MIB, true, 512, 1, 1 };
	struct plan plan;

	assert_int_equal(plan_make(&plan, &demand), 0);
	assert_true(plan.blocks == 32768 && plan.tables == 32768);
	assert_true(plan.tlbis == 0 && plan.least_rate == 0 && plan.time_usec == 0);
	assert_false(plan.late);
}

static void test_nonsense(void **state)
{
	static const struct {
		struct plan_demand demand;
		int r;
	} cases[] = {
		{ { 0, 2 * MIB, false, 1, 0, NONE }, -EINVAL },
		{ { GIB, 0, false, 1, 0, NONE }, -EINVAL },
		{ { GIB, 4096, false, 1, 0, NONE }, -EINVAL },
		{ { GIB, 4 * MIB, false, 1, 0, NONE }, -EINVAL },
		{ { GIB, 2 * MIB, false, 0, 0, NONE }, -EINVAL },
		{ { GIB, 2 * MIB, false, 513, 0, NONE }, -EINVAL },
		{ { GIB, 2 * MIB, false, 1, 0, 0 }, -ERANGE },
	};
	struct plan plan;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(plan_make(&plan, &cases[i].demand), cases[i].r);
}

/* The largest of everything: right, or too much to say, but never wrapped round. */
static void test_extremes(void **state)
{
	struct plan plan = make(UINT64_MAX, 2 * MIB, 1, NONE);

	assert_true(plan.blocks == UINT64_C(1) << 43);
	assert_true(plan.table_bytes == UINT64_C(1) << 55);
	assert_true(plan.time_usec == (UINT64_C(1) << 43) * USEC_PER_SEC);
	plan = make(UINT64_MAX, 2 * MIB, UINT64_MAX, UINT64_MAX - 1);
	assert_true(plan.time_usec == 1 && plan.least_rate == 1 && !plan.late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),	 cmocka_unit_test(test_batches),
		cmocka_unit_test(test_time),	 cmocka_unit_test(test_least_rate),
		cmocka_unit_test(test_bbm),	 cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
