// SPDX-License-Identifier: GPL-2.0-or-later
/* What a migration's events have the splitter do, on a fake host. */
#include "fake-host.h"
#include "migration.h"

static struct fake_vm fakes[1];

static struct fake_host *start(uint64_t rate, struct vm **ret)
{
	struct fake_host *h = host_new(rate, 16, true);

	fake_vm_init(&fakes[0], h, 1000);
	*ret = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	return h;
}

static enum vm_step told(struct vm *vm, enum vm_migration migration)
{
	return migration_handle(vm, (enum vm_event)(VM_EVENT_TOLD + migration), NULL);
}

static void test_unannounced(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, &vm);
	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_ON_IGNORED, NULL), VM_STEP_KEEP);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);

	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_ON, NULL), VM_STEP_GO);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_ACTIVE);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_true(fakes[0].held);

	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL), VM_STEP_GO);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_CANCELLED);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	assert_false(fakes[0].held);
	host_free(h);
}

/* Dirty logging stops at the end of a migration that succeeds: that is said a moment later. */
static void test_completed_said_late(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	host_run(h);
	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL), VM_STEP_GO);
	host_run_until(h, h->now + 100 * NSEC_PER_MSEC);
	assert_int_equal(vm->stage, VM_STAGE_RECOVERING);
	assert_int_equal(told(vm, VM_MIGRATION_COMPLETED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_COMPLETED);
	assert_int_equal(vm->stage, VM_STAGE_WHOLE);
	assert_in_range(fake_count_blocks(&fakes[0]), 1, 999);
	host_free(h);
}

/* In the middle of recovering: what is blocks again is split, the rest is left pages. */
static void test_scheduled_again_meanwhile(void **state)
{
	struct fake_host *h;
	uint64_t blocks;
	struct vm *vm;

	h = start(1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(told(vm, VM_MIGRATION_CANCELLED), VM_STEP_GO);
	host_run_until(h, h->now + 100 * NSEC_PER_MSEC);
	blocks = fake_count_blocks(&fakes[0]);
	assert_in_range(blocks, 1, 999);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	assert_int_equal(vm->stage, VM_STAGE_SPLITTING);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_true(fakes[0].held);
	assert_int_equal(vm->blocks_split, 1000 + blocks);
	host_free(h);
}

/* Memory that is still logged when the migration is cancelled is recovered once it is not. */
static void test_recovery_after_logging(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	host_run(h);
	fakes[0].slots[0].stubborn = true;
	assert_int_equal(told(vm, VM_MIGRATION_CANCELLED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(vm->stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);

	fakes[0].slots[0].stubborn = false;
	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL), VM_STEP_AGAIN);
	assert_int_equal(vm->stage, VM_STAGE_RECOVERING);
	host_run(h);
	assert_int_equal(vm->stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	host_free(h);
}

static void test_timeout(void **state)
{
	uint64_t deadline = now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC + 3600 * USEC_PER_SEC;
	const struct migration_terms terms = { .deadline_usec = &deadline };
	struct fake_host *h;
	uint64_t plain;
	struct vm *vm;

	h = start(1000, &vm);
	assert_true(migration_get_timeout(vm, USEC_PER_SEC) == UINT64_MAX);
	assert_int_equal(migration_handle(vm, VM_EVENT_TIMEOUT, NULL), VM_STEP_KEEP);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	plain = migration_get_timeout(vm, USEC_PER_SEC);
	assert_true(plain == vm->scheduled_usec + USEC_PER_SEC);
	assert_true(migration_get_timeout(vm, 0) == UINT64_MAX);

	/* Nobody is expected to follow it up before the deadline. */
	assert_int_equal(migration_handle(vm, VM_EVENT_TOLD + VM_MIGRATION_SCHEDULED, &terms),
			 VM_STEP_AGAIN);
	assert_true(migration_get_timeout(vm, USEC_PER_SEC) > plain + 3000 * USEC_PER_SEC);
	host_run(h);

	assert_int_equal(migration_handle(vm, VM_EVENT_TIMEOUT, NULL), VM_STEP_GO);
	assert_true(migration_get_timeout(vm, USEC_PER_SEC) == UINT64_MAX);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	assert_false(fakes[0].held);
	/* It was not forgotten, after all. */
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unannounced),
		cmocka_unit_test(test_completed_said_late),
		cmocka_unit_test(test_scheduled_again_meanwhile),
		cmocka_unit_test(test_recovery_after_logging),
		cmocka_unit_test(test_timeout),
	};

	return cmocka_run_group_tests_name("migration", tests, NULL, NULL);
}
