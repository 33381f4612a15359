// SPDX-License-Identifier: GPL-2.0-or-later
/* How the budget gets to VMs: shares, deadlines, batches; and lives at random. */
#include "unit/fake-host.h"
#include "splitting/work-eta.h"

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

/* A tenth of a second, in which the call splits what it is to. */
static void hook_slow(struct fake_vm *vm)
{
	vm->host->now += 100 * NSEC_PER_MSEC;
}

/* Where the host takes longer than the budget asks for, the ETA is what was measured: no more, no less. */
static void test_eta_of_a_slow_host(void **state)
{
	struct fake_host *h;
	uint64_t at, eta;
	struct vm *vm;

	h = start(10000, 100, 2000, &vm);
	fakes[0].hook = hook_slow;
	fakes[0].hook_flags = RUN_SPLIT;
	work_set_goal(vm->work, VM_GOAL_SPLIT);
	while (info_of(vm).blocks_split < 500)
		host_step(h);
	at = h->now;
	eta = info_of(vm).eta_usec;
	host_run(h);
	assert_int_equal(info_of(vm).stage, VM_STAGE_SPLIT);
	assert_in_range(eta, (h->now - at) / NSEC_PER_USEC * 9 / 10,
			(h->now - at) / NSEC_PER_USEC * 11 / 10);
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

/* What a VM got for its deadline it gets no longer than it has that. */
static void test_deadline_taken_back(void **state)
{
	struct fake_host *h;
	struct vm *vms[2];

	h = start_with_deadlines(7, 0, vms);
	host_run_until(h, h->now + 2 * NSEC_PER_SEC);
	assert_true(vms[0]->progress.tlbis > 170);
	vm_set_deadline(vms[0], UINT64_MAX);
	work_update_ceiling(vms[0]->work);
	vms[0]->progress.tlbis = vms[1]->progress.tlbis = 0;
	host_run_until(h, h->now + 2 * NSEC_PER_SEC);
	assert_in_range(vms[0]->progress.tlbis, 95, 105);
	assert_in_range(vms[1]->progress.tlbis, 95, 105);
	host_free(h);
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
				      .method = WORK_BREAK };
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
		.method = WORK_BREAK,
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
			  (unsigned int)host_random(h, 3), RUN_SPLIT | RUN_RECOVER);
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
			work_leave(vms[i]->work, true);
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
		cmocka_unit_test(test_eta_and_deadline),
		cmocka_unit_test(test_eta_of_a_slow_host),
		cmocka_unit_test(test_two_share),
		cmocka_unit_test(test_deadline_taken_back),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_deadline_that_has_passed),
		cmocka_unit_test(test_deadline_that_comes_closer),
		cmocka_unit_test(test_limits_of_every_vm),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_batches_cut_short),
		cmocka_unit_test(test_load_is_shared),
		cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests_name("splitter", tests, NULL, NULL);
}
