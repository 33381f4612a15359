// SPDX-License-Identifier: GPL-2.0-or-later
/* Surveys that nobody asked for: of memory that comes later, and of dirty logging. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_that_comes_later),
		cmocka_unit_test(test_looking_at_what_is_logged),
		cmocka_unit_test(test_looks_are_bounded),
		cmocka_unit_test(test_looking_while_splitting),
		cmocka_unit_test(test_looking_while_recovering),
		cmocka_unit_test(test_looks_do_not_begin_anew),
		cmocka_unit_test(test_memslots_that_change_at_a_look),
		cmocka_unit_test(test_looks_are_no_progress),
	};

	return cmocka_run_group_tests_name("work-looks", tests, NULL, NULL);
}
