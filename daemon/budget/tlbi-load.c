// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget/tlbi-load.h"

#include <math.h>

#include "budget/budget-limits.h"

/* The most TLBI time that a call is charged. */
#define CALL_MAX_NSEC (10 * NSEC_PER_SEC)

/* How much of what a TLBI takes is what the last call showed. */
#define COST_GAIN 0.25

void tlbi_load_init(struct tlbi_load *l, uint32_t limit, uint64_t now)
{
	*l = (struct tlbi_load){
		.limit = limit,
		.debt = BUDGET_LOAD_START_NSEC * BUDGET_LOAD_MAX,
		.settled = now,
	};
}

void tlbi_load_settle(struct tlbi_load *l, uint64_t now)
{
	uint64_t elapsed;

	if (now <= l->settled)
		return;
	elapsed = now - l->settled;
	l->settled = now;
	if (!l->limit)
		l->debt = 0;
	if (l->calls || !l->debt)
		return;
	/* Compare before multiplying: the product may not fit. */
	if (elapsed > l->debt / l->limit)
		l->debt = 0;
	else
		l->debt -= l->limit * elapsed;
}

void tlbi_load_set_limit(struct tlbi_load *l, uint32_t limit, uint64_t now)
{
	tlbi_load_settle(l, now);
	l->limit = limit;
}

void tlbi_load_begin_call(struct tlbi_load *l, uint64_t tlbis, uint64_t now)
{
	tlbi_load_settle(l, now);
	l->calls++;
	l->granted = tlbis;
}

static void tlbi_load_learn(struct tlbi_load *l, double tlbis, double tlbi_nsec, double call_nsec)
{
	double gain = l->returned ? COST_GAIN : 1;

	if (tlbis <= 0)
		return;
	l->tlbi_last_nsec = tlbi_nsec / tlbis;
	l->tlbi_nsec += (tlbi_nsec / tlbis - l->tlbi_nsec) * gain;
	l->call_nsec += (call_nsec / tlbis - l->call_nsec) * gain;
	l->returned = true;
}

void tlbi_load_end_call(struct tlbi_load *l, uint64_t tlbis, uint64_t tlbi_nsec, uint64_t call_nsec,
			uint64_t now)
{
	tlbi_load_learn(l, (double)tlbis, (double)tlbi_nsec, (double)call_nsec);
	/* Settle first: until now nothing was earned. */
	tlbi_load_settle(l, now);
	l->calls--;
	if (l->limit)
		l->debt = min_u64(l->debt + min_u64(tlbi_nsec, CALL_MAX_NSEC) * BUDGET_LOAD_MAX,
				  CALL_MAX_NSEC * BUDGET_LOAD_MAX);
}

uint64_t tlbi_load_ready_at(const struct tlbi_load *l, uint64_t now)
{
	if (!l->limit)
		return now;
	if (l->calls)
		return UINT64_MAX;
	return now + l->debt / l->limit + !!(l->debt % l->limit);
}

uint64_t tlbi_load_quantum(const struct tlbi_load *l)
{
	double earned =
		(double)l->limit / BUDGET_LOAD_MAX * (double)NSEC_PER_SEC / BUDGET_GRANTS_PER_SEC;
	double n;

	if (!l->limit)
		return UINT64_MAX;
	if (!l->returned)
		return 1;
	n = earned / fmax(l->tlbi_nsec, l->tlbi_last_nsec);
	return n < 1 ? 1 : min_u64((uint64_t)fmin(n, BUDGET_UNLIMITED_GRANT), 2 * l->granted);
}

double tlbi_load_get_rate(const struct tlbi_load *l)
{
	if (!l->limit || !l->returned || l->tlbi_nsec <= 0)
		return INFINITY;
	/* One call after the other, each followed by the time in which it is earned. */
	return (double)NSEC_PER_SEC / (l->call_nsec + l->tlbi_nsec * BUDGET_LOAD_MAX / l->limit);
}
