/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done about a VM. It has a goal; at most one call is in flight at a
 * time, and from what that returned follows the next one.
 */
#ifndef EAGERSPLITD_WORK_H
#define EAGERSPLITD_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agenda.h"
#include "base/util.h"
#include "batching.h"
#include "host/backend.h"
#include "vm.h"
#include "vm-state.h"
#include "walk.h"
#include "work-group.h"
#include "worker.h"

struct budget_client;

/**
 * struct work - what is done about a VM
 * @job: the call in flight, if any
 * @step: what that call is for, STEP_NONE: none is in flight
 * @stale: the goal has changed since it began
 * @granted: it has a grant of the budget
 * @began: when it did
 * @took: how long that call took in its thread, in nanoseconds; UINT64_MAX: it
 *	  did not come to that
 * @call: its argument, unless it is a survey
 * @range: what it is to deal with, or the next one is
 * @survey: its result, if it is a survey
 * @held: our splitter holds the VM
 * @may_hold: it does, or that is not known
 * @want_survey: survey next
 * @surveyed_at: when the last survey ended, 0: there was none
 * @look_at: survey at that time, 0: not until there is a reason
 * @looks: surveys in a row that saw no memory
 * @walk: since the goal was set
 * @retries: failures in a row
 * @failing: it has failed so far, and goes on trying
 * @let_go: until it does, it shall not be held
 * @not_before: no call before that time, 0: at any
 * @speed: blocks split a second while calls run, 0: not known
 * @batching: of its blocks
 * @division: the last division that it was part of
 * @share: TLBIs a second that it has by that
 * @ahead: TLBIs of works with earlier deadlines, by that
 * @turn: TLBIs a second that it and those have, 0: it has no deadline
 * @shares: it is in the group's list of these
 * @retry: on the group's agenda: when it is to go on after a failure, or to look again
 * @leaving: work_leave() was called
 * @release: and the hold is to end with it
 */
struct work {
	struct work_group *group;
	struct vm *vm;
	struct budget_client *client;
	enum vm_goal goal;

	struct job job;
	enum step step;
	bool stale;
	bool granted;
	uint64_t began;
	uint64_t took;
	struct split_call call;
	struct walk_range range;
	struct survey survey;

	bool held;
	bool may_hold;
	bool want_survey;
	uint64_t surveyed_at;
	uint64_t look_at;
	unsigned int looks;
	struct walk walk;
	unsigned int retries;
	bool failing;
	bool let_go;
	uint64_t not_before;
	double speed;
	struct batching batching;
	uint64_t division;
	double share;
	uint64_t ahead;
	double turn;
	bool shares;
	LIST_ENTRY(work) sharing;
	struct agenda_entry retry;
	bool leaving;
	bool release;
	TAILQ_ENTRY(work) link;
};

/*
 * Creates the work for @vm, which outlives it, and begins with a survey. 0 or
 * -ENOMEM.
 */
int work_new(struct work **ret, struct work_group *group, struct vm *vm);

/* Frees @work, no call of which is in flight (or ever comes back). Returns NULL. */
struct work *work_free(struct work *work);
DEFINE_CLEANUP(struct work *, work_free);

/*
 * Sets what to work towards; what is in flight for something else is
 * interrupted. The goal it has already: takes up what had failed, and checks
 * what was reached. What fails for want of something, or because others hold the VM, is tried
 * again for as long as that is the goal.
 */
void work_set_goal(struct work *work, enum vm_goal goal);

/* Takes up @goal with a splitter of which it is not known whether it holds the VM. */
void work_resume(struct work *work, enum vm_goal goal);

/*
 * Begins the goal's walk anew, whether it has ended or not: memory that was
 * out of its reach may be within now.
 */
void work_repeat(struct work *work);

/* vm->migration.tlbi_rate has changed. */
void work_update_ceiling(struct work *work);

/* Has the VM surveyed as it is from now on, even if a survey is under way. */
void work_look(struct work *work);

/* See manager_survey_vm() and manager_is_surveying_vm(). */
int work_survey(struct work *work);
bool work_is_surveying(const struct work *work);

/*
 * Ends all work: interrupts what is in flight, releases the hold if that is to be, and
 * calls left(), maybe at once.
 */
void work_leave(struct work *work, bool release);

/* The TLBIs that it will take to split what is left, by what is known of its batches. */
uint64_t work_count_tlbis(const struct work *work);

/* The most TLBIs a second that it can use, whatever the budget; INFINITY: any number. */
double work_get_limit(const struct work *work);

/* Does the next step, if there is one, or asks the budget for it. */
void work_step(struct work *work);

/* Goes on with what the budget has granted. */
void work_granted(struct work *work, uint64_t tlbis);

#endif /* EAGERSPLITD_WORK_H */
