/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated host, which tells what a test says, and whose calls end when it says so. */
#ifndef TOLD_HOST_H
#define TOLD_HOST_H

#include "unit/manager-fixture.h"

/*
 * The simulated host, of which the test tells what happens. Looks at processes are
 * counted, and one in a thread that is not the loop's can be made to last; as can be a
 * call that splits, whatever interrupts it. Looks may be refused.
 */
static struct {
	struct backend_ops ops;
	int (*list_vms)(struct backend *backend, int pidfd, pid_t pid, int numbers[]);
	host_event_fn event;
	void *userdata;
	pthread_t loop;
	atomic_uint in_loop, in_thread;
	atomic_int other; /* of which looks are counted apart */
	atomic_uint at_other;
	atomic_bool last;
	sem_t looked, go_on;
	atomic_int refuses; /* looks, with that errno; 0: it does not */
	int (*run)(struct backend_vm *vm, struct split_call *call);
	atomic_bool no_end;
	sem_t splits, end;
	int (*survey)(struct backend_vm *vm, struct survey *ret);
	atomic_bool no_survey;
} told;

static inline int told_watch(struct backend *backend, sd_event *event, host_event_fn fn,
			     void *userdata)
{
	told.event = fn;
	told.userdata = userdata;
	return 0;
}

static int told_list_vms(struct backend *backend, int pidfd, pid_t pid,
			 int numbers[BACKEND_VMS_MAX])
{
	int n = told.refuses ? -told.refuses : told.list_vms(backend, pidfd, pid, numbers);

	if (pthread_equal(pthread_self(), told.loop)) {
		told.in_loop++;
		return n;
	}
	told.in_thread++;
	told.at_other += pid == told.other;
	if (atomic_exchange(&told.last, false)) {
		sem_post(&told.looked);
		sem_wait(&told.go_on);
	}
	return n;
}

static inline int told_run(struct backend_vm *vm, struct split_call *call)
{
	if (call->flags & RUN_SPLIT && atomic_exchange(&told.no_end, false)) {
		sem_post(&told.splits);
		while (sem_wait(&told.end) < 0)
			;
	}
	return told.run(vm, call);
}

static inline int told_survey(struct backend_vm *vm, struct survey *ret)
{
	return told.no_survey ? -ENODEV : told.survey(vm, ret);
}

static inline struct backend *wrap_told(struct backend *backend)
{
	told.ops = *backend->ops;
	told.list_vms = told.ops.list_vms;
	told.ops.list_vms = told_list_vms;
	told.ops.watch = told_watch;
	told.run = told.ops.run;
	told.ops.run = told_run;
	told.no_end = false;
	told.survey = told.ops.survey;
	told.ops.survey = told_survey;
	told.no_survey = false;
	assert_int_equal(sem_init(&told.splits, 0, 0), 0);
	assert_int_equal(sem_init(&told.end, 0, 0), 0);
	told.loop = pthread_self();
	told.in_loop = 0;
	told.in_thread = 0;
	told.other = 0;
	told.at_other = 0;
	told.last = false;
	told.refuses = 0;
	assert_int_equal(sem_init(&told.looked, 0, 0), 0);
	assert_int_equal(sem_init(&told.go_on, 0, 0), 0);
	backend->ops = &told.ops;
	return backend;
}

/* A VM, "a", that is in the middle of a call, whatever happens, until told.end. */
static inline pid_t start_in_a_call(struct fixture *f)
{
	struct vm *vm;

	start_on(f, SIM_STUCK, wrap_told);
	begin(f);
	vm = add_vm(f, "a");
	told.no_end = true;
	assert_int_equal(tell(f, vm, VM_MIGRATION_SCHEDULED), 0);
	while (f->progress < 3)
		run_once(f);
	while (sd_event_run(f->event, 0) > 0)
		;
	sem_wait(&told.splits);
	return info_of(vm).pid;
}

#endif /* TOLD_HOST_H */
