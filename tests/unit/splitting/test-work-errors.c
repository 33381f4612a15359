// SPDX-License-Identifier: GPL-2.0-or-later
/* What follows from calls that fail, or get nowhere. */
#include "unit/fake-host.h"

static void test_blocks_that_stay_are_a_failure(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	fakes[0].n_slots = 2;
	fakes[0].slots[1].gpa = 500 * GIB;
	fakes[0].slots[1].n_blocks = 7;
	fakes[0].slots[1].stubborn = true;
	memset(fakes[0].slots[1].block, true, 7);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_string_equal(info_of(vm).error, "7 blocks cannot be split");
	assert_int_equal(vm->progress.blocks_split, 100);

	/* Told again, it tries again. */
	fakes[0].slots[1].stubborn = false;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_null(info_of(vm).error);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	host_free(h);
}

static void test_short_of_memory_for_a_while(void **state)
{
	struct fake_host *h;
	uint64_t began;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -ENOMEM, 5, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	began = h->now;
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.tlbis, 100);
	/* 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s of waiting in between. */
	assert_true(h->now - began >= 3100 * NSEC_PER_MSEC);
	assert_int_equal(h->splitter->group.stats.failed[STEP_SPLIT], 5);
	host_free(h);
}

/* It is let go of, for its faults want memory, too; and split once there is some. */
static void test_short_of_memory_for_long(void **state)
{
	struct fake_host *h;
	size_t n_calls;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -ENOMEM, UINT32_MAX, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 3600 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_non_null(strstr(info_of(vm).error, "Not enough memory to split"));
	assert_false(fakes[0].held);
	n_calls = count_calls(h, SPLIT);
	assert_true(n_calls > 700 && n_calls < 730);
	/* That was said once. */
	assert_true(h->states < 5);

	set_error(&fakes[0], 0, 0, 0);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_null(info_of(vm).error);
	assert_true(fakes[0].held);
	assert_int_equal(vm->progress.tlbis, 100);
	host_free(h);
}

/* Nobody is to wait for what has failed for so long: the last survey is what there is to tell. */
static void test_nobody_waits_for_what_fails(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -ENOMEM, UINT32_MAX, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 60 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_false(work_is_surveying(vm->work));
	host_run_until(h, h->now + 2 * NSEC_PER_SEC);
	assert_int_equal(work_survey(vm->work), 0);
	host_free(h);
}

static const int passing[] = { -EMFILE, -ENFILE, -ENOSPC, -EROFS, -EAGAIN, -ENOMEM, -EBUSY };

/* Whatever fails for a while, the goal is reached five seconds after it. */
static void test_errors_that_pass(void **state)
{
	static const unsigned int steps[] = { 0, FAKE_HOLD, RUN_SPLIT, FAKE_RELEASE, RUN_RECOVER };

	for (size_t i = 0; i < ARRAY_SIZE(passing) * ARRAY_SIZE(steps); i++) {
		unsigned int step = steps[i / ARRAY_SIZE(passing)];
		bool recovers = step == FAKE_RELEASE || step == RUN_RECOVER;
		struct fake_host *h;
		struct vm *vm;

		h = start(1000, 16, 100, &vm);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		if (recovers)
			host_run(h);
		set_error(&fakes[0], passing[i % ARRAY_SIZE(passing)], UINT32_MAX, step);
		if (recovers)
			work_set_goal(vm->work, VM_GOAL_RECOVER);
		host_run_until(h, h->now + 60 * NSEC_PER_SEC);
		assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
		set_error(&fakes[0], 0, 0, 0);
		host_run_until(h, h->now + 6 * NSEC_PER_SEC);
		assert_int_equal(vm->progress.stage, recovers ? VM_STAGE_WHOLE : VM_STAGE_SPLIT);
		assert_int_equal(fakes[0].held, !recovers);
		assert_true(h->timer == UINT64_MAX);
		host_free(h);
	}
}

/* Nor does a hold stay that could not be ended for a while. */
static void test_releases_that_fail_for_a_while(void **state)
{
	for (size_t i = 0; i < 2 * ARRAY_SIZE(passing); i++) {
		bool leaves = i % 2;
		struct fake_host *h;
		struct vm *vm;

		h = start(1000, 16, 100, &vm);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run(h);
		set_error(&fakes[0], passing[i / 2], UINT32_MAX, FAKE_RELEASE);
		if (leaves)
			work_leave(vm->work, true);
		else
			work_set_goal(vm->work, VM_GOAL_RELEASE);
		host_run_until(h, h->now + 60 * NSEC_PER_SEC);
		assert_true(fakes[0].held);
		assert_int_equal(h->left, 0);
		set_error(&fakes[0], 0, 0, 0);
		host_run_until(h, h->now + 6 * NSEC_PER_SEC);
		assert_false(fakes[0].held);
		assert_int_equal(h->left, leaves);
		assert_true(h->timer == UINT64_MAX);
		host_free(h);
	}
}

/* Who leaves without that the hold is to end is not kept by it. */
static void test_leaving_while_a_release_fails(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	set_error(&fakes[0], -EAGAIN, UINT32_MAX, FAKE_RELEASE);
	work_leave(vm->work, true);
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_int_equal(h->left, 0);
	work_leave(vm->work, false);
	assert_int_equal(h->left, 1);
	host_free(h);
}

static void test_short_of_memory_for_the_survey(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 10);
	set_error(&fakes[0], -ENOMEM, 3, 0);
	vm = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	assert_true(info_of(vm).surveyed);
	assert_int_equal(info_of(vm).blocks, 10);
	host_free(h);
}

static void test_interrupted_calls_are_repeated(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -EINTR, 20, RUN_SPLIT | FAKE_HOLD);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.tlbis, 100);
	/* That was nobody's failure. */
	assert_int_equal(h->splitter->group.stats.latency[STEP_HOLD].count, 21);
	assert_int_equal(h->splitter->group.stats.failed[STEP_HOLD], 0);

	/* Whose hold is to end must not stay held for it. */
	set_error(&fakes[0], -EINTR, 3, FAKE_RELEASE);
	work_leave(vm->work, true);
	host_run(h);
	assert_int_equal(h->left, 1);
	assert_false(fakes[0].held);
	host_free(h);
}

static void test_other_errors_are_failures(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -EINVAL, 1, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_string_equal(info_of(vm).error, "Cannot split: Invalid argument");
	/* One may look at it still. */
	h->now += NSEC_PER_SEC;
	assert_int_equal(work_survey(vm->work), 1);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_int_equal(h->calls[h->n_calls - 1].flags, 0);
	host_free(h);
}

/* Without a migration, it is no longer failed once one can look. */
static void test_survey_that_fails_at_first(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 100);
	set_error(&fakes[0], -EINVAL, 1, 0);
	vm = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_false(info_of(vm).surveyed);
	h->now += 2 * NSEC_PER_SEC;
	assert_int_equal(work_survey(vm->work), 1);
	host_run(h);
	assert_true(info_of(vm).surveyed);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_null(info_of(vm).error);

	/* What has failed of a migration stays so until somebody speaks of it. */
	set_error(&fakes[0], -EINVAL, 1, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	h->now += 2 * NSEC_PER_SEC;
	assert_int_equal(work_survey(vm->work), 1);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	host_free(h);
}

static void test_vm_that_is_gone(void **state)
{
	for (int during = 0; during < 2; during++) {
		struct fake_host *h;
		size_t n_calls;
		struct vm *vm;

		h = start(1000, 16, 100, &vm);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		if (during)
			host_run_until(h, h->now + 20 * NSEC_PER_MSEC);
		set_error(&fakes[0], -ENODEV, 1, 0);
		n_calls = h->n_calls;
		host_run(h);
		assert_int_equal(h->gone, 1);
		assert_int_equal(h->left, 1);
		assert_true(fakes[0].closed);
		assert_int_equal(h->n_calls, n_calls + 1);
		assert_true(h->timer == UINT64_MAX);
		host_free(h);
	}
}

static void test_vmm_exits_during_a_call(void **state)
{
	struct fake_host *h;
	size_t n_calls;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	while (!(h->n_calls && h->calls[h->n_calls - 1].flags & RUN_SPLIT && h->n_jobs))
		assert_true(host_step(h));
	n_calls = h->n_calls;
	work_leave(vm->work, false);
	assert_int_equal(h->left, 0);
	host_run(h);
	/* It was interrupted, and that was all. */
	assert_int_equal(h->n_calls, n_calls);
	assert_int_equal(h->left, 1);
	assert_true(fakes[0].closed);
	host_free(h);
}

static void test_recovery_of_a_vm_that_others_hold(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 10, &vm);
	set_error(&fakes[0], -EBUSY, UINT32_MAX, RUN_RECOVER);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run_until(h, h->now + 60 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_string_equal(info_of(vm).error, "The VM is held by another process");
	host_free(h);
}

/* A kernel that returns without having done anything is not asked for ever. */
static int idle_run(struct backend_vm *backend_vm, struct split_call *call)
{
	fake_log((struct fake_vm *)backend_vm, call->flags);
	return 0;
}

static void test_no_progress_is_a_failure(void **state)
{
	struct backend_ops ops = fake_ops;
	struct fake_host *h;
	struct vm *vm;

	h = start(0, 16, 100, &vm);
	ops.run = idle_run;
	h->backend.ops = &ops;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_true(h->n_calls < 20);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_that_stay_are_a_failure),
		cmocka_unit_test(test_short_of_memory_for_a_while),
		cmocka_unit_test(test_short_of_memory_for_long),
		cmocka_unit_test(test_nobody_waits_for_what_fails),
		cmocka_unit_test(test_errors_that_pass),
		cmocka_unit_test(test_releases_that_fail_for_a_while),
		cmocka_unit_test(test_leaving_while_a_release_fails),
		cmocka_unit_test(test_short_of_memory_for_the_survey),
		cmocka_unit_test(test_interrupted_calls_are_repeated),
		cmocka_unit_test(test_other_errors_are_failures),
		cmocka_unit_test(test_survey_that_fails_at_first),
		cmocka_unit_test(test_vm_that_is_gone),
		cmocka_unit_test(test_vmm_exits_during_a_call),
		cmocka_unit_test(test_recovery_of_a_vm_that_others_hold),
		cmocka_unit_test(test_no_progress_is_a_failure),
	};

	return cmocka_run_group_tests_name("work-errors", tests, NULL, NULL);
}
