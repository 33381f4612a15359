/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of the time TLBIs may be under way, and what they take: one call at a time, and the next
 * one when what the last one took has been earned since its end. Pure, see bucket.h.
 */
#ifndef EAGERSPLITD_TLBI_LOAD_H
#define EAGERSPLITD_TLBI_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/**
 * struct tlbi_load - TLBI time
 * @limit: of all time, in parts of BUDGET_LOAD_MAX; 0: no limit
 * @debt: what was taken and has not been earned since, in nanoseconds times
 *	  BUDGET_LOAD_MAX
 * @settled: the time that @debt is of
 * @calls: granted and not returned; nothing is earned meanwhile
 * @returned: calls that TLBIs were spent in have come back: what follows is known
 * @tlbi_nsec: that a TLBI takes
 * @tlbi_last_nsec: and took in the last call
 * @call_nsec: that a call takes for each TLBI in it
 * @granted: how many TLBIs the last call was granted
 */
struct tlbi_load {
	uint32_t limit;
	uint64_t debt;
	uint64_t settled;
	size_t calls;
	bool returned;
	double tlbi_nsec;
	double tlbi_last_nsec;
	double call_nsec;
	uint64_t granted;
};

/* Begins with a debt: what was spent by a daemon before is not known. */
void tlbi_load_init(struct tlbi_load *l, uint32_t limit, uint64_t now);

/* Takes off the debt what has been earned up to @now: what follows is as of then. */
void tlbi_load_settle(struct tlbi_load *l, uint64_t now);

/* 0: no limit. */
void tlbi_load_set_limit(struct tlbi_load *l, uint32_t limit, uint64_t now);

/* When a call may be made, as of @now; UINT64_MAX: once another has come back. */
uint64_t tlbi_load_ready_at(const struct tlbi_load *l, uint64_t now);

/* A call that is granted @tlbis. */
void tlbi_load_begin_call(struct tlbi_load *l, uint64_t tlbis, uint64_t now);

/* Its end: it took @call_nsec, in which @tlbis took @tlbi_nsec. */
void tlbi_load_end_call(struct tlbi_load *l, uint64_t tlbis, uint64_t tlbi_nsec, uint64_t call_nsec,
			uint64_t now);

/*
 * How many TLBIs to hand out at once, as bucket_quantum(), by what one is known to take, and at most
 * twice what there were last.
 */
uint64_t tlbi_load_quantum(const struct tlbi_load *l);

/* TLBIs a second that it comes to; INFINITY: any number, or what one takes is not known. */
double tlbi_load_get_rate(const struct tlbi_load *l);

#endif /* EAGERSPLITD_TLBI_LOAD_H */
