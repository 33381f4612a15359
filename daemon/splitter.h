/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spends the budget on VMs. For each VM there is a struct work with a goal; at
 * most one call of it is in flight at a time, and from what that returned
 * follows the next one. Knows neither event loop nor threads nor clock: those
 * come through struct splitter_ops.
 */
#ifndef EAGERSPLITD_SPLITTER_H
#define EAGERSPLITD_SPLITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"
#include "vm-state.h"

struct job;
struct splitter;
struct work;

/**
 * struct splitter_ops - what the splitter needs, and whom it tells
 * @now: CLOCK_MONOTONIC in nanoseconds, read at that moment (see budget.h)
 * @set_timer: has splitter_on_timer() called at that time; UINT64_MAX: never
 * @submit: has the job run in a thread
 * @cancel: has the job end soon
 * @changed: of a VM's stage or progress; the last thing that is done there
 * @gone: the host says that the VM is no more; may call work_leave()
 * @left: what work_leave() began is done; may free the work
 */
struct splitter_ops {
	uint64_t (*now)(void *userdata);
	void (*set_timer)(void *userdata, uint64_t at);
	void (*submit)(void *userdata, struct job *job);
	void (*cancel)(void *userdata, struct job *job);
	void (*changed)(void *userdata, struct vm *vm, enum vm_change what);
	void (*gone)(void *userdata, struct vm *vm);
	void (*left)(void *userdata, struct vm *vm);
};

/**
 * struct splitter_limits - how fast, and in which way
 * @rate: TLBIs a second for the host, 0: no limit
 * @burst: the most at once, at least 1
 * @vm_rate: ceiling for each VM, 0: none
 * @throttled: splits cost TLBIs of their own, that is, they go by
 *	       break-before-make, if need be by being told so
 */
struct splitter_limits {
	uint64_t rate;
	uint64_t burst;
	uint64_t vm_rate;
	bool throttled;
};

/* 0 or -ENOMEM. @ops outlives the splitter. */
int splitter_new(struct splitter **ret, const struct splitter_ops *ops, void *userdata,
		 const struct splitter_limits *limits);

/* Frees @s, all of whose works have been freed. Returns NULL. */
struct splitter *splitter_free(struct splitter *s);
DEFINE_CLEANUP(struct splitter *, splitter_free);

/* What holds from the next call of each VM on. */
void splitter_set_limits(struct splitter *s, const struct splitter_limits *limits);

void splitter_on_timer(struct splitter *s);

/* TLBIs spent and blocks split since the start. */
void splitter_get_totals(const struct splitter *s, uint64_t *ret_tlbis, uint64_t *ret_blocks);

/*
 * Creates the work for @vm, which outlives it, and begins with a survey. 0 or
 * -ENOMEM.
 */
int work_new(struct work **ret, struct splitter *s, struct vm *vm);

/* Frees @work, no call of which is in flight (or ever comes back). Returns NULL. */
struct work *work_free(struct work *work);
DEFINE_CLEANUP(struct work *, work_free);

/*
 * Sets what to work towards; what is in flight for something else is
 * interrupted. The goal it has already: takes up what had failed, and checks
 * what was reached.
 */
void work_set_goal(struct work *work, enum vm_goal goal);

/* vm->tlbi_rate has changed. */
void work_update_ceiling(struct work *work);

/* See manager_survey_vm(). */
int work_survey(struct work *work);

/*
 * Ends all work: interrupts what is in flight, then releases the hold (not if
 * the VM is @gone), closes the VM, and calls left(), maybe at once. Works of
 * the same process that are created meanwhile wait for that.
 */
void work_leave(struct work *work, bool gone);

/* Whether it can be told when the VM will be split, and in how long. */
bool work_get_eta(const struct work *work, uint64_t *ret_usec);

#endif /* EAGERSPLITD_SPLITTER_H */
