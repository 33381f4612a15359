// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/work-result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/transient.h"
#include "budget/budget.h"
#include "splitting/work-private.h"

/* Calls that failed for want of memory, say, or got nowhere, in a row: it has failed. */
#define RETRIES_MAX    8
#define RETRY_MIN_NSEC (100 * NSEC_PER_MSEC)
#define RETRY_MAX_NSEC (5 * NSEC_PER_SEC)

/* Walks in a row that split nothing, though the survey saw blocks: give up. */
#define IDLE_PASSES_MAX 3

/*
 * A VM is found when its VMM has created it, and gets its memory a little
 * later: so many times, and in ever longer intervals, is it surveyed again.
 */
#define LOOKS_MAX     10
#define LOOK_MIN_NSEC (500 * NSEC_PER_MSEC)

/* How much of the measured speed is what the last call showed. */
#define SPEED_GAIN 0.25

static void work_fail(struct work *w, const char *error)
{
	vm_set_stage(w->vm, VM_STAGE_FAILED, error);
	w->walk.active = false;
	w->want_survey = false;
	w->failing = false;
}

/* In a while, in a longer one each time. */
static void work_pause(struct work *w)
{
	uint64_t pause = min_u64(RETRY_MIN_NSEC << w->retries, RETRY_MAX_NSEC);

	w->retries += w->retries < RETRIES_MAX;
	w->not_before = work_group_now(w->group) + pause;
}

/* Tries again, until it is enough. */
static void work_retry(struct work *w, const char *error)
{
	if (w->retries >= RETRIES_MAX)
		work_fail(w, error);
	else
		work_pause(w);
}

/*
 * Tries again for as long as the VM is there, and says after a while that it has failed so far.
 * Until the next try it is let go of, unless it is that which has failed.
 */
static void work_persist(struct work *w, enum step step, const char *error)
{
	if (w->retries >= RETRIES_MAX && !w->failing) {
		work_fail(w, error);
		w->failing = true;
	}
	w->let_go = w->failing && step != STEP_RELEASE;
	w->want_survey = w->want_survey || w->failing;
	work_pause(w);
}

/* @r is an error that does not mean that the VM is gone. */
static void work_handle_error(struct work *w, enum step step, int r)
{
	char error[128];

	if (r == -ENOMEM)
		snprintf(error, sizeof(error), "Not enough memory to %s%s", step_to_string(step),
			 step == STEP_SPLIT ? " (page tables are charged to the VM's cgroup)" : "");
	else if (r == -EBUSY && step == STEP_RECOVER)
		snprintf(error, sizeof(error), "The VM is held by another process");
	else
		snprintf(error, sizeof(error), "Cannot %s: %s", step_to_string(step), strerror(-r));
	if (error_is_transient(r))
		work_persist(w, step, error);
	else if (r != -EINTR)
		work_fail(w, error);
	/* What did not take place is still to be done, and so is what is tried again. */
	if (step == STEP_SURVEY &&
	    (w->vm->progress.stage != VM_STAGE_FAILED || (r == -EINTR && w->failing)))
		w->want_survey = true;
}

/* One that has no memory yet will be given some. */
static void work_plan_look(struct work *w)
{
	w->look_at = 0;
	if (w->vm->progress.survey.n_slots)
		w->looks = 0;
	else if (w->looks < LOOKS_MAX)
		w->look_at = work_group_now(w->group) + (LOOK_MIN_NSEC << w->looks++);
}

/*
 * A look in the middle of a pass does not begin it anew: of a large VM it would
 * get to where it was only by the time of the next look. What has appeared behind
 * it is seen by the survey at its end, and is the next one's if it can be split.
 */
static void work_start_pass(struct work *w)
{
	if (w->walk.active)
		walk_rebase(&w->walk);
	else
		walk_start(&w->walk);
}

/* What it has failed by is over. */
static void work_recover_from_failure(struct work *w, enum vm_stage stage)
{
	w->failing = false;
	w->retries = 0;
	vm_set_stage(w->vm, stage, NULL);
}

static void work_handle_survey(struct work *w)
{
	struct vm *vm = w->vm;
	char error[128];

	/* In the middle of a pass only the walk knows whether it gets anywhere. */
	if (!w->walk.active && !w->failing)
		w->retries = 0;
	w->group->undivided += w->shares;
	/* The daemon before us has ended between what it was told and what followed from it. */
	if (w->goal == VM_GOAL_NONE && w->held) {
		w->goal = VM_GOAL_RELEASE;
		return;
	}
	/* Nothing was to be done but to look. */
	if (w->goal == VM_GOAL_NONE && vm->progress.stage == VM_STAGE_FAILED)
		work_recover_from_failure(w, VM_STAGE_WHOLE);
	if (vm->progress.stage == VM_STAGE_FAILED && !w->failing)
		return;
	if (w->goal == VM_GOAL_RECOVER &&
	    (vm->progress.stage == VM_STAGE_RECOVERING || w->failing)) {
		if (w->walk.passes)
			work_recover_from_failure(w, VM_STAGE_WHOLE);
		else
			work_start_pass(w);
	}
	if (w->goal != VM_GOAL_SPLIT)
		return;

	if (!vm_count_blocks(vm)) {
		work_recover_from_failure(w, VM_STAGE_SPLIT);
		w->walk = (struct walk){};
	} else if (w->walk.idle_passes >= IDLE_PASSES_MAX) {
		snprintf(error, sizeof(error), "%" PRIu64 " block%s cannot be split",
			 vm_count_blocks(vm), plural(vm_count_blocks(vm)));
		work_fail(w, error);
	} else {
		if (!w->failing)
			vm_set_stage(vm, VM_STAGE_SPLITTING, NULL);
		work_start_pass(w);
	}
}

/* Where a walk got to: it has got somewhere also if it ended by an error. */
static void work_handle_walk(struct work *w, enum step step, int r)
{
	const struct split_call *call = &w->call;
	bool stuck = !call->blocks && call->gpa <= w->range.gpa;
	uint64_t gpa = call->gpa;

	if (r >= 0 && !call->size) {
		gpa = max_u64(gpa, w->range.gpa + w->range.size);
		stuck = false;
	}
	walk_advance(&w->walk, gpa, call->blocks);
	if (!stuck && !w->failing)
		w->retries = 0;
	if (!stuck && w->failing && r >= 0)
		work_recover_from_failure(w, step == STEP_SPLIT ? VM_STAGE_SPLITTING
								: VM_STAGE_RECOVERING);
	if (r < 0)
		work_handle_error(w, step, r);
	else if (stuck)
		/* Neither an end, nor a block, nor an inch: do not spin. */
		work_retry(w, "The kernel makes no progress");
}

/* Books what a call spent and did, however it ended. */
static void work_account(struct work *w, enum step step)
{
	uint64_t now = work_group_now(w->group);
	const struct split_call *call = &w->call;
	double seconds = (double)(now - w->began) / (double)NSEC_PER_SEC;
	double speed;

	if (w->granted)
		budget_return(w->client, now, call->tlbis, call->tlbi_nsec);
	w->granted = false;
	if (call->pauses && w->group->limits.vm_pause_rate)
		w->pause_at = now + call->pauses * NSEC_PER_SEC / w->group->limits.vm_pause_rate;
	w->vm->progress.tlbis += call->tlbis;
	w->vm->progress.tlbi_nsec += call->tlbi_nsec;
	work_group_count_tlbis(w->group, step, call);
	if (step == STEP_RECOVER)
		vm_note_recovered(w->vm, w->range.slot, call->blocks,
				  call->gpa - min_u64(w->range.gpa, call->gpa));
	if (step != STEP_SPLIT)
		return;

	w->vm->progress.blocks_split += call->blocks;
	vm_note_split(w->vm, w->range.slot, call->blocks,
		      call->gpa - min_u64(w->range.gpa, call->gpa));
	batching_learn(&w->batching, call);
	batching_learn(&w->group->batching, call);
	if (!call->blocks || seconds <= 0)
		return;
	speed = (double)call->blocks / seconds;
	w->speed += (speed - w->speed) * (w->speed > 0 ? SPEED_GAIN : 1);
}

void work_handle_result(struct work *w, enum step step, int r)
{
	if (step == STEP_SPLIT || step == STEP_RECOVER)
		work_handle_walk(w, step, r);
	else if (r < 0)
		work_handle_error(w, step, r);
	else if (step == STEP_SURVEY)
		work_handle_survey(w);
	if (step == STEP_SURVEY && r >= 0)
		work_plan_look(w);
}

void work_after_release(struct work *w, int r)
{
	if (r == -EINTR)
		return;
	if (error_is_transient(r)) {
		work_pause(w);
		return;
	}
	/* By then at the latest when its splitter is closed. */
	if (r < 0 && !error_means_gone(r))
		log_vm_warning(w->vm, MESSAGE_VM_HELD, "Cannot release the hold: %s", strerror(-r));
	w->held = w->may_hold = false;
}

bool work_take_result(struct work *w, enum step step, int r)
{
	bool is_news = true;

	work_group_count_call(w->group, step, w->took, r);
	if (step == STEP_SPLIT || step == STEP_RECOVER)
		work_account(w, step);
	if (step == STEP_SURVEY && r != -EINTR)
		w->surveyed_at = work_group_now(w->group);
	if (step == STEP_SURVEY && r >= 0) {
		w->held = w->may_hold = w->survey.held;
		is_news = vm_take_survey(w->vm, &w->survey);
		w->vm->progress.early = w->early;
	}
	survey_done(&w->survey);
	if (step == STEP_HOLD && r >= 0)
		w->held = true;
	if (step == STEP_RELEASE && r >= 0)
		w->held = w->may_hold = false;
	return is_news;
}
