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
	while (!(h->n_calls && h->calls[h->n_calls - 1].flags & BACKEND_SPLIT && h->n_jobs))
		assert_true(host_step(h));
	n_calls = h->n_calls;
	blocks = fake_count_blocks(&fakes[0]);
	work_leave(vm->work, false);
	host_run(h);
	assert_int_equal(h->left, 1);
	assert_false(fakes[0].held);
	assert_int_equal(h->n_calls, n_calls + 1);
	assert_int_equal(h->calls[n_calls].flags, BACKEND_RELEASE);
	assert_int_equal(h->calls[n_calls].size, 0);
	assert_int_equal(fake_count_blocks(&fakes[0]), blocks);
	host_free(h);
}

static void test_leaving_what_was_never_held_is_immediate(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_leave(vm->work, false);
	assert_int_equal(h->left, 1);
	assert_int_equal(h->n_calls, 1);
	host_free(h);
}

/* By a daemon before us, which forgot it; but not what is held for a migration. */
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

/* Likewise if it is let go of before anything is known of it: a daemon that is stopped at once. */
static void test_forgotten_hold_is_released_on_leaving(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 10);
	fakes[0].held = true;
	vm = host_add_vm(h, &fakes[0], 1);
	assert_false(vm->progress.surveyed);
	work_leave(vm->work, false);
	host_run(h);
	assert_int_equal(h->left, 1);
	assert_false(fakes[0].held);
	host_free(h);
}

/* Somebody has released it, or it is another VM by now: what is split would not stay so. */
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
	static const int errors[] = { -EIO, -EINVAL };

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
		struct fake_host *h;
		struct vm *vm;

		h = start(1000, 16, 10, &vm);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run(h);
		set_error(&fakes[0], errors[e], 1, BACKEND_RELEASE);
		work_leave(vm->work, false);
		host_run(h);
		assert_int_equal(h->left, 1);
		host_free(h);
	}
}

/* Nor is it tried for ever, where the hold is still seen: it is not ours, after all. */
static void test_forgotten_hold_that_stays(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 10);
	fakes[0].held = true;
	set_error(&fakes[0], -EINVAL, UINT32_MAX, BACKEND_RELEASE);
	vm = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	assert_true(fakes[0].held);
	assert_int_equal(count_calls(h, BACKEND_RELEASE), 1);
	assert_true(fakes[0].closed);
	h->now += NSEC_PER_SEC;
	assert_int_equal(work_survey(vm->work), 1);
	host_run(h);
	assert_int_equal(count_calls(h, BACKEND_RELEASE), 1);

	/* A migration's own hold is let go of as ever. */
	set_error(&fakes[0], 0, 0, 0);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	work_set_goal(vm->work, VM_GOAL_RELEASE);
	host_run(h);
	assert_false(fakes[0].held);
	host_free(h);
}

/* The release of the one must not undo the hold of the other. */
static void test_registered_again_while_leaving(void **state)
{
	struct fake_host *h;
	struct vm *vm, *again;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 20 * NSEC_PER_MSEC);
	work_leave(vm->work, false);
	assert_int_equal(h->left, 0);
	fakes[1] = fakes[0];
	again = host_add_vm(h, &fakes[1], 1);
	work_set_goal(again->work, VM_GOAL_SPLIT);
	while (h->left == 0)
		assert_true(host_step(h));
	host_run(h);
	assert_int_equal(again->progress.stage, VM_STAGE_SPLIT);
	for (size_t i = 0, released = 0; i < h->n_calls; i++) {
		released += h->calls[i].flags == BACKEND_RELEASE;
		if (h->calls[i].vm == &fakes[1])
			assert_int_equal(released, 1);
	}
	host_free(h);
}

/*
 * Two VMs of a process, of which the first is held, and takes a minute to leave. The other
 * waits for the budget, if it is to be @split, or to be looked at.
 */
static struct fake_host *start_blocked(bool split, struct vm **ret)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1, 1, 100, &vm);
	fake_vm_init(&fakes[1], h, 100);
	fakes[1].n_slots = 2;
	fakes[1].slots[1].gpa = 8 * GIB;
	fakes[1].slots[1].n_blocks = 8;
	fakes[1].slots[1].logged = !split;
	*ret = host_add_vm(h, &fakes[1], 1);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	if (split)
		work_set_goal((*ret)->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 10 * NSEC_PER_MSEC);
	assert_true(fakes[0].held);
	assert_int_equal(fakes[1].held, split);
	assert_int_equal(h->n_jobs, 0);

	work_leave(vm->work, false);
	assert_int_equal(h->n_jobs, 1);
	h->due[0] = h->now + 60 * NSEC_PER_SEC;
	return h;
}

/* Until the first has left; nothing is to happen over and over meanwhile. */
static void run_until_left(struct fake_host *h)
{
	unsigned int n_steps = 0;

	while (h->left == 0) {
		assert_true(host_step(h));
		assert_in_range(++n_steps, 1, 10);
	}
}

/* What waited for the budget when the other began to leave has no use for it meanwhile. */
static void test_goal_changes_while_another_leaves(void **state)
{
	static const enum vm_goal goals[] = { VM_GOAL_RELEASE, VM_GOAL_RECOVER };

	for (size_t i = 0; i < ARRAY_SIZE(goals); i++) {
		struct fake_host *h;
		size_t n_calls;
		struct vm *vm;

		h = start_blocked(true, &vm);
		work_set_goal(vm->work, goals[i]);
		n_calls = h->n_calls;
		run_until_left(h);
		/* That was the first one's release. */
		assert_int_equal(h->n_calls, n_calls + 1);
		host_run_until(h, h->now + 10 * NSEC_PER_SEC);
		assert_false(fakes[1].held);
		assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
		host_free(h);
	}
}

static void test_look_is_due_while_another_leaves(void **state)
{
	struct fake_host *h;
	size_t n_surveys;
	struct vm *vm;

	h = start_blocked(false, &vm);
	n_surveys = count_calls(h, 0);
	run_until_left(h);
	host_run_until(h, h->now);
	assert_int_equal(count_calls(h, 0), n_surveys + 1);
	host_free(h);
}

/* It is of no concern to the VMs of other processes. */
static void test_leaving_holds_up_no_other_process(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start_blocked(true, &vm);
	fake_vm_init(&fakes[2], h, 100);
	vm = host_add_vm(h, &fakes[2], 2);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 10 * NSEC_PER_SEC);
	assert_int_equal(h->left, 0);
	assert_true(fakes[2].held);
	assert_true(vm->progress.blocks_split > 0);
	host_free(h);
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
		work_leave(vm->work, true);
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
		cmocka_unit_test(test_hold_that_is_lost),
		cmocka_unit_test(test_release_that_fails_does_not_keep_us),
		cmocka_unit_test(test_forgotten_hold_that_stays),
		cmocka_unit_test(test_registered_again_while_leaving),
		cmocka_unit_test(test_goal_changes_while_another_leaves),
		cmocka_unit_test(test_look_is_due_while_another_leaves),
		cmocka_unit_test(test_leaving_holds_up_no_other_process),
		cmocka_unit_test(test_leaving_owes_nothing),
	};

	return cmocka_run_group_tests_name("work-leaving", tests, NULL, NULL);
}
