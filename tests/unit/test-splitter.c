// SPDX-License-Identifier: GPL-2.0-or-later
/* The splitter on a fake host: which calls it makes, when, and what follows. */
#include "unit/fake-host.h"

#define SPLIT	     (BACKEND_SPLIT | BACKEND_HOLD | BACKEND_BREAK)
#define SPLIT_FREELY (BACKEND_SPLIT | BACKEND_HOLD)

static struct fake_vm fakes[VMS_MAX];

static size_t count_calls(const struct fake_host *h, unsigned int flags)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_calls; i++)
		n += h->calls[i].flags == flags;
	return n;
}

/* A host with one VM of @n_blocks, surveyed. */
static struct fake_host *start(uint64_t rate, uint64_t burst, size_t n_blocks, struct vm **ret)
{
	struct fake_host *h = host_new(rate, burst, true);

	fake_vm_init(&fakes[0], h, n_blocks);
	*ret = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	assert_int_equal(h->n_calls, 1);
	assert_int_equal(h->calls[0].flags, 0);
	return h;
}

static void test_registering_surveys(void **state)
{
	struct fake_host *h;
	struct vm_info info;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	info = info_of(vm);
	assert_true(info.surveyed);
	assert_int_equal(info.blocks, 100);
	assert_int_equal(info.bytes, 100 * BLOCK);
	assert_int_equal(info.stage, VM_STAGE_WHOLE);
	assert_false(info.has_eta);
	assert_int_equal(h->progress, 1);
	/* Nothing to do, so nothing is due. */
	assert_true(h->timer == UINT64_MAX);
	host_free(h);
}

static void test_splitting(void **state)
{
	struct fake_host *h;
	struct vm_info info;
	uint64_t began;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	began = h->now;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLITTING);
	host_run(h);

	info = info_of(vm);
	assert_int_equal(info.stage, VM_STAGE_SPLIT);
	assert_int_equal(info.blocks, 0);
	assert_int_equal(info.block_bytes, 0);
	assert_int_equal(info.blocks_split, 1000);
	assert_int_equal(info.tlbis, 1000);
	assert_false(info.has_eta);
	assert_true(fakes[0].held);

	/* Hold, look, work, look. */
	assert_int_equal(h->calls[1].flags, BACKEND_HOLD);
	assert_int_equal(h->calls[1].size, 0);
	assert_int_equal(h->calls[2].flags, 0);
	assert_int_equal(h->calls[h->n_calls - 1].flags, 0);
	for (size_t i = 3; i + 1 < h->n_calls; i++) {
		assert_int_equal(h->calls[i].flags, SPLIT);
		assert_in_range(h->calls[i].max_tlbis, 1, 8);
	}
	/* 1000 tokens take their time, and not a moment more. */
	assert_true(h->now - began == NSEC_PER_SEC);
	assert_true(h->timer == UINT64_MAX);
	host_free(h);
}

/* Memslots come after the VM; and a VM that never gets any is left alone in the end. */
static void test_memory_that_comes_later(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 100);
	fakes[0].n_slots = 0;
	vm = host_add_vm(h, &fakes[0], 1);
	host_run_until(h, h->now + NSEC_PER_SEC / 4);
	assert_true(info_of(vm).surveyed);
	assert_int_equal(info_of(vm).bytes, 0);
	assert_true(fakes[0].closed);
	fakes[0].n_slots = 1;
	host_run(h);
	assert_int_equal(info_of(vm).bytes, 100 * BLOCK);
	assert_int_equal(h->n_calls, 2);

	fakes[0].n_slots = 0;
	work_look(vm->work);
	host_run(h);
	assert_in_range(h->n_calls, 10, 20);
	assert_true(h->timer == UINT64_MAX);
	host_free(h);
}

/* The host's handle keeps the guest's memory alive: it is open while there is work, no longer. */
static void test_vm_is_open_while_there_is_work(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	assert_true(fakes[0].closed);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 20 * NSEC_PER_MSEC);
	assert_false(fakes[0].closed);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_true(fakes[0].closed);
	assert_true(fakes[0].held);
	/* What is held is released all the same. */
	work_leave(vm->work, false);
	host_run(h);
	assert_false(fakes[0].held);
	assert_true(fakes[0].closed);
	host_free(h);
}

/* With nothing in the bucket, the hold is set all the same, and the work is known. */
static void test_hold_and_survey_do_not_wait_for_budget(void **state)
{
	struct fake_host *h;
	struct vm *vm, *other;
	struct vm_info info;

	h = start(1, 1, 100, &vm);
	fake_vm_init(&fakes[1], h, 100);
	other = host_add_vm(h, &fakes[1], 2);
	work_set_goal(other->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now);

	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now);
	assert_true(fakes[0].held);
	info = info_of(vm);
	assert_int_equal(info.blocks, 100);
	assert_int_equal(info.blocks_split, 0);
	/* Half of one TLBI a second. */
	assert_true(info.has_eta);
	assert_int_equal(info.eta_usec, 200 * USEC_PER_SEC);
	host_free(h);
}

static void test_eta_and_deadline(void **state)
{
	uint64_t now = clock_usec(CLOCK_REALTIME);
	struct fake_host *h;
	struct vm *vm;

	h = start(10, 1, 1000, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_true(info_of(vm).has_eta);
	assert_int_equal(info_of(vm).eta_usec, 100 * USEC_PER_SEC);
	assert_false(info_of(vm).late);
	vm->migration.deadline_usec = now + 3600 * USEC_PER_SEC;
	assert_false(info_of(vm).late);
	vm->migration.deadline_usec = now + 50 * USEC_PER_SEC;
	assert_true(info_of(vm).late);
	vm->migration.deadline_usec = now - 1;
	assert_true(info_of(vm).late);

	/* A ceiling of the VM's own is its share. */
	vm->migration.tlbi_rate = 5;
	work_update_ceiling(vm->work);
	assert_int_equal(info_of(vm).eta_usec, 200 * USEC_PER_SEC);
	host_run(h);
	assert_false(info_of(vm).late);
	assert_false(info_of(vm).has_eta);
	host_free(h);
}

static void test_memslots_and_holes(void **state)
{
	struct fake_slot *slots = fakes[0].slots;
	struct fake_host *h;
	struct vm *vm;

	h = start(0, 16, 4000, &vm);
	fakes[0].n_slots = 3;
	slots[1].gpa = 100 * GIB;
	slots[1].n_blocks = 4000; /* all pages */
	slots[2].gpa = 1000 * GIB;
	slots[2].n_blocks = 3;
	slots[2].block[1] = true;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.blocks_split, 4001);
	for (size_t i = 0; i < h->n_calls; i++) {
		const struct fake_call *call = &h->calls[i];

		if (!(call->flags & BACKEND_SPLIT))
			continue;
		/* In a memslot that had blocks, and short. */
		assert_true(call->size <= 4 * GIB);
		assert_true((call->gpa >= GIB && call->gpa + call->size <= GIB + 4000 * BLOCK) ||
			    (call->gpa == 1000 * GIB && call->size == 3 * BLOCK));
	}
	host_free(h);
}

static void hook_new_blocks(struct fake_vm *vm)
{
	/* Behind the walk, and where no memslot was. */
	vm->hook = NULL;
	vm->slots[0].block[0] = true;
	vm->slots[1].gpa = 500 * GIB;
	vm->slots[1].n_blocks = 2;
	vm->slots[1].block[0] = true;
	vm->slots[1].block[1] = true;
	vm->n_slots = 2;
}

static void test_blocks_that_appear_meanwhile_take_another_pass(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 10 * NSEC_PER_MSEC);
	fakes[0].hook = hook_new_blocks;
	fakes[0].hook_flags = SPLIT_FREELY;
	host_run_until(h, h->now + 10 * NSEC_PER_MSEC);
	assert_null(fakes[0].hook);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLITTING);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_int_equal(vm->progress.blocks_split, 103);
	host_free(h);
}

static void hook_delete_slot(struct fake_vm *vm)
{
	vm->hook = NULL;
	vm->n_slots = 0;
}

static void test_memslot_deleted_meanwhile(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	fakes[0].hook = hook_delete_slot;
	fakes[0].hook_flags = SPLIT_FREELY;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	fakes[0].n_slots = 2;
	fakes[0].slots[1].gpa = 500 * GIB;
	host_run(h);
	assert_null(fakes[0].hook);
	assert_int_equal(info_of(vm).n_memslots, 0);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	host_free(h);
}

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

static void set_error(struct fake_vm *vm, int error, unsigned int count, unsigned int flags)
{
	vm->error = error;
	vm->error_count = count;
	vm->error_flags = flags;
}

static void test_short_of_memory_for_a_while(void **state)
{
	struct fake_host *h;
	uint64_t began;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -ENOMEM, 5, BACKEND_SPLIT);
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

static void test_short_of_memory_for_good(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -ENOMEM, UINT32_MAX, BACKEND_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_non_null(strstr(info_of(vm).error, "Not enough memory to split"));
	assert_int_equal(count_calls(h, SPLIT), 9);
	assert_true(h->timer == UINT64_MAX);
	/* What could be prepared is not lost before someone says so. */
	assert_true(fakes[0].held);
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
	set_error(&fakes[0], -EINTR, 20, BACKEND_SPLIT | BACKEND_HOLD);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.tlbis, 100);
	/* That was nobody's failure. */
	assert_int_equal(h->splitter->group.stats.latency[STEP_HOLD].count, 21);
	assert_int_equal(h->splitter->group.stats.failed[STEP_HOLD], 0);

	/* Whose hold is to end must not stay held for it. */
	set_error(&fakes[0], -EINTR, 3, BACKEND_RELEASE);
	work_leave(vm->work, false);
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
	set_error(&fakes[0], -EINVAL, 1, BACKEND_SPLIT);
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

static void test_vm_that_is_gone(void **state)
{
	static const int errors[] = { -EIO, -ENXIO, -ESRCH };

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
		struct fake_host *h;
		size_t n_calls;
		struct vm *vm;

		h = start(1000, 16, 100, &vm);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run_until(h, h->now + 20 * NSEC_PER_MSEC);
		set_error(&fakes[0], errors[e], 1, 0);
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
	while (!(h->n_calls && h->calls[h->n_calls - 1].flags & BACKEND_SPLIT && h->n_jobs))
		assert_true(host_step(h));
	n_calls = h->n_calls;
	work_leave(vm->work, true);
	assert_int_equal(h->left, 0);
	host_run(h);
	/* It was interrupted, and that was all. */
	assert_int_equal(h->n_calls, n_calls);
	assert_int_equal(h->left, 1);
	assert_true(fakes[0].closed);
	host_free(h);
}

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

/* It may have done all, some or nothing of it. */
static void test_resuming(void **state)
{
	static const struct {
		enum vm_goal goal;
		bool held;
		uint64_t blocks;
	} ends[] = {
		{ VM_GOAL_NONE, false, 5 },
		{ VM_GOAL_SPLIT, true, 0 },
		{ VM_GOAL_RELEASE, false, 5 },
		{ VM_GOAL_RECOVER, false, 10 },
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(ends); i++) {
		struct fake_host *h = host_new(1000, 16, true);
		struct vm *vm;

		fake_vm_init(&fakes[0], h, 10);
		memset(fakes[0].slots[0].block, false, 5);
		fakes[0].held = i % 2;
		vm = host_add_vm(h, &fakes[0], 1);
		work_resume(vm->work, ends[i / 2].goal);
		host_run(h);
		assert_int_equal(fakes[0].held, ends[i / 2].held);
		assert_int_equal(fake_count_blocks(&fakes[0]), ends[i / 2].blocks);
		assert_true(fakes[0].closed);
		host_free(h);
	}
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

static void test_completed_releases(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	work_set_goal(vm->work, VM_GOAL_RELEASE);
	host_run(h);
	assert_false(fakes[0].held);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(count_calls(h, BACKEND_RELEASE), 1);
	assert_int_equal(count_calls(h, BACKEND_RECOVER), 0);
	host_free(h);
}

static void test_cancelled_recovers_within_the_budget(void **state)
{
	struct fake_host *h;
	uint64_t began;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	began = h->now;
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	assert_int_equal(vm->progress.stage, VM_STAGE_RECOVERING);
	host_run_until(h, h->now + 500 * NSEC_PER_MSEC);
	assert_in_range(info_of(vm).blocks, 450, 550);
	assert_int_equal(info_of(vm).blocks, fake_count_blocks(&fakes[0]));
	assert_int_equal(info_of(vm).block_bytes, info_of(vm).blocks * BLOCK);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_false(fakes[0].held);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000);
	assert_true(h->now - began >= 984 * NSEC_PER_MSEC);
	assert_int_equal(info_of(vm).blocks, 1000);
	assert_int_equal(info_of(vm).tlbis, 2000);
	assert_int_equal(info_of(vm).blocks_split, 1000);
	assert_int_equal(h->splitter->group.stats.tlbis[TLBI_SPLIT], 1000);
	assert_int_equal(h->splitter->group.stats.tlbis[TLBI_RECOVER], 1000);
	assert_int_equal(h->splitter->group.stats.blocks_recovered, 1000);
	assert_int_equal(h->splitter->group.stats.blocks_split, 1000);
	host_free(h);
}

static void test_turning_round(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 1000, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 500 * NSEC_PER_MSEC);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run_until(h, h->now + 200 * NSEC_PER_MSEC);
	assert_false(fakes[0].held);
	assert_true(fake_count_blocks(&fakes[0]) > 600);
	assert_int_equal(info_of(vm).blocks, fake_count_blocks(&fakes[0]));
	assert_int_equal(info_of(vm).block_bytes, fake_count_blocks(&fakes[0]) * BLOCK);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLITTING);
	assert_int_equal(info_of(vm).blocks, fake_count_blocks(&fakes[0]));
	host_run(h);
	assert_true(fakes[0].held);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	host_free(h);
}

/* A hold that was taken off the queue before it ran is no hold. */
static void test_interrupted_hold_is_repeated(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 10, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_int_equal(h->n_jobs, 1);
	work_set_goal(vm->work, VM_GOAL_RELEASE);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_true(fakes[0].held);
	assert_int_equal(h->calls[1].flags, BACKEND_HOLD);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	/* Nor is it a call that took any time. */
	assert_int_equal(h->splitter->group.stats.latency[STEP_HOLD].count, 1);
	host_free(h);
}

/* What went wrong with a call for the old goal is no failure of the new one. */
static void test_call_for_another_goal_fails(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	while (!(h->calls[h->n_calls - 1].flags & BACKEND_SPLIT && h->n_jobs))
		assert_true(host_step(h));
	set_error(&fakes[0], -EINVAL, 1, BACKEND_SPLIT);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	/* It has been in the kernel already. */
	h->cancelled[0] = false;
	host_run(h);
	assert_int_equal(fakes[0].error_count, 0);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 100);
	host_free(h);
}

static void test_recovery_of_a_vm_that_others_hold(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 10, &vm);
	set_error(&fakes[0], -EBUSY, UINT32_MAX, BACKEND_RECOVER);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_string_equal(info_of(vm).error, "The VM is held by another process");
	host_free(h);
}

static void test_unthrottled(void **state)
{
	struct work_limits limits = { .host = { .rate = 1, .burst = 1 },
				      .batch = 1,
				      .throttled = true };
	struct fake_host *h = host_new(1, 1, false);
	uint64_t began = h->now;
	struct vm *vm;

	fake_vm_init(&fakes[0], h, 4000);
	vm = host_add_vm(h, &fakes[0], 1);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_true(h->now == began);
	/* 8000 MiB in calls of 4 GiB. */
	assert_int_equal(count_calls(h, SPLIT_FREELY), 2);
	assert_int_equal(vm->progress.tlbis, 0);
	assert_int_equal(vm->progress.blocks_split, 4000);

	/* Recovering is never free. */
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run_until(h, h->now + 10 * NSEC_PER_SEC);
	assert_in_range(fake_count_blocks(&fakes[0]), 10, 11);

	/* From the next call on, as the limits are then. */
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	splitter_set_limits(h->splitter, &limits);
	host_run_until(h, h->now);
	assert_true(fake_count_blocks(&fakes[0]) > 0);
	limits.throttled = false;
	splitter_set_limits(h->splitter, &limits);
	began = h->now;
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_true(h->now == began);
	host_free(h);
}

/* A kernel that returns without having done anything is not asked for ever. */
static int idle_split(struct backend_vm *backend_vm, struct split_call *call)
{
	fake_log((struct fake_vm *)backend_vm, call->flags);
	return 0;
}

/* That nothing is left says that the range is done, whatever the address. */
static int done_split(struct backend_vm *backend_vm, struct split_call *call)
{
	uint64_t gpa = call->gpa;
	int r = fake_split(backend_vm, call);

	if (!call->size)
		call->gpa = gpa;
	return r;
}

static void test_range_that_is_done(void **state)
{
	struct backend_ops ops = fake_ops;
	struct fake_host *h;
	uint64_t began;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	ops.split = done_split;
	h->backend.ops = &ops;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	work_set_goal(vm->work, VM_GOAL_RELEASE);
	host_run(h);
	/* Nothing can be recovered, which costs nothing: neither TLBIs nor the time of a retry. */
	fakes[0].slots[0].stubborn = true;
	h->now += NSEC_PER_SEC;
	began = h->now;
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_true(h->now == began);
	host_free(h);
}

static void test_no_progress_is_a_failure(void **state)
{
	struct backend_ops ops = fake_ops;
	struct fake_host *h;
	struct vm *vm;

	h = start(0, 16, 100, &vm);
	ops.split = idle_split;
	h->backend.ops = &ops;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_true(h->n_calls < 20);
	host_free(h);
}

static void test_two_share(void **state)
{
	struct fake_host *h;
	struct vm *a, *b;
	uint64_t began;

	h = start(1000, 16, 2000, &a);
	fake_vm_init(&fakes[1], h, 2000);
	b = host_add_vm(h, &fakes[1], 2);
	host_run(h);
	began = h->now;
	work_set_goal(a->work, VM_GOAL_SPLIT);
	work_set_goal(b->work, VM_GOAL_SPLIT);
	host_run_until(h, began + NSEC_PER_SEC);
	assert_in_range(a->progress.tlbis, 490, 520);
	assert_in_range(b->progress.tlbis, 490, 520);
	assert_in_range(a->progress.tlbis + b->progress.tlbis, 1000, 1016);

	b->migration.tlbi_rate = 100;
	work_update_ceiling(b->work);
	a->progress.tlbis = b->progress.tlbis = 0;
	host_run_until(h, began + 2 * NSEC_PER_SEC);
	assert_in_range(a->progress.tlbis, 880, 920);
	assert_in_range(b->progress.tlbis, 90, 116);
	host_free(h);
}

/*
 * Two VMs of 600 blocks at 100 TLBIs a second, with a deadline each, so many seconds from now
 * (0: none): that of the first, and that of the second.
 */
static struct fake_host *start_with_deadlines(uint64_t first, uint64_t second, struct vm *vms[2])
{
	const uint64_t seconds[2] = { first, second };
	struct fake_host *h;

	h = start(100, 1, 600, &vms[0]);
	fake_vm_init(&fakes[1], h, 600);
	vms[1] = host_add_vm(h, &fakes[1], 2);
	host_run(h);
	for (size_t i = 0; i < 2; i++) {
		if (seconds[i])
			vm_set_deadline(vms[i], fake_realtime(h) + seconds[i] * USEC_PER_SEC);
		work_set_goal(vms[i]->work, VM_GOAL_SPLIT);
	}
	return h;
}

/* The one that has less time gets what it takes; the ETAs are those of one after the other. */
static void test_deadlines(void **state)
{
	struct fake_host *h;
	struct vm *vms[2];

	h = start_with_deadlines(20, 10, vms);
	host_run_until(h, h->now + 50 * NSEC_PER_MSEC);
	assert_in_range(info_of(vms[1]).eta_usec, 5 * USEC_PER_SEC, 10 * USEC_PER_SEC);
	assert_in_range(info_of(vms[0]).eta_usec, 10 * USEC_PER_SEC, 12 * USEC_PER_SEC);
	host_run_until(h, h->now + 10 * NSEC_PER_SEC);
	assert_int_equal(vms[1]->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vms[0]->progress.stage, VM_STAGE_SPLITTING);
	host_run_until(h, h->now + 10 * NSEC_PER_SEC);
	assert_int_equal(vms[0]->progress.stage, VM_STAGE_SPLIT);
	host_free(h);
}

/* A deadline that has passed is none that others make way for. */
static void test_deadline_that_has_passed(void **state)
{
	struct fake_host *h;
	struct vm *vms[2];

	h = start_with_deadlines(1, 11, vms);
	vm_set_deadline(vms[0], fake_realtime(h) - 1);
	work_update_ceiling(vms[0]->work);
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_in_range(vms[0]->progress.tlbis, 40, 55);
	host_free(h);
}

/* Shares follow the time that is left, though nothing else happens but that it goes by. */
static void test_deadline_that_comes_closer(void **state)
{
	struct fake_host *h;
	struct vm *vms[2];
	uint64_t before;

	h = start_with_deadlines(600, 0, vms);
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_in_range(vms[0]->progress.tlbis, 45, 60);
	before = vms[0]->progress.tlbis;
	/* What is left of it then is what splitting takes. */
	h->suspended_usec = 593 * USEC_PER_SEC;
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_in_range(vms[0]->progress.tlbis - before, 85, 101);
	host_free(h);
}

static void test_limits_of_every_vm(void **state)
{
	struct work_limits limits = { .host = { .rate = 1000, .burst = 16 },
				      .vm_rate = 100,
				      .throttled = true };
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 2000, &vm);
	splitter_set_limits(h->splitter, &limits);
	/* Whoever asks for more than all may have does not get it. */
	vm->migration.tlbi_rate = 500;
	work_update_ceiling(vm->work);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_in_range(vm->progress.tlbis, 100, 116);
	host_free(h);
}

static void test_survey_on_demand(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	fakes[0].slots[0].block[7] = false;
	/* What was seen less than a second ago will do, however often it is asked for. */
	h->now += NSEC_PER_SEC - 1;
	assert_int_equal(work_survey(vm->work), 0);
	h->now++;
	assert_int_equal(work_survey(vm->work), 1);
	assert_int_equal(work_survey(vm->work), 1);
	host_run(h);
	assert_int_equal(work_survey(vm->work), 0);
	assert_int_equal(h->n_calls, 2);
	assert_int_equal(info_of(vm).blocks, 99);
	/* Unless something has happened to it. */
	work_look(vm->work);
	host_run(h);
	assert_int_equal(h->n_calls, 3);

	/* While it is being split what is known is kept up to date, however long that takes. */
	vm->migration.tlbi_rate = 10;
	work_update_ceiling(vm->work);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 5 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLITTING);
	assert_int_equal(h->n_jobs, 0);
	assert_int_equal(work_survey(vm->work), 0);
	host_run(h);
	/* Told so once more, it is not said to be less than that until it has been looked at. */
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	host_run(h);
	/* Split, and a block has come back: it is seen, and split. */
	h->now += NSEC_PER_SEC;
	fakes[0].slots[0].block[7] = true;
	assert_int_equal(work_survey(vm->work), 1);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	host_free(h);
}

/* A host with one VM, the framebuffer of which is shown. */
static struct fake_host *start_with_framebuffer(uint64_t rate, size_t n_blocks, struct vm **ret)
{
	struct fake_host *h = host_new(rate, 1, true);

	fake_vm_init(&fakes[0], h, n_blocks);
	fakes[0].n_slots = 2;
	fakes[0].slots[1].gpa = 8 * GIB;
	fakes[0].slots[1].n_blocks = 8;
	fakes[0].slots[1].logged = true;
	*ret = host_add_vm(h, &fakes[0], 1);
	return h;
}

/* Nobody tells when the memory is logged as well, so one looks; in the end every five seconds. */
static void test_looking_at_what_is_logged(void **state)
{
	struct fake_host *h;
	size_t n_calls;
	struct vm *vm;

	h = start_with_framebuffer(1000, 100, &vm);
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_in_range(h->n_calls, 4, 5);
	assert_true(fakes[0].closed);
	host_run_until(h, h->now + 20 * NSEC_PER_SEC);
	n_calls = h->n_calls;
	host_run_until(h, h->now + 100 * NSEC_PER_SEC);
	assert_int_equal(h->n_calls - n_calls, 20);
	/* And has nothing to say of it. */
	assert_int_equal(h->progress, 1);

	fakes[0].slots[0].logged = true;
	host_run_until(h, h->now + 5 * NSEC_PER_SEC);
	assert_int_equal(dirty_log_get(&vm->progress.survey), DIRTY_LOG_MEMORY);
	assert_int_equal(h->progress, 2);
	fakes[0].slots[0].logged = false;
	host_run_until(h, h->now + 5 * NSEC_PER_SEC);
	assert_int_equal(dirty_log_get(&vm->progress.survey), DIRTY_LOG_PART);
	assert_int_equal(h->progress, 3);

	fakes[0].slots[1].logged = false;
	host_run(h);
	assert_int_equal(dirty_log_get(&vm->progress.survey), DIRTY_LOG_NONE);
	assert_true(h->timer == UINT64_MAX);
	host_free(h);
}

static void toggle_logging(struct fake_vm *fake)
{
	fake->slots[0].logged ^= true;
}

/* However often they change, and however many there are. */
static void test_looks_are_bounded(void **state)
{
	struct fake_host *h = host_new(1000, 16, true);
	size_t n_calls;

	for (int i = 0; i < VMS_MAX; i++) {
		fake_vm_init(&fakes[i], h, 100);
		fakes[i].n_slots = 2;
		fakes[i].slots[1].gpa = 8 * GIB;
		fakes[i].slots[1].n_blocks = 8;
		fakes[i].slots[1].logged = true;
		fakes[i].hook = toggle_logging;
		host_add_vm(h, &fakes[i], i + 1);
	}
	host_run_until(h, h->now + NSEC_PER_SEC);
	n_calls = h->n_calls;
	host_run_until(h, h->now + 100 * NSEC_PER_SEC);
	assert_in_range(h->n_calls - n_calls, 1000, 2000 + VMS_MAX);
	host_free(h);
}

/* In the middle of splitting, too: the migration may be over. */
static void test_looking_while_splitting(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start_with_framebuffer(10, 1000, &vm);
	fakes[0].slots[0].logged = true;
	host_run_until(h, h->now + NSEC_PER_SEC);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 20 * NSEC_PER_SEC);
	assert_in_range(vm->progress.blocks_split, 190, 210);
	fakes[0].slots[0].logged = false;
	host_run_until(h, h->now + 5 * NSEC_PER_SEC);
	assert_int_equal(dirty_log_get(&vm->progress.survey), DIRTY_LOG_PART);
	host_run_until(h, h->now + 80 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.blocks_split, 1000);
	host_free(h);
}

/* In the middle of recovering, too: it may be migrated again. */
static void test_looking_while_recovering(void **state)
{
	struct fake_host *h;
	size_t n_surveys;
	struct vm *vm;

	h = start_with_framebuffer(10, 1000, &vm);
	host_run_until(h, h->now + NSEC_PER_SEC);
	memset(fakes[0].slots[0].block, false, 1000);
	n_surveys = count_calls(h, 0);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run_until(h, h->now + 50 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_RECOVERING);
	assert_in_range(count_calls(h, 0), n_surveys + 10, n_surveys + 20);
	fakes[0].slots[0].logged = true;
	host_run_until(h, h->now + 5 * NSEC_PER_SEC);
	assert_int_equal(dirty_log_get(&vm->progress.survey), DIRTY_LOG_MEMORY);
	host_run_until(h, h->now + 60 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 1000 + 8);
	host_free(h);
}

/* A VM of four memslots of 8 GiB, all blocks or all pages, but for the last of each. */
static struct fake_host *start_large(bool block, struct vm **ret)
{
	struct fake_host *h = host_new(1000, 16, true);

	fake_vm_init(&fakes[0], h, BLOCKS_MAX);
	fakes[0].n_slots = SLOTS_MAX;
	for (size_t i = 0; i < SLOTS_MAX; i++) {
		fakes[0].slots[i].gpa = GIB + i * 16 * GIB;
		fakes[0].slots[i].n_blocks = BLOCKS_MAX;
		memset(fakes[0].slots[i].block, block, BLOCKS_MAX);
		fakes[0].slots[i].block[BLOCKS_MAX - 1] = !block;
	}
	*ret = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	return h;
}

/* Looks at the VM after each range until it has got to @stage. Returns how many were walked. */
static size_t run_with_looks(struct fake_host *h, struct vm *vm, enum vm_stage stage)
{
	size_t n_ranges = 0, seen = h->n_calls;

	while (vm->progress.stage != stage) {
		assert_true(host_step(h));
		for (; seen < h->n_calls; seen++) {
			if (!h->calls[seen].size)
				continue;
			n_ranges++;
			work_look(vm->work);
		}
		assert_true(n_ranges < 100);
	}
	return n_ranges;
}

/* However often one looks: what has been walked is not walked again, and the end is reached. */
static void test_looks_do_not_begin_anew(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start_large(false, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	/* 8 GiB each, in ranges of 4. */
	assert_int_equal(run_with_looks(h, vm, VM_STAGE_SPLIT), 8);
	assert_int_equal(vm->progress.blocks_split, SLOTS_MAX);
	host_free(h);

	h = start_large(true, &vm);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	assert_int_equal(run_with_looks(h, vm, VM_STAGE_WHOLE), 8);
	assert_int_equal(fake_count_blocks(&fakes[0]), SLOTS_MAX * BLOCKS_MAX);
	host_free(h);
}

/* Memslots that come, go and move, behind a walk and ahead of it, with a look at each. */
static void test_memslots_that_change_at_a_look(void **state)
{
	struct fake_slot *slots = fakes[0].slots;
	struct fake_host *h;
	struct vm *vm;

	h = start_large(false, &vm);
	fakes[0].n_slots = 3;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	while (vm->progress.blocks_split < 2)
		assert_true(host_step(h));

	/* The first goes, the second moves to behind us, and one more appears ahead. */
	slots[0] = slots[1];
	slots[0].gpa = 2 * GIB;
	slots[0].block[5] = true;
	slots[1] = slots[2];
	slots[2] = slots[3];
	memset(slots[2].block, true, 3);
	work_look(vm->work);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(fake_count_blocks(&fakes[0]), 0);
	assert_int_equal(vm->progress.blocks_split, 2 + 1 + 1 + 4);
	host_free(h);
}

/* What fails all the while fails for good, also if one can look at it in between. */
static void test_looks_are_no_progress(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start_with_framebuffer(1000, 100, &vm);
	host_run_until(h, h->now + NSEC_PER_SEC);
	set_error(&fakes[0], -ENOMEM, UINT32_MAX, BACKEND_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 60 * NSEC_PER_SEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_int_equal(count_calls(h, SPLIT), 9);
	host_free(h);
}

static int compare_times(const void *a, const void *b)
{
	const struct fake_call *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* All TLBIs of a call at its end, against the bound of every interval. */
static void check_bound(struct fake_host *h, uint64_t rate, uint64_t burst)
{
	__int128 lowest = 0, before, sum = 0;

	qsort(h->calls, h->n_calls, sizeof(h->calls[0]), compare_times);
	for (size_t i = 0; i < h->n_calls; i++) {
		before = sum * NSEC_PER_SEC - (__int128)rate * h->calls[i].at;
		if (!i || before < lowest)
			lowest = before;
		sum += h->calls[i].tlbis;
		assert_true(sum * NSEC_PER_SEC - (__int128)rate * h->calls[i].at - lowest <=
			    (__int128)burst * NSEC_PER_SEC);
	}
}

/* The same of their time. */
static void check_load(struct fake_host *h, uint32_t load)
{
	__int128 lowest = 0, before, sum = 0, most = 0;

	for (size_t i = 0; i < h->n_calls; i++) {
		most = most < h->calls[i].tlbi_nsec ? h->calls[i].tlbi_nsec : most;
		before = sum - (__int128)load * h->calls[i].at;
		if (!i || before < lowest)
			lowest = before;
		sum += (__int128)h->calls[i].tlbi_nsec * BUDGET_LOAD_MAX;
		assert_true(sum - (__int128)load * h->calls[i].at - lowest <=
			    most * BUDGET_LOAD_MAX);
	}
}

/* A host whose batches have up to so many blocks, and a limit on their TLBIs' time. */
static void set_batch(struct fake_host *h, uint64_t rate, uint32_t load, uint32_t batch)
{
	const struct work_limits limits = {
		.host = { .rate = rate, .burst = 8, .load = load },
		.batch = batch,
		.throttled = true,
	};

	h->batch = batch;
	splitter_set_limits(h->splitter, &limits);
}

/* Whole batches: so many TLBIs, and known to be from the start. */
static void test_batches(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1, 1, 2048, &vm);
	set_batch(h, 1, 0, 512);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_int_equal(work_count_tlbis(vm->work), 4);
	assert_int_equal(info_of(vm).eta_usec, 4 * USEC_PER_SEC);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.blocks_split, 2048);
	assert_int_equal(vm->progress.tlbis, 4);
	host_free(h);
}

/* Where vCPUs end them early: what is learnt is what the ETA goes by, and what the next has. */
static void test_batches_cut_short(void **state)
{
	struct fake_host *h;
	struct vm *vm, *other;

	h = start(1, 1, 4096, &vm);
	set_batch(h, 1, 0, 512);
	h->vcpus_wait = true;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_int_equal(info_of(vm).eta_usec, 8 * USEC_PER_SEC);
	h->batch = 8;
	host_run_until(h, h->now + 20 * NSEC_PER_SEC);
	/* Of 1 to 8 blocks. */
	assert_in_range(work_count_tlbis(vm->work), 400, 2000);
	assert_in_range(info_of(vm).eta_usec, 400 * USEC_PER_SEC, 2000 * USEC_PER_SEC);
	fake_vm_init(&fakes[1], h, 512);
	other = host_add_vm(h, &fakes[1], 2);
	host_run_until(h, h->now + 1);
	assert_in_range(work_count_tlbis(other->work), 60, 300);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(vm->progress.blocks_split, 4096);
	host_free(h);
}

/* TLBIs that take long: one call at a time, and each VM gets its part of the load. */
static void test_load_is_shared(void **state)
{
	struct vm *vms[2];
	struct fake_host *h;

	h = start(0, 8, 4096, &vms[0]);
	set_batch(h, 0, 10000, 1);
	h->tlbi_nsec = NSEC_PER_MSEC;
	fake_vm_init(&fakes[1], h, 4096);
	vms[1] = host_add_vm(h, &fakes[1], 2);
	host_run(h);
	for (int i = 0; i < 2; i++)
		work_set_goal(vms[i]->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 20 * NSEC_PER_SEC);
	/* A hundredth of 20 s is 200 ms, less what it begins with. */
	assert_in_range(vms[0]->progress.tlbis + vms[1]->progress.tlbis, 190, 201);
	assert_in_range(vms[0]->progress.tlbis, 94, 101);
	assert_int_equal(vms[0]->progress.tlbi_nsec, vms[0]->progress.tlbis * NSEC_PER_MSEC);
	/* 5 TLBIs a second for each. */
	assert_in_range(info_of(vms[0]).eta_usec, 790 * USEC_PER_SEC, 810 * USEC_PER_SEC);
	check_load(h, 10000);
	host_free(h);
}

static void random_deed(struct fake_host *h, struct fake_vm *fake, struct vm **vm, pid_t pid)
{
	static const int errors[] = { -ENOMEM, -EBUSY, -EINVAL };

	if (!*vm) {
		*vm = host_add_vm(h, fake, pid);
		return;
	}
	switch (host_random(h, 9)) {
	case 0:
	case 1:
		work_set_goal((*vm)->work, VM_GOAL_SPLIT);
		break;
	case 2:
		work_set_goal((*vm)->work, VM_GOAL_RECOVER);
		break;
	case 3:
		work_set_goal((*vm)->work, VM_GOAL_RELEASE);
		break;
	case 4:
		work_survey((*vm)->work);
		break;
	case 5:
		set_error(fake, errors[host_random(h, ARRAY_SIZE(errors))],
			  (unsigned int)host_random(h, 3), BACKEND_SPLIT | BACKEND_RECOVER);
		break;
	case 7:
		set_error(fake, -EINTR, (unsigned int)host_random(h, 5), 0);
		break;
	case 6:
		fake->slots[0].block[host_random(h, fake->slots[0].n_blocks)] ^= true;
		break;
	default:
		(*vm)->migration.tlbi_rate = host_random(h, 300);
		work_update_ceiling((*vm)->work);
	}
}

/*
 * Lives of VMs at random: whatever is told, and whatever fails, the budget
 * holds, and in the end each VM gets where it was sent last.
 */
static void test_random_lives(void **state)
{
	/* With batches of all sizes, and without a load as with one that is less than the rate. */
	for (uint64_t seed = 1; seed <= 120; seed++) {
		struct fake_host *h = host_new(200, 8, true);
		uint32_t load = seed % 3 ? 0 : 10000;
		struct vm *vms[VMS_MAX] = {};

		h->rng = seed * 7919;
		h->vcpus_wait = seed % 4;
		h->tlbi_nsec = load ? 100000 : 0;
		set_batch(h, 200, load, seed > 60 ? 1 + (uint32_t)host_random(h, 512) : 1);
		h->latency = 30 * NSEC_PER_MSEC;
		for (int i = 0; i < VMS_MAX; i++)
			fake_vm_init(&fakes[i], h, 60);
		for (int deed = 0; deed < 200; deed++) {
			int i = (int)host_random(h, VMS_MAX);

			random_deed(h, &fakes[i], &vms[i], i + 1);
			host_run_until(h, h->now + host_random(h, 100 * NSEC_PER_MSEC));
		}
		for (int i = 0; i < VMS_MAX; i++) {
			fakes[i].error_count = 0;
			if (vms[i] && i % 2)
				work_set_goal(vms[i]->work, VM_GOAL_SPLIT);
			else if (vms[i])
				work_set_goal(vms[i]->work, VM_GOAL_RELEASE);
		}
		host_run(h);
		for (int i = 0; i < VMS_MAX; i++) {
			if (!vms[i])
				continue;
			assert_int_equal(fakes[i].held, i % 2);
			assert_int_equal(vms[i]->progress.stage,
					 i % 2 ? VM_STAGE_SPLIT : VM_STAGE_WHOLE);
			if (i % 2)
				assert_int_equal(fake_count_blocks(&fakes[i]), 0);
			work_leave(vms[i]->work, false);
		}
		host_run(h);
		assert_true(h->timer == UINT64_MAX);
		for (int i = 0; i < VMS_MAX; i++)
			assert_false(fakes[i].held);
		check_bound(h, 200, 8);
		if (load)
			check_load(h, load);
		host_free(h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registering_surveys),
		cmocka_unit_test(test_splitting),
		cmocka_unit_test(test_memory_that_comes_later),
		cmocka_unit_test(test_vm_is_open_while_there_is_work),
		cmocka_unit_test(test_hold_and_survey_do_not_wait_for_budget),
		cmocka_unit_test(test_eta_and_deadline),
		cmocka_unit_test(test_memslots_and_holes),
		cmocka_unit_test(test_blocks_that_appear_meanwhile_take_another_pass),
		cmocka_unit_test(test_memslot_deleted_meanwhile),
		cmocka_unit_test(test_blocks_that_stay_are_a_failure),
		cmocka_unit_test(test_short_of_memory_for_a_while),
		cmocka_unit_test(test_short_of_memory_for_good),
		cmocka_unit_test(test_short_of_memory_for_the_survey),
		cmocka_unit_test(test_interrupted_calls_are_repeated),
		cmocka_unit_test(test_other_errors_are_failures),
		cmocka_unit_test(test_vm_that_is_gone),
		cmocka_unit_test(test_vmm_exits_during_a_call),
		cmocka_unit_test(test_leaving_releases_and_no_more),
		cmocka_unit_test(test_leaving_what_was_never_held_is_immediate),
		cmocka_unit_test(test_forgotten_hold_is_released),
		cmocka_unit_test(test_forgotten_hold_is_released_on_leaving),
		cmocka_unit_test(test_hold_that_is_lost),
		cmocka_unit_test(test_resuming),
		cmocka_unit_test(test_release_that_fails_does_not_keep_us),
		cmocka_unit_test(test_forgotten_hold_that_stays),
		cmocka_unit_test(test_registered_again_while_leaving),
		cmocka_unit_test(test_goal_changes_while_another_leaves),
		cmocka_unit_test(test_look_is_due_while_another_leaves),
		cmocka_unit_test(test_leaving_holds_up_no_other_process),
		cmocka_unit_test(test_leaving_owes_nothing),
		cmocka_unit_test(test_completed_releases),
		cmocka_unit_test(test_cancelled_recovers_within_the_budget),
		cmocka_unit_test(test_turning_round),
		cmocka_unit_test(test_interrupted_hold_is_repeated),
		cmocka_unit_test(test_call_for_another_goal_fails),
		cmocka_unit_test(test_recovery_of_a_vm_that_others_hold),
		cmocka_unit_test(test_unthrottled),
		cmocka_unit_test(test_range_that_is_done),
		cmocka_unit_test(test_no_progress_is_a_failure),
		cmocka_unit_test(test_two_share),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_deadline_that_has_passed),
		cmocka_unit_test(test_deadline_that_comes_closer),
		cmocka_unit_test(test_limits_of_every_vm),
		cmocka_unit_test(test_survey_on_demand),
		cmocka_unit_test(test_looking_at_what_is_logged),
		cmocka_unit_test(test_looks_are_bounded),
		cmocka_unit_test(test_looking_while_splitting),
		cmocka_unit_test(test_looking_while_recovering),
		cmocka_unit_test(test_looks_do_not_begin_anew),
		cmocka_unit_test(test_memslots_that_change_at_a_look),
		cmocka_unit_test(test_looks_are_no_progress),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_batches_cut_short),
		cmocka_unit_test(test_load_is_shared),
		cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests_name("splitter", tests, NULL, NULL);
}
