/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spends the budget on VMs, for each of which there is a struct work. Knows
 * neither event loop nor threads nor clock: those come through struct
 * splitter_ops.
 */
#ifndef EAGERSPLITD_SPLITTER_H
#define EAGERSPLITD_SPLITTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/util.h"
#include "batching.h"
#include "budget.h"
#include "latency.h"
#include "vm.h"
#include "work.h"

struct job;

/**
 * struct splitter_ops - what the splitter needs, and whom it tells
 * @now: CLOCK_MONOTONIC in nanoseconds, read at that moment (see budget.h); in any thread
 * @realtime: CLOCK_REALTIME in microseconds, which deadlines are of
 * @set_timer: has splitter_on_timer() called at that time; UINT64_MAX: never
 * @submit: has the job run in a thread
 * @cancel: has the job end soon
 * @changed: of a VM's stage or progress; the last thing that is done there
 * @gone: the host says that the VM is no more; may call work_leave()
 * @left: what work_leave() began is done; may free the work
 */
struct splitter_ops {
	uint64_t (*now)(void *userdata);
	uint64_t (*realtime)(void *userdata);
	void (*set_timer)(void *userdata, uint64_t at);
	void (*submit)(void *userdata, struct job *job);
	void (*cancel)(void *userdata, struct job *job);
	void (*changed)(void *userdata, struct vm *vm, enum vm_change what);
	void (*gone)(void *userdata, struct vm *vm);
	void (*left)(void *userdata, struct vm *vm);
};

/**
 * struct splitter_limits - how fast, and in which way
 * @host: of all VMs together
 * @batch: blocks that have a TLBI in common, where no vCPU waits
 * @vm_rate: ceiling for each VM, 0: none
 * @throttled: splits cost TLBIs of their own, that is, they go by
 *	       break-before-make, if need be by being told so
 */
struct splitter_limits {
	struct budget_limits host;
	uint32_t batch;
	uint64_t vm_rate;
	bool throttled;
};

/* What broadcast TLBIs were for. */
enum tlbi_kind {
	TLBI_SPLIT, /* break-before-make */
	TLBI_FLUSH, /* at the end of a call that split without */
	TLBI_RECOVER,
	TLBI_KIND_MAX_,
};

/**
 * struct splitter_stats - counts, since the start
 * @tlbis: spent
 * @tlbi_nsec: time that those took
 * @blocks_split: blocks turned into pages
 * @blocks_recovered: and back
 * @latency: of the calls for each step that have ended
 * @failed: those of them that ended by an error other than an interruption
 */
struct splitter_stats {
	uint64_t tlbis[TLBI_KIND_MAX_];
	uint64_t tlbi_nsec;
	uint64_t blocks_split;
	uint64_t blocks_recovered;
	struct latency latency[STEP_MAX_];
	uint64_t failed[STEP_MAX_];
};

/**
 * struct splitter_load - what there is to do, now
 * @budget: who waits for it
 * @retrying: works that wait after a failure
 */
struct splitter_load {
	struct budget_load budget;
	size_t retrying;
};

/**
 * struct splitter - the works, and what they share
 * @batching: of all VMs, for those of which nothing is known yet
 * @undivided: the budget is to be divided anew among them
 * @divided: when it last was
 */
struct splitter {
	const struct splitter_ops *ops;
	void *userdata;
	struct budget *budget;
	struct splitter_limits limits;
	struct splitter_stats stats;
	struct batching batching;
	bool undivided;
	uint64_t divided;
	TAILQ_HEAD(work_list, work) works;
};

/* 0 or -ENOMEM. @ops outlives the splitter. */
int splitter_new(struct splitter **ret, const struct splitter_ops *ops, void *userdata,
		 const struct splitter_limits *limits);

/* Frees @s, all of whose works have been freed. Returns NULL. */
struct splitter *splitter_free(struct splitter *s);
DEFINE_CLEANUP(struct splitter *, splitter_free);

/* What holds from the next call of each VM on. */
void splitter_set_limits(struct splitter *s, const struct splitter_limits *limits);

/* What the timer is for: goes on with what was waiting. */
void splitter_on_timer(struct splitter *s);

/* Hands out what the budget has, and arms the timer for when it has more. */
void splitter_pump(struct splitter *s);

/* Fills @load. */
void splitter_get_load(const struct splitter *s, struct splitter_load *load);

/* Counts a call for @step that took @nsec in its thread and returned @r. */
void splitter_count_call(struct splitter *s, enum step step, uint64_t nsec, int r);

/* Counts what a call that splits or recovers spent and did. */
void splitter_count_tlbis(struct splitter *s, enum step step, const struct split_call *call);

/* CLOCK_MONOTONIC in nanoseconds, read now. */
uint64_t splitter_now(const struct splitter *s);

#endif /* EAGERSPLITD_SPLITTER_H */
