// SPDX-License-Identifier: GPL-2.0-or-later
#include "stress.h"

#include <errno.h>
#include <linux/kvm_eager_split.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../workload.h"
#include "cleanup.h"
#include "harvest.h"

/*
 * @fd: the VM's splitter, -1 if nothing is split or recovered
 * @splitting: the thread below runs
 * @steps: the calls that it has made, and one more when it ends
 * @disturber: the other thread, if @disturbing; @disturb_end tells it to end;
 *	@beside_lock: held by whoever has to do with the memslot beside
 */
struct run {
	struct vm *vm;
	unsigned int number;
	const struct stress *stress;
	struct stress_result *result;
	int fd;
	pthread_t splitter;
	bool splitting;
	atomic_uint_fast64_t steps;
	int split_err;
	pthread_t disturber;
	bool disturbing;
	atomic_bool disturb_end;
	pthread_mutex_t beside_lock;
};

/* Splits whatever there is, some blocks a call, and ends at the end of memory. */
static void *split_all(void *data)
{
	struct run *run = data;
	struct kvm_arm_split_run split = {
		.flags = run->stress->split,
		.max_tlbis = run->stress->max_tlbis,
		.max_blocks = run->stress->max_blocks,
	};

	do {
		if (ioctl(run->fd, KVM_ARM_SPLIT_RUN, &split)) {
			run->split_err = -errno;
			break;
		}
		run->result->calls++;
		run->result->blocks += split.blocks;
		run->result->tlbis += split.tlbis;
		atomic_fetch_add(&run->steps, 1);
	} while (split.size);
	atomic_fetch_add(&run->steps, 1);
	return NULL;
}

static int start_splitting(struct run *run)
{
	int err;

	if (!run->stress->split)
		return 0;
	if (ioctl(run->fd, KVM_ARM_SPLIT_HOLD, 0))
		return -errno;
	err = -pthread_create(&run->splitter, NULL, split_all, run);
	run->splitting = !err;
	return err;
}

/* So that some of it is done before the vCPUs' faults would do it. */
static void wait_for_first_split(struct run *run)
{
	while (run->splitting && !atomic_load(&run->steps))
		sched_yield();
}

static int join_splitting(struct run *run)
{
	if (!run->splitting)
		return 0;
	pthread_join(run->splitter, NULL);
	run->splitting = false;
	return run->split_err;
}

static int recover_all(struct run *run)
{
	struct kvm_arm_split_run recover = { .flags = run->stress->recover };

	if (!run->stress->recover)
		return 0;
	if (ioctl(run->fd, KVM_ARM_SPLIT_RELEASE, 0))
		return -errno;
	return ioctl(run->fd, KVM_ARM_SPLIT_RUN, &recover) ? -errno : 0;
}

/* Until a vCPU has done something, so that there is something to take away again. */
static void wait_for_any_work(struct run *run)
{
	uint64_t from = vm_done(run->vm, 0);

	while (!atomic_load(&run->disturb_end) && vm_done(run->vm, 0) < from + 8 &&
	       vm_done(run->vm, 0) >= from)
		sched_yield();
}

/*
 * In steps: of a 32nd of a block, of two blocks' halves, of all. None of it takes anything
 * from the guest.
 */
static const struct {
	uint64_t first, pages;
} parts[] = { { 16, 16 }, { 256, 512 }, { 0, 0 }, { 0, 512 } };

/* A change of protection takes pages out of stage 2. Then huge pages are made again. */
static int disturb_anonymous(struct run *run, uint64_t i)
{
	uint64_t step = run->stress->step;
	int err;

	err = vm_slot_protect(run->vm, run->number, parts[i % 4].first * step,
			      parts[i % 4].pages * step, i / 4 % 2);
	if (!err && i % 4 == 3)
		run->result->collapsed +=
			!vm_slot_advise(run->vm, run->number, 0, 0, MADV_COLLAPSE);
	return err;
}

/*
 * In whole blocks. The file keeps what was in them. Linux 6.1 warns, where lockdep is on,
 * if a mapping of huge pages is unmapped in part: all of it is.
 */
static int disturb_file(struct run *run, uint64_t i)
{
	if (i % 2)
		return vm_slot_remap(run->vm, run->number, 0, 0);
	return vm_slot_advise(run->vm, run->number, 0, i / 2 % 2 ? 0 : 512 * run->stress->step,
			      MADV_DONTNEED);
}

/*
 * What happens to the memslot beside is up to chance, as nobody relies on it. It is dropped
 * now and then only: KSM takes three looks at pages to merge them.
 */
static void disturb_beside(struct run *run, uint64_t i)
{
	static const int advices[] = { MADV_HUGEPAGE, MADV_COLLAPSE, MADV_MERGEABLE };

	if (!run->stress->beside)
		return;
	pthread_mutex_lock(&run->beside_lock);
	vm_slot_move(run->vm, run->stress->beside, STRESS_BESIDE + (i % 2 ? 0 : 1ull << 30));
	if (i % 16 < 3)
		vm_slot_advise(run->vm, run->stress->beside, 0, 0, advices[i % 16]);
	else if (i % 64 == 63)
		vm_slot_advise(run->vm, run->stress->beside, 0, 0, MADV_DONTNEED);
	pthread_mutex_unlock(&run->beside_lock);
}

static void *disturb(void *data)
{
	struct run *run = data;
	bool has_file = !vm_slot_remap(run->vm, run->number, 0, 0);
	uint64_t i;

	for (i = 0; !atomic_load(&run->disturb_end); i++) {
		if (has_file ? disturb_file(run, i) : disturb_anonymous(run, i))
			break;
		disturb_beside(run, i);
		run->result->disturbed++;
		wait_for_any_work(run);
	}
	return NULL;
}

/* Has it mapped in stage 2, with the vCPUs idle, its pages equal and small ones. */
static int fill_beside(struct run *run)
{
	const struct vm_work read_all = { .command = GUEST_CHECKSUM, .step = 1 };
	struct vm_slot_view view;
	int err;

	if (!run->stress->beside)
		return 0;
	pthread_mutex_lock(&run->beside_lock);
	err = vm_slot_view(run->vm, run->stress->beside, &view);
	if (!err) {
		memset((void *)view.memory, 0x5a, view.pages * WORKLOAD_PAGE_SIZE);
		err = vm_work(run->vm, run->stress->beside, &read_all);
	}
	pthread_mutex_unlock(&run->beside_lock);
	return err;
}

static int start_disturbing(struct run *run)
{
	int err = run->stress->disturb ? -pthread_create(&run->disturber, NULL, disturb, run) : 0;

	run->disturbing = run->stress->disturb && !err;
	return err;
}

static void end_disturbing(struct run *run)
{
	atomic_store(&run->disturb_end, true);
	if (run->disturbing)
		pthread_join(run->disturber, NULL);
}

static int start_vcpus(struct run *run)
{
	const struct vm_work work = {
		.command = GUEST_RUN,
		.step = run->stress->step,
		.write_every = run->stress->write_every * run->stress->step,
	};

	return vm_start(run->vm, run->number, &work);
}

/* Until each vCPU has dealt with so many pages more. */
static void let_vcpus_work(const struct run *run)
{
	uint64_t from[GUEST_MAX_VCPUS];
	unsigned int i;

	for (i = 0; i < vm_n_vcpus(run->vm); i++)
		from[i] = vm_done(run->vm, i);
	for (i = 0; i < vm_n_vcpus(run->vm); i++) {
		while (vm_done(run->vm, i) - from[i] < run->stress->progress)
			sched_yield();
	}
}

static int collect(struct run *run)
{
	uint64_t logged = 0;
	int err = harvest_collect(run->vm, run->number, run->stress->manual, 0, 0, &logged);

	run->result->logged += logged;
	return err;
}

static int check(struct run *run)
{
	struct stress_result *result = run->result;
	struct harvest_check found;
	int err = harvest_check(run->vm, run->number, run->stress->manual, &found);

	if (found.missing) {
		result->missing += found.missing;
		result->missing_page = found.missing_page;
		result->missing_round = result->rounds;
	}
	result->logged += found.logged;
	return err;
}

static int one_round(struct run *run, bool split_now)
{
	uint64_t bad_page;
	int err = 0;

	if (split_now)
		err = start_splitting(run);
	let_vcpus_work(run);
	if (!err)
		err = collect(run);
	let_vcpus_work(run);
	if (!err)
		err = vm_stop(run->vm);
	if (!err)
		err = check(run);
	run->result->errors += vm_errors(run->vm, &bad_page);
	run->result->rounds++;
	return err;
}

/* From blocks without logging, through rounds with it, back to blocks. */
static int one_cycle(struct run *run, uint64_t number)
{
	/* Splitting begins before logging does, or in one of the rounds. */
	uint64_t split_at = number % (run->stress->cycle + 1), round;
	int err, joined;

	err = fill_beside(run);
	if (!err)
		err = start_vcpus(run);
	if (!err && !split_at) {
		atomic_store(&run->steps, 0);
		err = start_splitting(run);
		wait_for_first_split(run);
	}
	if (!err)
		err = vm_slot_log(run->vm, run->number, true);
	if (!err)
		err = harvest_begin(run->vm, run->number);
	for (round = 0; round < run->stress->cycle && !err; round++) {
		if (round)
			err = start_vcpus(run);
		if (!err)
			err = one_round(run, round + 1 == split_at);
	}
	joined = join_splitting(run);
	if (!err)
		err = joined;
	if (!err)
		err = vm_slot_log(run->vm, run->number, false);
	return err ? err : recover_all(run);
}

int stress_run(struct vm *vm, unsigned int number, const struct stress *stress,
	       struct stress_result *result)
{
	struct run run = { .vm = vm, .number = number, .stress = stress, .result = result };
	auto_fd fd = -1;
	struct vm_slot_view view;
	uint64_t cycle;
	int err;

	*result = (struct stress_result){ 0 };
	if (!stress->cycle || !stress->step)
		return -EINVAL;
	err = vm_slot_view(vm, number, &view);
	if (err)
		return err;
	if (stress->split || stress->recover) {
		fd = ioctl(vm_fd(vm), KVM_ARM_SPLIT_FD, 0);
		if (fd < 0)
			return -errno;
	}
	run.fd = fd;
	pthread_mutex_init(&run.beside_lock, NULL);
	err = start_disturbing(&run);
	for (cycle = 0; result->rounds < stress->rounds && !err; cycle++)
		err = one_cycle(&run, cycle);
	end_disturbing(&run);
	return err;
}
