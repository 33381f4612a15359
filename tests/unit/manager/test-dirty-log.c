// SPDX-License-Identifier: GPL-2.0-or-later
/* Which memslots being logged mean that the VM is migrated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "manager/dirty-log.h"
#include "host/survey.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum {
	LOGGED = 1 << 0,
	READ_ONLY = 1 << 1,
};

struct slot {
	uint64_t bytes;
	unsigned int flags;
};

/* Of memslots that follow each other, up to one of no size. */
static enum dirty_log get(const struct slot *slots)
{
	struct memslot *memslots = calloc(8, sizeof(*memslots));
	struct survey survey = {};
	enum dirty_log log;
	uint64_t gpa = 0;
	size_t n;

	assert_non_null(memslots);
	for (n = 0; slots[n].bytes; n++) {
		const struct slot *from = &slots[n];

		assert_true(n < 8);
		memslots[n] = (struct memslot){
			.slot = (uint32_t)n,
			.gpa = gpa,
			.bytes = from->bytes,
			.read_only = from->flags & READ_ONLY,
			.dirty_logging = from->flags & LOGGED,
		};
		gpa += from->bytes;
	}
	assert_int_equal(survey_set_memslots(&survey, memslots, n), 0);
	log = dirty_log_get(&survey);
	survey_done(&survey);
	return log;
}

#define GET(...) get((const struct slot[]){ __VA_ARGS__, { 0, 0 } })

static void test_nothing(void **state)
{
	assert_int_equal(GET({ 0, 0 }), DIRTY_LOG_NONE);
	assert_int_equal(GET({ GIB, 0 }), DIRTY_LOG_NONE);
	assert_int_equal(GET({ 64 * MIB, READ_ONLY }, { 16 * MIB, 0 }, { GIB, 0 }), DIRTY_LOG_NONE);
}

static void test_migration(void **state)
{
	/* All of it, as QEMU does: firmware, a framebuffer, memory. */
	assert_int_equal(GET({ GIB, LOGGED }), DIRTY_LOG_MEMORY);
	assert_int_equal(GET({ 64 * MIB, READ_ONLY | LOGGED }, { 16 * MIB, LOGGED },
			     { GIB, LOGGED }),
			 DIRTY_LOG_MEMORY);
	/* Some that is not migrated, or not logged yet. */
	assert_int_equal(GET({ 16 * MIB, 0 }, { GIB, LOGGED }, { MIB, 0 }), DIRTY_LOG_MEMORY);
	assert_int_equal(GET({ GIB, LOGGED }, { GIB, LOGGED }, { GIB, LOGGED }, { GIB + 1, 0 }),
			 DIRTY_LOG_MEMORY);
	/* Device memory that it was passed. */
	assert_int_equal(GET({ 64 * GIB, LOGGED }, { 96 * GIB, 0 }, { 64 * GIB, LOGGED }),
			 DIRTY_LOG_MEMORY);
	assert_int_equal(GET({ 64 * GIB, LOGGED }, { 48 * GIB, 0 }, { 48 * GIB, 0 }),
			 DIRTY_LOG_MEMORY);
}

static void test_framebuffer(void **state)
{
	assert_int_equal(GET({ 16 * MIB, LOGGED }, { GIB, 0 }), DIRTY_LOG_PART);
	assert_int_equal(GET({ 64 * MIB, READ_ONLY }, { 16 * MIB, LOGGED }, { 16 * MIB, LOGGED },
			     { 128 * MIB, 0 }),
			 DIRTY_LOG_PART);
	/* As large as the memory, and no larger. */
	assert_int_equal(GET({ 256 * MIB, LOGGED }, { 256 * MIB, 0 }), DIRTY_LOG_PART);
	/* The first of equal ones, the others will follow. */
	assert_int_equal(GET({ GIB, LOGGED }, { GIB, 0 }, { GIB, 0 }), DIRTY_LOG_PART);
}

/* Which is logged on migration, too, and may be all that is so far. */
static void test_firmware(void **state)
{
	assert_int_equal(GET({ 64 * MIB, READ_ONLY | LOGGED }, { 16 * MIB, 0 }), DIRTY_LOG_PART);
	assert_int_equal(GET({ 64 * MIB, READ_ONLY | LOGGED }), DIRTY_LOG_PART);
	assert_int_equal(GET({ 4 * GIB, READ_ONLY }, { GIB, LOGGED }), DIRTY_LOG_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_migration),
		cmocka_unit_test(test_framebuffer),
		cmocka_unit_test(test_firmware),
	};

	return cmocka_run_group_tests_name("dirty-log", tests, NULL, NULL);
}
