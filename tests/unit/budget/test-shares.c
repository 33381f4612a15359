// SPDX-License-Identifier: GPL-2.0-or-later
/* How the budget gets to many VMs: of users, announced or not, recovering. Counted, on a clock that is told. */
#define VMS_MAX 4096
#include "unit/fake-host.h"

#define OTHER_USER 1000

/* @n VMs of a user, each of @n_blocks that are whole or not, from index @first on; surveyed. */
static void add_vms(struct fake_host *h, size_t first, size_t n, size_t n_blocks, bool whole)
{
	for (size_t i = first; i < first + n; i++) {
		fake_vm_init(&fakes[i], h, n_blocks);
		fakes[i].vm.uid = OTHER_USER;
		memset(fakes[i].slots[0].block, whole, n_blocks);
		host_add_vm(h, &fakes[i], 2);
	}
	host_run(h);
}

/*
 * A deadline of 15 s, and work for 10.24 s beside 200 VMs that recover: it is split in time, and that
 * is what its first ETA says, and every one after that.
 */
static void test_recovery_yields(void **state)
{
	struct fake_host *h;
	uint64_t began, eta;
	struct vm *vm;

	h = start(400, 8, 4096, &vm);
	add_vms(h, 1, 200, 512, false);
	for (size_t i = 1; i <= 200; i++)
		work_set_goal(h->vms[i]->work, VM_GOAL_RECOVER);
	host_run_until(h, h->now + NSEC_PER_SEC);
	began = h->now;
	vm_set_deadline(vm, fake_realtime(h) + 15 * USEC_PER_SEC);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	eta = info_of(vm).eta_usec;
	assert_in_range(eta, 10240000, 15 * USEC_PER_SEC);
	while (vm->progress.stage == VM_STAGE_SPLITTING) {
		assert_false(vm_note_late(vm, fake_realtime(h)));
		host_run_until(h, h->now + 100 * NSEC_PER_MSEC);
	}
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	assert_in_range((h->now - began) / NSEC_PER_USEC, eta * 9 / 10, eta * 11 / 10);
	host_free(h);
}

/* Without a deadline, too, the others get no more than a quarter. */
static void test_announced_before_recovery(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(400, 8, 4096, &vm);
	add_vms(h, 1, 200, 512, false);
	for (size_t i = 1; i <= 200; i++)
		work_set_goal(h->vms[i]->work, VM_GOAL_RECOVER);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 5 * NSEC_PER_SEC);
	assert_in_range(vm->progress.tlbis, 1480, 1520);
	host_free(h);
}

/* One that was announced, beside 4095 of another user of which dirty logging was merely noticed. */
static void test_announced_beside_a_crowd(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(4000, 80, 4096, &vm);
	add_vms(h, 1, 4095, 8, true);
	for (size_t i = 1; i <= 4095; i++) {
		h->vms[i]->migration.state = VM_STATE_ACTIVE_SEEN;
		work_set_goal(h->vms[i]->work, VM_GOAL_SPLIT);
	}
	host_run_until(h, h->now + NSEC_PER_SEC);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	/* At the latest after the next tenth of a second it has its share. */
	host_run_until(h, h->now + NSEC_PER_SEC);
	assert_in_range(vm->progress.tlbis, 2600, 3100);
	host_free(h);
}

/* It has a deadline, and work until shortly before: it is met. */
static void test_deadline_beside_a_crowd(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(4000, 80, 4096, &vm);
	add_vms(h, 1, 4095, 8, true);
	for (size_t i = 1; i <= 4095; i++) {
		h->vms[i]->migration.state = VM_STATE_ACTIVE_SEEN;
		work_set_goal(h->vms[i]->work, VM_GOAL_SPLIT);
	}
	host_run_until(h, h->now + NSEC_PER_SEC);
	vm_set_deadline(vm, fake_realtime(h) + 1200000);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_in_range(info_of(vm).eta_usec, 1024000, 1200000);
	host_run_until(h, h->now + 1200 * NSEC_PER_MSEC);
	assert_int_equal(vm->progress.stage, VM_STAGE_SPLIT);
	host_free(h);
}

/* Two users, of whom one has many VMs: each has a half. */
static void test_users(void **state)
{
	uint64_t sum = 0;
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 4096, &vm);
	add_vms(h, 1, 100, 512, true);
	for (size_t i = 0; i <= 100; i++)
		work_set_goal(h->vms[i]->work, VM_GOAL_SPLIT);
	host_run_until(h, h->now + 4 * NSEC_PER_SEC);
	assert_in_range(vm->progress.tlbis, 1960, 2040);
	for (size_t i = 1; i <= 100; i++) {
		assert_in_range(h->vms[i]->progress.tlbis, 12, 28);
		sum += h->vms[i]->progress.tlbis;
	}
	assert_in_range(sum, 1960, 2040);
	host_free(h);
}

/* Where so many come that not each is cause to divide anew, each is told what it will be all the same. */
static void test_first_eta_in_a_crowd(void **state)
{
	struct fake_host *h;
	struct vm *vm;

	h = start(1000, 16, 4096, &vm);
	add_vms(h, 1, 1000, 8, true);
	for (size_t i = 1; i <= 1000; i++) {
		vm_set_deadline(h->vms[i], fake_realtime(h) + 100 * USEC_PER_SEC);
		work_set_goal(h->vms[i]->work, VM_GOAL_SPLIT);
		/* 8 TLBIs of each that came before, of which there are 1000 a second. */
		assert_in_range(info_of(h->vms[i]).eta_usec, i * 8000 * 94 / 100,
				i * 8000 * 106 / 100 + 200000);
	}
	vm_set_deadline(vm, fake_realtime(h) + 101 * USEC_PER_SEC);
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	assert_in_range(info_of(vm).eta_usec, 11400000, 12700000);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recovery_yields),
		cmocka_unit_test(test_announced_before_recovery),
		cmocka_unit_test(test_announced_beside_a_crowd),
		cmocka_unit_test(test_deadline_beside_a_crowd),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_first_eta_in_a_crowd),
	};

	return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
