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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_that_comes_later),
		cmocka_unit_test(test_looks_do_not_begin_anew),
		cmocka_unit_test(test_memslots_that_change_at_a_look),
		cmocka_unit_test(test_looks_are_no_progress),
	};

	return cmocka_run_group_tests_name("work-looks", tests, NULL, NULL);
}
