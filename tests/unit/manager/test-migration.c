// SPDX-License-Identifier: GPL-2.0-or-later
/* What a migration's events have the splitter do, on a fake host. */
#include "manager/migration.h"
#include "unit/fake-host.h"

#define SECONDS(s) ((s)*USEC_PER_SEC)

static enum vm_step told(struct vm *vm, enum vm_migration migration)
{
	return migration_handle(vm, (enum vm_event)(VM_EVENT_TOLD + migration), NULL, 0);
}

static void test_unannounced(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_ON_IGNORED, NULL, 0), VM_STEP_KEEP);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);

	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_ON, NULL, 0), VM_STEP_GO);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_ACTIVE);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_true(fakes[0].held);

	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL, 0), VM_STEP_GO);
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

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	host_run(h);
	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL, 0), VM_STEP_GO);
	host_run_until(h, h->now + 100 * NSEC_PER_MSEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_RECOVERING);
	assert_int_equal(told(vm, VM_MIGRATION_COMPLETED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_COMPLETED);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_in_range(fake_count_blocks(&fakes[0]), 1, 999);
	host_free(h);
}

/* In the middle of recovering: what is blocks again is split, the rest is left pages. */
static void test_scheduled_again_meanwhile(void **state)
{
	struct fake_host *h;
	uint64_t blocks;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(told(vm, VM_MIGRATION_CANCELLED), VM_STEP_GO);
	host_run_until(h, h->now + 100 * NSEC_PER_MSEC);
	blocks = fake_count_blocks(&fakes[0]);
	assert_in_range(blocks, 1, 999);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLITTING);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_true(fakes[0].held);
	assert_int_equal(vm->progress.blocks_split, 1000 + blocks);
	host_free(h);
}

/* Memory that is still logged when the migration is cancelled is recovered once it is not. */
static void test_recovery_after_logging(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	host_run(h);
	fakes[0].slots[0].stubborn = true;
	assert_int_equal(told(vm, VM_MIGRATION_CANCELLED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);

	fakes[0].slots[0].stubborn = false;
	assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL, 0), VM_STEP_AGAIN);
	assert_int_equal(vm->progress.stage, VM_STAGE_RECOVERING);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	host_free(h);
}

/* What failed is taken up again when the same is said once more. */
static void test_failed_and_said_again(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	set_error(&fakes[0], -EINVAL, 1, 0);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_AGAIN);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	host_free(h);
}

/* Dirty logging that comes and goes changes nothing of what was announced. */
static void test_logging_while_scheduled(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(migration_handle(vm, VM_EVENT_LOG_ON, NULL, 0), VM_STEP_GO);
		assert_int_equal(info_of(vm).migration, VM_MIGRATION_ACTIVE);
		host_run(h);
		assert_int_equal(migration_handle(vm, VM_EVENT_LOG_OFF, NULL, SECONDS(9)),
				 VM_STEP_GO);
		assert_int_equal(info_of(vm).migration, VM_MIGRATION_SCHEDULED);
		host_run(h);
		assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
		assert_true(fakes[0].held);
	}
	assert_int_equal(vm->progress.tlbis, 1000);
	/* Nor does it count as being followed up. */
	assert_int_equal(vm->migration.told_usec, 0);
	assert_int_equal(told(vm, VM_MIGRATION_COMPLETED), VM_STEP_GO);
	host_run(h);
	assert_false(fakes[0].held);
	host_free(h);
}

/* As of that time of CLOCK_BOOTTIME, which began a thousand seconds after the other clock. */
static uint64_t timeout_at(const struct vm *vm, uint64_t now)
{
	return migration_get_timeout(vm, SECONDS(10), now, now + SECONDS(1000));
}

static enum vm_step scheduled_at(struct vm *vm, uint64_t now, const uint64_t *deadline)
{
	const struct migration_terms terms = { .deadline_usec = deadline };

	return migration_handle(vm, VM_EVENT_TOLD + VM_MIGRATION_SCHEDULED, &terms, now);
}

static void test_timeout(void **state)
{
	uint64_t deadline = SECONDS(1000 + 3600);
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_true(timeout_at(vm, 0) == UINT64_MAX);
	assert_int_equal(migration_handle(vm, VM_EVENT_TIMEOUT, NULL, 0), VM_STEP_KEEP);
	assert_int_equal(scheduled_at(vm, SECONDS(5), NULL), VM_STEP_GO);
	assert_true(timeout_at(vm, SECONDS(5)) == SECONDS(15));
	assert_true(timeout_at(vm, SECONDS(50)) == SECONDS(15));
	assert_true(migration_get_timeout(vm, 0, 0, 0) == UINT64_MAX);

	/* Said once more: from then on. */
	assert_int_equal(scheduled_at(vm, SECONDS(8), NULL), VM_STEP_AGAIN);
	assert_true(timeout_at(vm, SECONDS(8)) == SECONDS(18));

	/* Nobody is expected to follow it up before the deadline, also when that has passed. */
	assert_int_equal(scheduled_at(vm, SECONDS(9), &deadline), VM_STEP_AGAIN);
	assert_true(timeout_at(vm, SECONDS(9)) == SECONDS(3610));
	assert_true(timeout_at(vm, SECONDS(100)) == SECONDS(3610));
	assert_true(timeout_at(vm, SECONDS(3601)) == SECONDS(3610));
	assert_true(timeout_at(vm, SECONDS(3609)) == SECONDS(3610));
	/* One that had passed already does not bring it forward; nor does one from before the host. */
	deadline = SECONDS(1000 + 5);
	assert_int_equal(scheduled_at(vm, SECONDS(9), &deadline), VM_STEP_AGAIN);
	assert_true(timeout_at(vm, SECONDS(9)) == SECONDS(19));
	deadline = 1;
	assert_int_equal(scheduled_at(vm, SECONDS(9), &deadline), VM_STEP_AGAIN);
	assert_true(timeout_at(vm, SECONDS(9)) == SECONDS(19));
	deadline = UINT64_MAX - 1;
	assert_int_equal(scheduled_at(vm, SECONDS(9), &deadline), VM_STEP_AGAIN);
	assert_true(timeout_at(vm, SECONDS(9)) > (uint64_t)INT64_MAX);
	host_run(h);

	assert_int_equal(migration_handle(vm, VM_EVENT_TIMEOUT, NULL, 0), VM_STEP_GO);
	assert_true(timeout_at(vm, SECONDS(9)) == UINT64_MAX);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	assert_false(fakes[0].held);
	/* It was not forgotten, after all. */
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	host_free(h);
}

/* Told to be active, and never logged: that is over, too. */
static void test_timeout_of_active(void **state)
{
	const uint64_t deadline = SECONDS(1000 + 3600);
	const struct migration_terms terms = { .deadline_usec = &deadline };
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(migration_handle(vm, VM_EVENT_TOLD + VM_MIGRATION_ACTIVE, &terms,
					  SECONDS(5)),
			 VM_STEP_GO);
	/* It has begun: no deadline is waited for. */
	assert_true(timeout_at(vm, SECONDS(6)) == SECONDS(15));
	vm->migration.dirty_logging = true;
	assert_true(timeout_at(vm, SECONDS(6)) == UINT64_MAX);
	vm->migration.dirty_logging = false;
	host_run(h);
	assert_int_equal(migration_handle(vm, VM_EVENT_TIMEOUT, NULL, SECONDS(15)), VM_STEP_GO);
	assert_true(timeout_at(vm, SECONDS(15)) == UINT64_MAX);
	host_run(h);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	assert_false(fakes[0].held);
	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	host_free(h);
}

/* What was said of one migration is not said of the next; and what is done is not done again. */
static void test_terms(void **state)
{
	const uint64_t deadline = SECONDS(5000), rate = 10;
	const struct migration_terms terms = { &deadline, &rate };
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	assert_int_equal(migration_handle(vm, VM_EVENT_TOLD + VM_MIGRATION_SCHEDULED, &terms, 0),
			 VM_STEP_GO);
	assert_int_equal(told(vm, VM_MIGRATION_ACTIVE), VM_STEP_GO);
	assert_int_equal(vm->migration.tlbi_rate, 10);
	assert_int_equal(vm->migration.deadline_usec, deadline);
	assert_int_equal(told(vm, VM_MIGRATION_CANCELLED), VM_STEP_GO);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(told(vm, VM_MIGRATION_CANCELLED), VM_STEP_AGAIN);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);

	assert_int_equal(told(vm, VM_MIGRATION_SCHEDULED), VM_STEP_GO);
	assert_int_equal(vm->migration.tlbi_rate, 0);
	assert_true(vm->migration.deadline_usec == UINT64_MAX);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unannounced),
		cmocka_unit_test(test_completed_said_late),
		cmocka_unit_test(test_scheduled_again_meanwhile),
		cmocka_unit_test(test_recovery_after_logging),
		cmocka_unit_test(test_logging_while_scheduled),
		cmocka_unit_test(test_failed_and_said_again),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_timeout_of_active),
		cmocka_unit_test(test_terms),
	};

	return cmocka_run_group_tests_name("migration", tests, NULL, NULL);
}
