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
#include "budget/budget.h"
#include "splitting/deadline.h"
#include "splitting/work-group.h"

/**
 * struct splitter_ops - what the splitter needs
 * @work: what its works do; @work.pump has splitter_pump() called
 * @realtime: CLOCK_REALTIME in microseconds, which deadlines are of
 * @set_timer: has splitter_on_timer() called at that time; UINT64_MAX: never
 */
struct splitter_ops {
	struct work_ops work;
	uint64_t (*realtime)(void *userdata);
	void (*set_timer)(void *userdata, uint64_t at);
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
 * struct splitter - the works, and how the budget gets to them
 * @divided: when it was last divided among them
 * @divided_usec: the same, CLOCK_REALTIME
 * @division: how
 * @room: for so many demands in there
 */
struct splitter {
	const struct splitter_ops *ops;
	void *userdata;
	struct work_group group;
	uint64_t divided;
	uint64_t divided_usec;
	struct deadline_division division;
	size_t room;
};

/* 0 or -ENOMEM. @ops outlives the splitter. */
int splitter_new(struct splitter **ret, const struct splitter_ops *ops, void *userdata,
		 const struct work_limits *limits);

/* Frees @s, all of whose works have been freed. Returns NULL. */
struct splitter *splitter_free(struct splitter *s);
DEFINE_CLEANUP(struct splitter *, splitter_free);

/* What holds from the next call of each VM on. */
void splitter_set_limits(struct splitter *s, const struct work_limits *limits);

/* What the timer is for: goes on with what was waiting. */
void splitter_on_timer(struct splitter *s);

/* Hands out what the budget has, and arms the timer for when it has more. */
void splitter_pump(struct splitter *s);

/* Fills @load. */
void splitter_get_load(const struct splitter *s, struct splitter_load *load);

#endif /* EAGERSPLITD_SPLITTER_H */
