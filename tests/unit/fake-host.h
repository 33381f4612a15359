/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host for the splitter's tests: VMs with memslots and blocks, a clock that
 * stands still unless told, and calls that take as long as is wanted and go
 * wrong when wanted.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include <cmocka.h>

#include "host/backend.h"
#include "splitting/splitter.h"
#include "vm/vm.h"
#include "splitting/work-private.h"
#include "splitting/work.h"
#include "service/worker.h"

#define MIB	   (UINT64_C(1) << 20)
#define GIB	   (UINT64_C(1) << 30)
#define BLOCK	   (2 * MIB)
#define SLOTS_MAX  4
#define BLOCKS_MAX 4096
#define CALLS_MAX  100000
#ifndef VMS_MAX
#define VMS_MAX 4
#endif

/* What calls are beside RUN_*. */
enum {
	FAKE_HOLD = 1 << 8,
	FAKE_RELEASE = 1 << 9,
};

struct fake_slot {
	uint64_t gpa;
	size_t n_blocks;
	bool block[BLOCKS_MAX];
	bool stubborn; /* its blocks cannot be split */
	bool logged;
};

struct fake_vm {
	struct backend_vm vm;
	struct fake_host *host;
	size_t n_slots;
	struct fake_slot slots[SLOTS_MAX];
	bool held;
	/* by another splitter */
	bool held_by_other;
	bool closed;
	/* the next calls return this, so often; by what they are, see fake_call */
	int error;
	unsigned int error_count;
	unsigned int error_flags;
	/* before a call with these flags, something happens */
	unsigned int hook_flags;
	void (*hook)(struct fake_vm *vm);
};

struct fake_call {
	struct fake_vm *vm;
	unsigned int flags; /* RUN_* or FAKE_*; 0: a survey */
	uint64_t at, gpa, size, max_tlbis, tlbis, tlbi_nsec;
	int result;
};

struct fake_host {
	struct backend backend;
	struct splitter *splitter;
	uint64_t now;
	uint64_t tick; /* by which each look at the clock is later than the one before */
	uint64_t suspended_usec;
	uint64_t timer;
	bool pump;
	uint64_t rng;
	uint64_t latency;
	/* the most blocks of a batch; where vCPUs wait, each ends somewhere before */
	uint64_t batch;
	bool vcpus_wait;
	uint64_t batch_left;
	uint64_t tlbi_nsec;
	struct job *jobs[VMS_MAX * 2];
	uint64_t due[VMS_MAX * 2];
	bool cancelled[VMS_MAX * 2];
	size_t n_jobs;
	struct vm *vms[VMS_MAX * 2];
	unsigned int states, progress, gone, left;
	/* what whoever is told of changes does */
	void (*changed)(struct vm *vm);
	size_t n_calls;
	struct fake_call calls[CALLS_MAX];
	size_t n_fakes;
};

static inline uint64_t host_random(struct fake_host *h, uint64_t below)
{
	h->rng ^= h->rng >> 12;
	h->rng ^= h->rng << 25;
	h->rng ^= h->rng >> 27;
	return below ? h->rng * UINT64_C(2685821657736338717) % below : 0;
}

static inline int fake_result(struct fake_vm *vm, unsigned int flags)
{
	if (vm->hook && vm->hook_flags == flags)
		vm->hook(vm);
	if (!vm->error_count || (vm->error_flags && !(vm->error_flags & flags)))
		return 0;
	vm->error_count--;
	return vm->error;
}

static inline struct fake_call *fake_log(struct fake_vm *vm, unsigned int flags)
{
	struct fake_host *h = vm->host;
	struct fake_call *call = &h->calls[h->n_calls++];

	assert_true(h->n_calls < CALLS_MAX);
	assert_false(vm->closed);
	*call = (struct fake_call){ .vm = vm, .flags = flags, .at = h->now };
	return call;
}

static inline int fake_survey(struct backend_vm *backend_vm, struct survey *ret)
{
	struct fake_vm *vm = (struct fake_vm *)backend_vm;
	struct fake_call *log = fake_log(vm, 0);
	struct memslot *slots;

	log->result = fake_result(vm, 0);
	if (log->result < 0)
		return log->result;
	ret->held = vm->held;
	slots = calloc(SLOTS_MAX, sizeof(*slots));
	assert_non_null(slots);
	for (size_t i = 0; i < vm->n_slots; i++) {
		const struct fake_slot *from = &vm->slots[i];
		struct memslot *slot = &slots[i];

		slot->slot = (uint32_t)i;
		slot->gpa = from->gpa;
		slot->bytes = from->n_blocks * BLOCK;
		for (size_t b = 0; b < from->n_blocks; b++)
			slot->blocks += from->block[b];
		slot->block_bytes = slot->blocks * BLOCK;
		slot->dirty_logging = from->logged;
	}
	return survey_set_memslots(ret, slots, vm->n_slots);
}

/* A block is to be changed. False: that would take a TLBI, or a pause, more than may be spent. */
static inline bool fake_spend(struct fake_host *h, struct split_call *call)
{
	bool pause = call->flags & RUN_PAUSE;
	uint64_t *spent = pause ? &call->pauses : &call->tlbis;

	if (h->batch_left == 0) {
		if (call->max_tlbis && *spent == call->max_tlbis)
			return false;
		h->batch_left = h->vcpus_wait ? 1 + host_random(h, h->batch) : h->batch;
		call->yields += h->batch_left < h->batch;
		(*spent)++;
		call->tlbi_nsec += pause ? 0 : h->tlbi_nsec;
	}
	h->batch_left--;
	return true;
}

/* Changes blocks of one memslot. False: the TLBIs are spent. */
static inline bool fake_walk(struct fake_host *h, struct fake_slot *slot, struct split_call *call)
{
	bool from = call->flags & RUN_SPLIT;
	uint64_t end = slot->gpa + slot->n_blocks * BLOCK;

	while (call->size) {
		uint64_t step;
		size_t b;

		if (call->gpa < slot->gpa || call->gpa >= end)
			return true;
		b = (call->gpa - slot->gpa) / BLOCK;
		if (slot->block[b] == from && !slot->stubborn) {
			if ((!from || (call->flags & (RUN_BREAK | RUN_PAUSE))) &&
			    !fake_spend(h, call))
				return false;
			slot->block[b] = !from;
			call->blocks++;
		}
		step = min_u64(slot->gpa + (b + 1) * BLOCK - call->gpa, call->size);
		call->gpa += step;
		call->size -= step;
	}
	return true;
}

static inline int fake_set_hold(struct backend_vm *backend_vm, unsigned int flags)
{
	struct fake_vm *vm = (struct fake_vm *)backend_vm;
	struct fake_call *log = fake_log(vm, flags);

	log->result = fake_result(vm, flags);
	if (log->result == 0)
		vm->held = flags == FAKE_HOLD;
	return log->result;
}

static inline int fake_hold(struct backend_vm *vm)
{
	return fake_set_hold(vm, FAKE_HOLD);
}

static inline int fake_release(struct backend_vm *vm)
{
	return fake_set_hold(vm, FAKE_RELEASE);
}

static inline int fake_run(struct backend_vm *backend_vm, struct split_call *call)
{
	struct fake_vm *vm = (struct fake_vm *)backend_vm;
	struct fake_call *log = fake_log(vm, call->flags);
	bool whole = true;

	log->gpa = call->gpa;
	log->size = call->size;
	log->max_tlbis = call->max_tlbis;
	log->result = fake_result(vm, call->flags & ~(unsigned int)RUN_BREAK);
	if (log->result < 0)
		return log->result;
	assert_true(call->size > 0);
	if ((call->flags & RUN_RECOVER) && (vm->held || vm->held_by_other))
		return log->result = -EBUSY;
	vm->host->batch_left = 0;
	for (size_t i = 0; i < vm->n_slots && whole; i++)
		whole = fake_walk(vm->host, &vm->slots[i], call);
	log->tlbis = call->tlbis;
	log->tlbi_nsec = call->tlbi_nsec;
	if (whole) {
		call->gpa += call->size;
		call->size = 0;
	}
	return 0;
}

static inline void fake_close(struct backend_vm *backend_vm)
{
	((struct fake_vm *)backend_vm)->closed = true;
}

static const struct backend_ops fake_ops = {
	.name = "fake",
	.close_vm = fake_close,
	.survey = fake_survey,
	.hold = fake_hold,
	.release = fake_release,
	.run = fake_run,
};

static inline uint64_t fake_now(void *userdata)
{
	struct fake_host *h = userdata;

	return h->now += h->tick;
}

/* Since the other clock has begun, which stands still while the host is suspended. */
static inline uint64_t fake_realtime(void *userdata)
{
	return fake_now(userdata) / NSEC_PER_USEC + ((struct fake_host *)userdata)->suspended_usec;
}

static inline void fake_set_timer(void *userdata, uint64_t at)
{
	((struct fake_host *)userdata)->timer = at;
}

static inline void fake_pump(void *userdata)
{
	((struct fake_host *)userdata)->pump = true;
}

static inline void fake_submit(void *userdata, struct job *job)
{
	struct fake_host *h = userdata;

	assert_true(h->n_jobs < ARRAY_SIZE(h->jobs));
	for (size_t i = 0; i < h->n_jobs; i++)
		assert_ptr_not_equal(h->jobs[i], job);
	h->cancelled[h->n_jobs] = false;
	h->due[h->n_jobs] = h->now + host_random(h, h->latency + 1);
	h->jobs[h->n_jobs++] = job;
}

/* Now and then the call had begun already: then it runs, and ends now. */
static inline void fake_cancel(void *userdata, struct job *job)
{
	struct fake_host *h = userdata;

	for (size_t i = 0; i < h->n_jobs; i++) {
		if (h->jobs[i] != job)
			continue;
		h->cancelled[i] = h->latency ? host_random(h, 2) : true;
		h->due[i] = h->now;
		return;
	}
	fail_msg("cancelled a job that is not in flight");
}

static inline void fake_changed(void *userdata, struct vm *vm, enum vm_change what)
{
	struct fake_host *h = userdata;

	if (what == VM_CHANGE_STATE)
		h->states++;
	else if (what == VM_CHANGE_PROGRESS)
		h->progress++;
	if (h->changed)
		h->changed(vm);
}

static inline void fake_gone(void *userdata, struct vm *vm)
{
	((struct fake_host *)userdata)->gone++;
	work_leave(vm->work, false);
}

static inline void fake_left(void *userdata, struct vm *vm)
{
	struct fake_host *h = userdata;

	for (size_t i = 0; i < ARRAY_SIZE(h->vms); i++)
		if (h->vms[i] == vm)
			h->vms[i] = NULL;
	work_free(vm->work);
	vm_free(vm);
	h->left++;
}

static const struct splitter_ops fake_splitter_ops = {
	.work = {
		.now = fake_now,
		.submit = fake_submit,
		.cancel = fake_cancel,
		.pump = fake_pump,
		.changed = fake_changed,
		.gone = fake_gone,
		.left = fake_left,
	},
	.realtime = fake_realtime,
	.set_timer = fake_set_timer,
};

static inline struct fake_host *host_new(uint64_t rate, uint64_t burst, bool throttled)
{
	struct work_limits limits = {
		.host = { .rate = rate, .burst = burst },
		.batch = 1,
		.method = throttled ? WORK_BREAK : WORK_NO_BREAK,
	};
	struct fake_host *h;

	h = calloc(1, sizeof(*h));
	assert_non_null(h);
	h->backend.ops = &fake_ops;
	h->now = 1000 * NSEC_PER_SEC;
	h->timer = UINT64_MAX;
	h->rng = 42;
	h->batch = 1;
	assert_int_equal(splitter_new(&h->splitter, &fake_splitter_ops, h, &limits), 0);
	return h;
}

static inline void host_free(struct fake_host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(h->vms); i++) {
		if (!h->vms[i])
			continue;
		work_free(h->vms[i]->work);
		vm_free(h->vms[i]);
	}
	splitter_free(h->splitter);
	free(h);
}

/* A VM with one memslot at 1 GiB, of @n_blocks blocks. */
static inline void fake_vm_init(struct fake_vm *vm, struct fake_host *h, size_t n_blocks)
{
	memset(vm, 0, sizeof(*vm));
	vm->vm.backend = &h->backend;
	vm->vm.fd = -1;
	vm->vm.id = h->n_fakes + 1;
	vm->host = h;
	vm->n_slots = 1;
	vm->slots[0].gpa = GIB;
	vm->slots[0].n_blocks = n_blocks;
	memset(vm->slots[0].block, true, n_blocks);
}

static inline struct vm *host_add_vm(struct fake_host *h, struct fake_vm *fake, pid_t pid)
{
	struct vm *vm;

	assert_int_equal(vm_new(&vm, &fake->vm, pid, (int)h->n_fakes++, h), 0);
	fake->closed = false;
	assert_int_equal(work_new(&vm->work, &h->splitter->group, vm), 0);
	for (size_t i = 0; i < ARRAY_SIZE(h->vms); i++) {
		if (!h->vms[i]) {
			h->vms[i] = vm;
			return vm;
		}
	}
	fail_msg("too many VMs");
	return NULL;
}

/* What is to be done before the loop waits. */
static inline void host_settle(struct fake_host *h)
{
	while (h->pump) {
		h->pump = false;
		splitter_pump(h->splitter);
	}
}

/* Ends the call that is due first, at its time. False: none is in flight. */
static inline bool host_end_call(struct fake_host *h)
{
	size_t first = 0, last;
	struct job *job;
	int r = -EINTR;

	host_settle(h);
	if (!h->n_jobs)
		return false;
	for (size_t i = 1; i < h->n_jobs; i++)
		if (h->due[i] < h->due[first])
			first = i;
	job = h->jobs[first];
	h->now = max_u64(h->now, h->due[first]);
	if (!h->cancelled[first])
		r = job->run(job);
	last = --h->n_jobs;
	h->jobs[first] = h->jobs[last];
	h->due[first] = h->due[last];
	h->cancelled[first] = h->cancelled[last];
	job->done(job, r);
	host_settle(h);
	return true;
}

/* The next thing that happens, a call's end or the timer. False: nothing ever. */
static inline bool host_step(struct fake_host *h)
{
	uint64_t due = UINT64_MAX, at;

	host_settle(h);
	for (size_t i = 0; i < h->n_jobs; i++)
		due = min_u64(due, h->due[i]);
	if (h->timer < due) {
		at = h->timer;
		h->now = max_u64(h->now, at);
		h->timer = UINT64_MAX;
		splitter_on_timer(h->splitter);
		host_settle(h);
		return true;
	}
	return host_end_call(h);
}

static inline void host_run(struct fake_host *h)
{
	while (host_step(h))
		;
}

static inline void host_run_until(struct fake_host *h, uint64_t until)
{
	uint64_t next;

	for (;;) {
		host_settle(h);
		next = h->timer;
		for (size_t i = 0; i < h->n_jobs; i++)
			next = min_u64(next, h->due[i]);
		if (next > until)
			break;
		host_step(h);
	}
	h->now = max_u64(h->now, until);
}

static inline uint64_t fake_count_blocks(const struct fake_vm *vm)
{
	uint64_t n = 0;

	for (size_t i = 0; i < vm->n_slots; i++)
		for (size_t b = 0; b < vm->slots[i].n_blocks; b++)
			n += vm->slots[i].block[b];
	return n;
}

static inline struct vm_info info_of(const struct vm *vm)
{
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	return info;
}

#define SPLIT	     (RUN_SPLIT | RUN_BREAK)
#define SPLIT_FREELY RUN_SPLIT

static struct fake_vm fakes[VMS_MAX];

static inline size_t count_calls(const struct fake_host *h, unsigned int flags)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_calls; i++)
		n += h->calls[i].flags == flags;
	return n;
}

/* A host with one VM of @n_blocks, surveyed. */
static inline struct fake_host *start(uint64_t rate, uint64_t burst, size_t n_blocks,
				      struct vm **ret)
{
	struct fake_host *h = host_new(rate, burst, true);

	fake_vm_init(&fakes[0], h, n_blocks);
	*ret = host_add_vm(h, &fakes[0], 1);
	host_run(h);
	assert_int_equal(h->n_calls, 1);
	assert_int_equal(h->calls[0].flags, 0);
	return h;
}

static inline void set_error(struct fake_vm *vm, int error, unsigned int count, unsigned int flags)
{
	vm->error = error;
	vm->error_count = count;
	vm->error_flags = flags;
}

#endif /* FAKE_HOST_H */
