/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the works on all VMs have in common: the budget, how fast they may go, what they have
 * done so far, and whom they tell.
 */
#ifndef EAGERSPLITD_WORK_GROUP_H
#define EAGERSPLITD_WORK_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "splitting/agenda.h"
#include "budget/batching.h"
#include "budget/budget.h"
#include "host/backend.h"
#include "base/latency.h"
#include "vm/vm.h"

struct job;
struct work;
struct work_group;

/* What a call is for. */
enum step {
	STEP_NONE, /* nothing to do until someone says so */
	STEP_WAIT, /* for the budget, or until a retry is due */
	STEP_HOLD,
	STEP_RELEASE,
	STEP_SURVEY,
	STEP_SPLIT,
	STEP_RECOVER,
	STEP_MAX_,
};

/* How blocks are split. */
enum work_method {
	WORK_BREAK, /* by break-before-make, if need be by being told so: TLBIs of the budget */
	WORK_NO_BREAK, /* without */
	WORK_PAUSE, /* and recovered, while no vCPU is in the guest */
};

/**
 * struct work_limits - how fast, and in which way
 * @host: of all VMs together
 * @batch: blocks that have a TLBI, or a pause, in common, where no vCPU waits
 * @vm_rate: ceiling for each VM, 0: none
 * @vm_pause_rate: pauses a second of each VM, 0: no limit
 */
struct work_limits {
	struct budget_limits host;
	uint32_t batch;
	uint64_t vm_rate;
	uint64_t vm_pause_rate;
	enum work_method method;
};

/* What broadcast TLBIs were for. */
enum tlbi_kind {
	TLBI_SPLIT, /* break-before-make */
	TLBI_FLUSH, /* after splits without: at the end of a call, or when VMIDs ran out */
	TLBI_RECOVER,
	TLBI_KIND_MAX_,
};

/**
 * struct work_stats - counts, since the start
 * @tlbis: spent
 * @tlbi_nsec: time that those took
 * @pauses: of VMs
 * @blocks_split: blocks turned into pages
 * @blocks_recovered: and back
 * @latency: of the calls for each step that have ended
 * @failed: those of them that ended by an error other than an interruption
 * @holds: of the calls that split or recovered something: the longest that each held the VM's lock
 */
struct work_stats {
	uint64_t tlbis[TLBI_KIND_MAX_];
	uint64_t tlbi_nsec;
	uint64_t pauses;
	uint64_t blocks_split;
	uint64_t blocks_recovered;
	struct latency latency[STEP_MAX_];
	uint64_t failed[STEP_MAX_];
	struct latency holds;
};

/**
 * struct work_ops - what works need, and whom they tell
 * @now: CLOCK_MONOTONIC in nanoseconds, read at that moment (see budget.h); in any thread
 * @submit: has the job run in a thread
 * @cancel: has the job end soon
 * @pump: the budget is to be handed out before the loop waits again; once, however often it
 *	  is said
 * @changed: of a VM's stage or progress; the last thing that is done there
 * @gone: the host says that the VM is no more; may call work_leave()
 * @left: what work_leave() began is done; may free the work
 */
struct work_ops {
	uint64_t (*now)(void *userdata);
	void (*submit)(void *userdata, struct job *job);
	void (*cancel)(void *userdata, struct job *job);
	void (*pump)(void *userdata);
	void (*changed)(void *userdata, struct vm *vm, enum vm_change what);
	void (*gone)(void *userdata, struct vm *vm);
	void (*left)(void *userdata, struct vm *vm);
};

/**
 * struct work_group - the works, and what they have in common
 * @batching: of all VMs, for those of which nothing is known yet
 * @undivided: what has changed since the budget was divided among them
 * @division: counts these divisions
 * @divide: has what that says of @work hold, by dividing anew if need be
 * @sharing: works that take part in that, @n_sharing
 * @agenda: works that are to go on at a time
 */
struct work_group {
	const struct work_ops *ops;
	void *userdata;
	struct budget *budget;
	struct work_limits limits;
	struct work_stats stats;
	struct batching batching;
	size_t undivided;
	uint64_t division;
	void (*divide)(struct work_group *group, struct work *work);
	struct agenda agenda;
	TAILQ_HEAD(work_list, work) works;
	LIST_HEAD(sharing_list, work) sharing;
	size_t n_sharing;
};

/* See struct work_ops. */
uint64_t work_group_now(const struct work_group *group);
void work_group_pump(struct work_group *group);

/* Counts a call for @step that took @nsec in its thread and returned @r. */
void work_group_count_call(struct work_group *group, enum step step, uint64_t nsec, int r);

/* Counts what a call that splits or recovers spent and did. */
void work_group_count_tlbis(struct work_group *group, enum step step,
			    const struct split_call *call);

/* "break", "bbm" or "pause", as the control interface has it; and what to say of it. */
const char *work_method_to_string(enum work_method method);
const char *work_method_describe(enum work_method method);

/* The name of what is neither STEP_NONE nor STEP_WAIT, as the control interface has it. */
const char *step_to_string(enum step step);

#endif /* EAGERSPLITD_WORK_GROUP_H */
