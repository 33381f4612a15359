// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/work.h"

#include <errno.h>

#include "budget/budget.h"
#include "host/backend.h"
#include "splitting/work-eta.h"
#include "splitting/work-private.h"
#include "splitting/work-result.h"

/* A survey that somebody asks for is answered by one that is no older. */
#define SURVEY_AGE_NSEC NSEC_PER_SEC

/*
 * What a VM tells is looked at at once, and what it goes on to tell after a pause, which is twice as
 * long each time, until it has told nothing for as long as the last one once that is over: ten times a
 * second at the most. A VMM that begins a migration has it tell of one memslot after the other; and one
 * that toggles a memslot's logging without end, or thousands of them, must not keep the threads from
 * others' calls.
 */
#define NEWS_PAUSE_MIN_NSEC (50 * NSEC_PER_MSEC)
#define NEWS_PAUSE_MAX_NSEC NSEC_PER_SEC

static void work_done(struct job *job, int result);
static int work_run(struct job *job);

/*
 * Submitting calls
 */

static void work_submit(struct work *w, enum step step)
{
	struct work_group *g = w->group;

	w->step = step;
	w->stale = false;
	w->may_hold = w->may_hold || step == STEP_HOLD;
	w->began = work_group_now(g);
	w->took = UINT64_MAX;
	/* However many calls are about the VMs of one user, those about others' take their turns. */
	w->job.key = w->vm->host_vm ? (uint64_t)w->vm->host_vm->uid : UINT64_MAX;
	g->ops->submit(g->userdata, &w->job);
}

/* A call that walks what comes next. */
static void work_submit_walk(struct work *w, enum step step, uint64_t max_tlbis)
{
	unsigned int flags = step == STEP_SPLIT ? RUN_SPLIT : RUN_RECOVER;

	if (w->group->limits.method == WORK_PAUSE)
		flags |= RUN_PAUSE;
	else if (w->group->limits.method == WORK_BREAK && step == STEP_SPLIT)
		flags |= RUN_BREAK;
	w->call = (struct split_call){
		.gpa = w->range.gpa,
		.size = w->range.size,
		.max_tlbis = max_tlbis,
		.flags = flags,
	};
	work_submit(w, step);
}

/*
 * What to do next
 */

/*
 * The next range of the pass that is under way. At its end there is another
 * look: blocks may have appeared behind us, and memslots.
 */
static bool work_find_range(struct work *w)
{
	bool all = w->goal == VM_GOAL_RECOVER;

	if (!w->walk.active || w->want_survey)
		return false;
	if (walk_next(&w->walk, &w->vm->progress.survey, all, &w->range))
		return true;
	w->want_survey = true;
	return false;
}

static enum step work_next_towards_split(struct work *w)
{
	if (!w->held)
		return STEP_HOLD;
	if (work_find_range(w))
		return STEP_SPLIT;
	return w->want_survey ? STEP_SURVEY : STEP_NONE;
}

static enum step work_next_towards_recovery(struct work *w)
{
	if (w->may_hold)
		return STEP_RELEASE;
	if (work_find_range(w))
		return STEP_RECOVER;
	return w->want_survey ? STEP_SURVEY : STEP_NONE;
}

static enum step work_next(struct work *w)
{
	/* Its faults shall not ask for what there is too little of. */
	if (w->let_go && w->may_hold)
		return STEP_RELEASE;
	if (w->not_before > work_group_now(w->group))
		return STEP_WAIT;
	w->not_before = 0;
	if (w->look_at && w->look_at <= work_group_now(w->group)) {
		w->look_at = 0;
		w->want_survey = true;
	}
	if (w->news_at && w->news_at <= work_group_now(w->group))
		w->want_survey = true;

	/* What has failed stays so until someone sets a goal; one may look, though. */
	if (w->goal != VM_GOAL_RELEASE && w->vm->progress.stage == VM_STAGE_FAILED && !w->failing)
		return w->want_survey ? STEP_SURVEY : STEP_NONE;

	switch (w->goal) {
	case VM_GOAL_SPLIT:
		return work_next_towards_split(w);
	case VM_GOAL_RECOVER:
		return work_next_towards_recovery(w);
	case VM_GOAL_RELEASE:
		if (w->may_hold)
			return STEP_RELEASE;
		break;
	default:
		break;
	}
	return w->want_survey && !w->leaving ? STEP_SURVEY : STEP_NONE;
}

/* TLBIs of the budget that the step takes, all in all. */
static uint64_t work_count_wanted(const struct work *w, enum step step)
{
	enum work_method method = w->group->limits.method;

	if (step == STEP_SPLIT && method == WORK_BREAK)
		return max_u64(work_count_tlbis(w), 1);
	/* From table to block there is no way without a TLBI but this. */
	return step == STEP_RECOVER && method != WORK_PAUSE ? UINT64_MAX : 0;
}

/* One pause, unless the last one was a moment ago. */
static void work_submit_pause(struct work *w, enum step step, uint64_t now)
{
	if (w->pause_at > now)
		return;
	w->pause_at = 0;
	work_submit_walk(w, step, 1);
}

/*
 * Whatever a survey is made for, it sees what the VM has told of until then. In the pause that does not
 * count: what followed from it, such as a hold, would have the VM be surveyed once more, and one that
 * toggles its logging at the right moments, or on a slow machine, would never have a pause.
 */
static void work_submit_survey(struct work *w, uint64_t now)
{
	w->want_survey = false;
	w->early = now < w->no_news_before;
	if (w->news_at && !w->early) {
		w->news_at = 0;
		w->news_pause = w->news_pause ? min_u64(2 * w->news_pause, NEWS_PAUSE_MAX_NSEC)
					      : NEWS_PAUSE_MIN_NSEC;
		w->no_news_before = now + w->news_pause;
	}
	work_submit(w, STEP_SURVEY);
}

/* Does the next step, or asks the budget for it. */
static void work_do_next(struct work *w, uint64_t now)
{
	enum work_method method = w->group->limits.method;
	enum step step = work_next(w);

	budget_client_set_want(w->client, work_count_wanted(w, step));

	switch (step) {
	case STEP_HOLD:
		work_submit(w, step);
		break;
	case STEP_RELEASE:
		w->let_go = false;
		work_submit(w, step);
		break;
	case STEP_SURVEY:
		work_submit_survey(w, now);
		break;
	case STEP_SPLIT:
	case STEP_RECOVER:
		if (method == WORK_PAUSE)
			work_submit_pause(w, step, now);
		else if (method == WORK_NO_BREAK && step == STEP_SPLIT)
			work_submit_walk(w, step, 0);
		break;
	default:
		break;
	}
}

/* Of two times, either of which may be 0: never. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a && b ? min_u64(a, b) : a + b;
}

/* When it is to go on after a failure, or to look again, 0: it does not wait for that. */
static uint64_t work_get_retry(const struct work *w, uint64_t now)
{
	uint64_t at = w->not_before ?: earlier(w->look_at, w->news_at);

	if (w->step != STEP_NONE)
		return 0;
	return w->pause_at > now ? earlier(at, w->pause_at) : at;
}

/* Whether the budget is divided for it, too. */
static bool work_takes_part(const struct work *w)
{
	enum vm_stage stage = w->vm->progress.stage;

	return (w->goal == VM_GOAL_SPLIT && stage == VM_STAGE_SPLITTING) ||
	       (w->goal == VM_GOAL_RECOVER && stage == VM_STAGE_RECOVERING);
}

static void work_set_sharing(struct work *w, bool shares)
{
	struct work_group *g = w->group;

	if (w->shares == shares)
		return;
	w->shares = shares;
	g->undivided++;
	if (shares) {
		LIST_INSERT_HEAD(&g->sharing, w, sharing);
		g->n_sharing++;
	} else {
		LIST_REMOVE(w, sharing);
		g->n_sharing--;
	}
}

void work_step(struct work *w)
{
	/* One for both: what is too early for the one must not be too late for the other. */
	uint64_t now = work_group_now(w->group);

	if (w->step == STEP_NONE)
		work_do_next(w, now);
	work_set_sharing(w, work_takes_part(w));
	agenda_set(&w->group->agenda, &w->retry, work_get_retry(w, now));
}

/* To let go is all that is wanted: whatever keeps us from it, it is done now. */
static void work_finish_release(struct work *w)
{
	if (w->vm->progress.stage != VM_STAGE_WHOLE)
		vm_set_stage(w->vm, VM_STAGE_WHOLE, NULL);
	w->goal = VM_GOAL_NONE;
	w->want_survey = true;
}

/* Hands the VM back to whoever left() goes to: @w may be freed then. */
static void work_finish_leave(struct work *w)
{
	w->group->ops->left(w->group->userdata, w->vm);
}

/* Whether there is nothing left to be done for one that leaves. */
static bool work_has_left(const struct work *w)
{
	return w->leaving && w->step == STEP_NONE && !(w->release && w->may_hold);
}

static void work_done(struct job *job, int r)
{
	struct work *w = container_of(job, struct work, job);
	struct work_group *g = w->group;
	enum vm_stage stage = w->vm->progress.stage;
	enum step step = w->step;
	struct vm *vm = w->vm;
	bool is_news;

	w->step = STEP_NONE;
	is_news = work_take_result(w, step, r);
	if (error_means_gone(r)) {
		w->held = w->may_hold = false;
		if (!w->leaving) {
			g->ops->gone(g->userdata, vm);
			work_group_pump(g);
			return;
		}
	}
	if (w->goal == VM_GOAL_RELEASE && step == STEP_RELEASE)
		work_after_release(w, r);
	else if (!w->stale)
		work_handle_result(w, step, r);

	if (work_has_left(w)) {
		work_finish_leave(w);
		work_group_pump(g);
		return;
	}
	if (w->goal == VM_GOAL_RELEASE && !w->may_hold && !w->leaving)
		work_finish_release(w);
	work_step(w);
	work_group_pump(g);
	if (!w->leaving)
		g->ops->changed(g->userdata, vm,
				vm->progress.stage != stage ? VM_CHANGE_STATE
				: is_news		    ? VM_CHANGE_PROGRESS
							    : VM_CHANGE_NONE);
}

/* In a worker's thread: nothing but the call, on what belongs to it. */
static int work_run(struct job *job)
{
	struct work *w = container_of(job, struct work, job);
	struct backend_vm *vm = w->vm->host_vm;
	const struct backend_ops *ops = vm->backend->ops;
	uint64_t began = work_group_now(w->group);
	int r;

	switch (w->step) {
	case STEP_HOLD:
		r = ops->hold(vm);
		break;
	case STEP_RELEASE:
		r = ops->release(vm);
		break;
	case STEP_SURVEY:
		r = ops->survey(vm, &w->survey);
		break;
	default:
		r = ops->run(vm, &w->call);
	}
	w->took = work_group_now(w->group) - began;
	return r;
}

/*
 * What others say
 */

static bool work_is_in_progress(const struct work *w)
{
	return (w->goal == VM_GOAL_SPLIT && w->vm->progress.stage == VM_STAGE_SPLITTING) ||
	       (w->goal == VM_GOAL_RECOVER && w->vm->progress.stage == VM_STAGE_RECOVERING) ||
	       w->goal == VM_GOAL_RELEASE;
}

static void work_interrupt(struct work *w)
{
	struct work_group *g = w->group;

	if (w->step == STEP_NONE)
		return;
	w->stale = true;
	g->ops->cancel(g->userdata, &w->job);
}

void work_set_goal(struct work *w, enum vm_goal goal)
{
	struct vm *vm = w->vm;

	w->group->undivided++;
	if (w->goal == goal && work_is_in_progress(w))
		return;
	if (w->goal != goal)
		work_interrupt(w);
	w->goal = goal;
	w->walk = (struct walk){};
	w->retries = 0;
	w->failing = false;
	w->let_go = false;
	w->not_before = 0;
	w->want_survey = goal != VM_GOAL_RELEASE;

	/* Split already: that holds until a survey says otherwise. */
	if (goal == VM_GOAL_SPLIT && vm->progress.stage != VM_STAGE_SPLIT)
		vm_set_stage(vm, VM_STAGE_SPLITTING, NULL);
	else if (goal == VM_GOAL_RECOVER)
		vm_set_stage(vm, VM_STAGE_RECOVERING, NULL);

	if (goal == VM_GOAL_RELEASE && w->step == STEP_NONE && !w->may_hold)
		work_finish_release(w);
	work_step(w);
	work_group_pump(w->group);
}

void work_resume(struct work *w, enum vm_goal goal)
{
	w->may_hold = true;
	work_set_goal(w, goal);
}

void work_repeat(struct work *w)
{
	if (w->leaving || (w->goal != VM_GOAL_SPLIT && w->goal != VM_GOAL_RECOVER))
		return;
	w->walk = (struct walk){};
	w->retries = 0;
	w->not_before = 0;
	w->want_survey = true;
	if (w->goal == VM_GOAL_RECOVER)
		vm_set_stage(w->vm, VM_STAGE_RECOVERING, NULL);
	work_step(w);
	work_group_pump(w->group);
}

void work_update_ceiling(struct work *w)
{
	uint64_t rate = w->group->limits.vm_rate;

	w->group->undivided++;
	if (w->vm->migration.tlbi_rate)
		rate = rate ? min_u64(rate, w->vm->migration.tlbi_rate)
			    : w->vm->migration.tlbi_rate;
	budget_client_set_ceiling(w->client, min_u64(rate, BUDGET_RATE_MAX),
				  work_group_now(w->group));
	work_group_pump(w->group);
}

/* After many failures the next try is one of many, too: nobody is to wait for that. */
bool work_is_surveying(const struct work *w)
{
	return w->step == STEP_SURVEY || (w->want_survey && !(w->failing && w->not_before));
}

int work_survey(struct work *w)
{
	if (work_is_surveying(w))
		return 1;
	if (w->step != STEP_NONE || w->walk.active || w->leaving)
		return 0;
	if (w->surveyed_at && work_group_now(w->group) - w->surveyed_at < SURVEY_AGE_NSEC)
		return 0;
	w->want_survey = true;
	work_step(w);
	return work_is_surveying(w);
}

void work_look(struct work *w)
{
	uint64_t now = work_group_now(w->group);

	if (w->leaving || w->news_at)
		return;
	if (now >= w->no_news_before + w->news_pause)
		w->news_pause = 0;
	w->news_at = max_u64(now, w->no_news_before);
	w->looks = 0;
	w->want_survey = w->want_survey || w->news_at <= now;
	work_step(w);
	work_group_pump(w->group);
}

void work_leave(struct work *w, bool release)
{
	struct work_group *g = w->group;

	g->undivided++;
	w->leaving = true;
	w->release = release;
	w->goal = VM_GOAL_RELEASE;
	w->want_survey = false;
	w->retries = 0;
	w->not_before = 0;
	w->look_at = 0;
	w->news_at = 0;
	budget_client_set_want(w->client, 0);

	if (w->step != STEP_NONE)
		work_interrupt(w);
	else if (work_has_left(w))
		work_finish_leave(w);
	else
		work_step(w);
	work_group_pump(g);
}

int work_new(struct work **ret, struct work_group *g, struct vm *vm)
{
	struct work *w;
	int r;

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->group = g;
	w->vm = vm;
	w->job.run = work_run;
	w->job.done = work_done;
	r = budget_client_new(&w->client, g->budget, w, work_group_now(g));
	if (r < 0) {
		free(w);
		return r;
	}
	TAILQ_INSERT_TAIL(&g->works, w, link);
	vm->work = w;
	vm->progress.get_eta = work_get_eta;
	work_update_ceiling(w);
	/* A splitter that was kept, or handed over, may hold already: the survey says. */
	w->may_hold = true;
	w->want_survey = true;
	work_step(w);
	*ret = w;
	return 0;
}

struct work *work_free(struct work *w)
{
	if (!w)
		return NULL;
	if (w->granted)
		budget_return(w->client, work_group_now(w->group), w->call.tlbis,
			      w->call.tlbi_nsec);
	agenda_set(&w->group->agenda, &w->retry, 0);
	budget_client_free(w->client);
	survey_done(&w->survey);
	work_set_sharing(w, false);
	TAILQ_REMOVE(&w->group->works, w, link);
	w->vm->work = NULL;
	w->vm->progress.get_eta = NULL;
	free(w);
	return NULL;
}

void work_granted(struct work *w, uint64_t tlbis)
{
	enum step step = w->goal == VM_GOAL_SPLIT ? STEP_SPLIT : STEP_RECOVER;

	/* The range is one of the walk towards these goals: there is none towards another. */
	if (w->goal != VM_GOAL_SPLIT && w->goal != VM_GOAL_RECOVER) {
		budget_client_set_want(w->client, 0);
		budget_return(w->client, work_group_now(w->group), 0, 0);
		return;
	}
	w->granted = true;
	work_submit_walk(w, step, tlbis);
}
