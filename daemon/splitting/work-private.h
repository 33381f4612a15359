/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data of a work, for its own files and the splitter's. work.c, the next step, and what others say,
 * is above work-result.c, what a call has come to, and work-eta.c, when all will be done.
 */
#ifndef EAGERSPLITD_WORK_PRIVATE_H
#define EAGERSPLITD_WORK_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "splitting/agenda.h"
#include "base/util.h"
#include "budget/batching.h"
#include "host/backend.h"
#include "vm/vm.h"
#include "vm/vm-state.h"
#include "splitting/walk.h"
#include "splitting/work-group.h"
#include "service/worker.h"

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
 * @news_at: the VM has told of something, which is to be looked at then; 0: it has not, since
 *	     the last survey began that was not early
 * @no_news_before: what it tells is not looked at before that time
 * @news_pause: how long that is after the last time, 0: it has told nothing in a while
 * @early: the last survey began before that time
 * @walk: since the goal was set
 * @retries: failures in a row
 * @failing: it has failed so far, and goes on trying
 * @let_go: until it does, it shall not be held
 * @not_before: no call before that time, 0: at any
 * @pause_at: no pause before that time, 0: at any
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
	uint64_t news_at;
	uint64_t no_news_before;
	uint64_t news_pause;
	bool early;
	struct walk walk;
	unsigned int retries;
	bool failing;
	bool let_go;
	uint64_t not_before;
	uint64_t pause_at;
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

#endif /* EAGERSPLITD_WORK_PRIVATE_H */
