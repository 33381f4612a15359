// SPDX-License-Identifier: GPL-2.0-or-later
/* Surveys that nobody asked for: of memory that comes later, and when the VM tells of something. */
#include "unit/fake-host.h"

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

/* What fails all the while has failed, also if one looks at it in between. */
static void test_looks_are_no_progress(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	set_error(&fakes[0], -ENOMEM, UINT32_MAX, RUN_SPLIT);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	for (int i = 0; i < 600 && vm->progress.stage != VM_STAGE_FAILED; i++) {
		host_run_until(h, h->now + 100 * NSEC_PER_MSEC);
		work_look(vm->work);
	}
	assert_int_equal(vm->progress.stage, VM_STAGE_FAILED);
	assert_int_equal(count_calls(h, SPLIT), 9);
	host_free(h);
}

/* Toggles the logging of the VM's memory so often in a second, of which it tells each time. */
static void flip(struct fake_host *h, struct vm *vm, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		fakes[0].slots[0].logged = i % 2 == 0;
		work_look(vm->work);
		host_run_until(h, h->now + NSEC_PER_SEC / n);
	}
}

/* A VMM may have it tell as often as it likes: that is not as often as it is looked at. */
static void test_flood_of_news(void **state)
{
	struct fake_host *h;
	struct vm *vm;
	size_t before;

	h = start(1000, 16, 100, &vm);
	before = h->n_calls;
	flip(h, vm, 1000);
	assert_in_range(h->n_calls - before, 2, 20);
	/* What it was in the end is seen, whenever that is, and then there is nothing to do. */
	fakes[0].slots[0].logged = true;
	work_look(vm->work);
	host_run(h);
	assert_true(vm->progress.survey.slots[0].dirty_logging);
	assert_true(h->timer == UINT64_MAX);
	assert_in_range(h->n_calls - before, 2, 20);

	/* As long as it goes on, once a second. */
	flip(h, vm, 1000);
	before = h->n_calls;
	for (int i = 0; i < 60; i++)
		flip(h, vm, 1000);
	assert_in_range(h->n_calls - before, 30, 61);
	fakes[0].slots[0].logged = false;
	work_look(vm->work);
	host_run(h);
	assert_false(vm->progress.survey.slots[0].dirty_logging);
	host_free(h);
}

/* What is told for the first time in a while is looked at at once, and what follows soon. */
static void test_first_news(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	for (int i = 0; i < 10; i++) {
		uint64_t began = h->now;
		size_t before = h->n_calls;

		work_look(vm->work);
		assert_true(host_end_call(h));
		assert_int_equal(h->now, began);
		/* As the memslots' logging is switched, one after the other. */
		work_look(vm->work);
		work_look(vm->work);
		host_run(h);
		assert_in_range(h->now, began, began + 50 * NSEC_PER_MSEC);
		assert_int_equal(h->n_calls - before, 2);
		h->now += 2 * NSEC_PER_SEC;
	}
	host_free(h);
}

/* Told ten times a second it is looked at at once, and from there on later and later. */
static void test_news_now_and_then(void **state)
{
	struct fake_host *h;
	struct vm *vm;
	size_t before;

	h = start(1000, 16, 100, &vm);
	for (int i = 0; i < 100; i++) {
		uint64_t began = h->now;

		work_look(vm->work);
		assert_true(host_end_call(h));
		assert_int_equal(h->now, began);
		host_run_until(h, began + 100 * NSEC_PER_MSEC);
	}
	before = h->n_calls;
	for (int i = 0; i < 1000; i++) {
		work_look(vm->work);
		host_run_until(h, h->now + 60 * NSEC_PER_MSEC);
	}
	assert_in_range(h->n_calls - before, 50, 70);
	host_free(h);
}

/* What is told while a survey is under way, which may have seen nothing of it yet, is looked at. */
static void test_news_meanwhile(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 100, &vm);
	for (int i = 0; i < 100; i++) {
		work_look(vm->work);
		if (h->n_jobs)
			h->jobs[0]->run(h->jobs[0]);
		survey_done(&vm->work->survey);
		fakes[0].slots[0].logged = i % 2 == 0;
		work_look(vm->work);
		host_run(h);
		assert_int_equal(vm->progress.survey.slots[0].dirty_logging, i % 2 == 0);
	}
	host_free(h);
}

/* What follows from dirty logging, as the manager has it. */
static void follow_logging(struct vm *vm)
{
	bool on = vm->progress.survey.n_slots && vm->progress.survey.slots[0].dirty_logging;

	if (on == vm->migration.dirty_logging)
		return;
	if (vm->progress.early) {
		work_look(vm->work);
		return;
	}
	vm->migration.dirty_logging = on;
	work_set_goal(vm->work, on ? VM_GOAL_SPLIT : VM_GOAL_RECOVER);
}

static void toggle_logging(struct fake_vm *vm)
{
	vm->slots[0].logged = !vm->host->vms[0]->migration.dirty_logging;
}

/* Each survey sees it toggled: what follows from one is no reason for the next one. */
static void test_toggled_at_each_survey(void **state)
{
	struct fake_host *h;
	struct vm *vm;
	size_t before;

	h = start(1000, 16, 100, &vm);
	h->changed = follow_logging;
	fakes[0].hook = toggle_logging;
	before = count_calls(h, 0);
	work_look(vm->work);
	host_run_until(h, h->now + 10 * NSEC_PER_SEC);
	/* At 0, 50, 150, 350, 750, 1550 ms, and each second; and behind the hold or the release, and at the end. */
	assert_in_range(count_calls(h, 0) - before, 14, 14 * 3);
	/* What it is in the end is seen, though nobody tells of that. */
	fakes[0].hook = NULL;
	fakes[0].slots[0].logged = !vm->migration.dirty_logging;
	work_set_goal(vm->work, vm->work->goal);
	host_run(h);
	assert_int_equal(vm->migration.dirty_logging, fakes[0].slots[0].logged);
	assert_true(h->timer == UINT64_MAX);
	host_free(h);
}

/* Surveys that are made for other reasons put off none, nor does one that is early see it for the one that is due. */
static void test_news_and_other_surveys(void **state)
{
	struct fake_host *h;
	struct vm *vm;
	size_t before;

	h = start(1000, 16, 100, &vm);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run(h);
	flip(h, vm, 1000);
	host_run(h);
	for (int i = 0; i < 100; i++) {
		work_look(vm->work);
		work_set_goal(vm->work, VM_GOAL_RELEASE);
		work_set_goal(vm->work, VM_GOAL_SPLIT);
		host_run_until(h, h->now);
	}
	before = h->n_calls;
	host_run(h);
	assert_int_equal(h->n_calls - before, 1);
	assert_true(h->timer == UINT64_MAX);
	before = h->n_calls;
	work_look(vm->work);
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_int_equal(h->n_calls - before, 1);
	/* Nor is one that leaves looked at. */
	work_look(vm->work);
	work_leave(vm->work, true);
	host_run(h);
	assert_int_equal(h->left, 1);
	assert_int_equal(h->n_calls - before, 2);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_that_comes_later),
		cmocka_unit_test(test_looks_do_not_begin_anew),
		cmocka_unit_test(test_memslots_that_change_at_a_look),
		cmocka_unit_test(test_looks_are_no_progress),
		cmocka_unit_test(test_flood_of_news),
		cmocka_unit_test(test_first_news),
		cmocka_unit_test(test_news_now_and_then),
		cmocka_unit_test(test_news_meanwhile),
		cmocka_unit_test(test_toggled_at_each_survey),
		cmocka_unit_test(test_news_and_other_surveys),
	};

	return cmocka_run_group_tests_name("work-looks", tests, NULL, NULL);
}
