// SPDX-License-Identifier: GPL-2.0-or-later
/* What is done about a VM: which calls the splitter makes, when, and what follows. */
#include "unit/fake-host.h"

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
	assert_int_equal(h->calls[1].flags, FAKE_HOLD);
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

		if (!(call->flags & RUN_SPLIT))
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
		host_free(h);
	}
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
	assert_int_equal(count_calls(h, FAKE_RELEASE), 1);
	assert_int_equal(count_calls(h, RUN_RECOVER), 0);
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
	assert_int_equal(h->calls[1].flags, FAKE_HOLD);
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
	while (!(h->calls[h->n_calls - 1].flags & RUN_SPLIT && h->n_jobs))
		assert_true(host_step(h));
	set_error(&fakes[0], -EINVAL, 1, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	/* It has been in the kernel already. */
	h->cancelled[0] = false;
	host_run(h);
	assert_int_equal(fakes[0].error_count, 0);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(fake_count_blocks(&fakes[0]), 100);
	host_free(h);
}

static void test_unthrottled(void **state)
{
	struct work_limits limits = { .host = { .rate = 1, .burst = 1 },
				      .batch = 1,
				      .method = WORK_BREAK };
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
	limits.method = WORK_NO_BREAK;
	splitter_set_limits(h->splitter, &limits);
	began = h->now;
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_true(h->now == began);
	host_free(h);
}

/* Whenever a pause may be, it is seen to be too early, or it takes place. */
static void test_pauses_while_time_goes_on(void **state)
{
	struct work_limits limits = { .host = { .rate = 1, .burst = 1 },
				      .batch = 1,
				      .method = WORK_PAUSE };

	for (uint64_t nsec = 1; nsec < 100; nsec++) {
		struct fake_host *h = host_new(1, 1, false);
		struct vm *vm;

		h->batch = 1;
		limits.vm_pause_rate = NSEC_PER_SEC / nsec;
		splitter_set_limits(h->splitter, &limits);
		fake_vm_init(&fakes[0], h, 10);
		vm = host_add_vm(h, &fakes[0], 1);
		host_run(h);
		h->tick = 7;
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run(h);
		assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
		host_free(h);
	}
}

/* Pauses cost no TLBIs, and each VM has so many of them a second, there and back. */
static void test_pauses(void **state)
{
	struct work_limits limits = { .host = { .rate = 1, .burst = 1 },
				      .batch = 100,
				      .vm_pause_rate = 4,
				      .method = WORK_PAUSE };
	struct fake_host *h = host_new(1, 1, false);
	uint64_t began = h->now;
	struct vm *vm;

	h->batch = 100;
	splitter_set_limits(h->splitter, &limits);
	fake_vm_init(&fakes[0], h, 1000);
	vm = host_add_vm(h, &fakes[0], 1);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now);
	assert_int_equal(fake_count_blocks(&fakes[0]), 900);
	/* Nine more pauses, one in a quarter of a second. */
	assert_true(info_of(vm).has_eta);
	assert_in_range(info_of(vm).eta_usec, 2 * USEC_PER_SEC, 9 * USEC_PER_SEC / 4);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_int_equal(count_calls(h, RUN_SPLIT | RUN_PAUSE), 10);
	assert_true(h->now - began >= 9 * NSEC_PER_SEC / 4);
	assert_int_equal(vm->progress.tlbis, 0);
	assert_int_equal(h->splitter->group.stats.pauses, 10);

	began = h->now;
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run(h);
	assert_int_equal(vm->progress.stage, VM_STAGE_WHOLE);
	assert_int_equal(count_calls(h, RUN_RECOVER | RUN_PAUSE), 10);
	assert_true(h->now - began >= 9 * NSEC_PER_SEC / 4);
	for (size_t i = 0; i < h->n_calls; i++)
		assert_true(!(h->calls[i].flags & RUN_PAUSE) || h->calls[i].max_tlbis == 1);

	/* No limit; and from the next call on another method. */
	limits.vm_pause_rate = 0;
	splitter_set_limits(h->splitter, &limits);
	host_run(h);
	began = h->now;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	assert_true(h->now == began);
	limits.method = WORK_BREAK;
	splitter_set_limits(h->splitter, &limits);
	work_set_goal(vm->work, VM_GOAL_RECOVER);
	host_run(h);
	assert_int_equal(vm->progress.tlbis, 10);
	host_free(h);
}

/* That nothing is left says that the range is done, whatever the address. */
static int done_run(struct backend_vm *backend_vm, struct split_call *call)
{
	uint64_t gpa = call->gpa;
	int r = fake_run(backend_vm, call);

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
	ops.run = done_run;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registering_surveys),
		cmocka_unit_test(test_splitting),
		cmocka_unit_test(test_hold_and_survey_do_not_wait_for_budget),
		cmocka_unit_test(test_memslots_and_holes),
		cmocka_unit_test(test_blocks_that_appear_meanwhile_take_another_pass),
		cmocka_unit_test(test_memslot_deleted_meanwhile),
		cmocka_unit_test(test_resuming),
		cmocka_unit_test(test_completed_releases),
		cmocka_unit_test(test_cancelled_recovers_within_the_budget),
		cmocka_unit_test(test_turning_round),
		cmocka_unit_test(test_interrupted_hold_is_repeated),
		cmocka_unit_test(test_call_for_another_goal_fails),
		cmocka_unit_test(test_unthrottled),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_pauses_while_time_goes_on),
		cmocka_unit_test(test_range_that_is_done),
		cmocka_unit_test(test_survey_on_demand),
	};

	return cmocka_run_group_tests_name("work", tests, NULL, NULL);
}
