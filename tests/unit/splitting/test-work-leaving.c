// SPDX-License-Identifier: GPL-2.0-or-later
/* Letting go of VMs, and holds that were left behind. */
#include "unit/fake-host.h"

static void test_leaving_releases_and_no_more(void **state)
{
	struct fake_host *h;
	uint64_t blocks;
	size_t n_calls;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	while (!(h->n_calls && h->calls[h->n_calls - 1].flags & RUN_SPLIT && h->n_jobs))
		assert_true(host_step(h));
	n_calls = h->n_calls;
	blocks = fake_count_blocks(&fakes[0]);
	work_leave(vm->work, true);
	host_run(h);
	assert_int_equal(h->left, 1);
	assert_false(fakes[0].held);
	assert_int_equal(h->n_calls, n_calls + 1);
	assert_int_equal(h->calls[n_calls].flags, FAKE_RELEASE);
	assert_int_equal(h->calls[n_calls].size, 0);
	assert_int_equal(fake_count_blocks(&fakes[0]), blocks);
	host_free(h);
}

static void test_leaving_what_was_never_held_is_immediate(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_leave(vm->work, true);
	assert_int_equal(h->left, 1);
	assert_int_equal(h->n_calls, 1);
	host_free(h);
}

/* By the daemon before us, whose splitter it is, and which ended before it had released it. */
static void test_forgotten_hold_is_released(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 10);
	fakes[0].held = true;
	vm = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	assert_false(fakes[0].held);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 10);
	host_free(h);
}

/* Likewise if it is let go of before anything is known of it. */
static void test_forgotten_hold_is_released_on_leaving(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 10);
	fakes[0].held = true;
	vm = host_add_vm(h, &fakes[0], 1);
	work_resume(vm->work, VM_GOAL_NONE);
	assert_false(vm->progress.surveyed);
	work_leave(vm->work, true);
	host_run(h);
	assert_int_equal(h->left, 1);
	assert_false(fakes[0].held);
	host_free(h);
}

/* A daemon that stops leaves the hold to whoever has its splitter. */
static void test_leaving_with_the_hold(void **state)
{
	for (int surveyed = 0; surveyed < 2; surveyed++) {
		struct fake_host *h = host_new(1000, 16, true);
		struct vm *vm;

		fake_vm_init(&fakes[0], h, 100);
		vm = host_add_vm(h, &fakes[0], 1);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		if (surveyed)
			host_run_until(h, h->now + 20 * NSEC_PER_MSEC);
		fakes[0].held = true;
		work_leave(vm->work, false);
		host_run(h);
		assert_int_equal(h->left, 1);
		assert_int_equal(count_calls(h, FAKE_RELEASE), 0);
		assert_true(fakes[0].held);
		host_free(h);
	}
}

/* Whatever has become of it: what is split would not stay so. */
static void test_hold_that_is_lost(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 100);
	vm = host_add_vm(h, &fakes[0], 1);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);

	fakes[0].held = false;
	work_look(vm->work);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_true(fakes[0].held);
	host_free(h);
}

static void test_release_that_fails_does_not_keep_us(void **state)
{
	static const int errors[] = { -ENODEV, -EINVAL };

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
		struct fake_host *h;
		struct vm *vm;

		h = start(1000, 16, 10, &vm);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run(h);
		set_error(&fakes[0], errors[e], 1, FAKE_RELEASE);
		work_leave(vm->work, true);
		host_run(h);
		assert_int_equal(h->left, 1);
		host_free(h);
	}
}

/* What it was granted and has spent is charged once. */
static void test_leaving_owes_nothing(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 16, &vm);
	h->now += NSEC_PER_SEC;
	for (pid_t pid = 2; pid < 4; pid++) {
		uint64_t began = h->now;

		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run(h);
		assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
		/* A burst is there at once, for the second, too. */
		assert_true(h->now == began);
		h->now += NSEC_PER_SEC;
		/* Of one that is gone, that was the last call. */
		work_leave(vm->work, false);
		host_run(h);
		fake_vm_init(&fakes[pid], h, 16);
		vm = host_add_vm(h, &fakes[pid], pid);
		host_run(h);
	}
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaving_releases_and_no_more),
		cmocka_unit_test(test_leaving_what_was_never_held_is_immediate),
		cmocka_unit_test(test_forgotten_hold_is_released),
		cmocka_unit_test(test_forgotten_hold_is_released_on_leaving),
		cmocka_unit_test(test_leaving_with_the_hold),
		cmocka_unit_test(test_hold_that_is_lost),
		cmocka_unit_test(test_release_that_fails_does_not_keep_us),
		cmocka_unit_test(test_leaving_owes_nothing),
	};

	return cmocka_run_group_tests_name("work-leaving", tests, NULL, NULL);
}
