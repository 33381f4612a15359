/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the budget promises, counted apart from it: in any time t at most rate·t + burst TLBIs,
 * and TLBIs under way for at most load·t and as long as one call takes.
 */
#ifndef EAGERSPLITD_METER_H
#define EAGERSPLITD_METER_H

#include <stdint.h>

#include "budget/budget.h"

/**
 * struct meter - what is left to spend
 * @tokens: TLBIs
 * @floor: that @tokens may be below 0 by, for what was granted under other limits, or spent
 *	   by a call beyond its grant
 * @debt: time of TLBIs that has not been earned yet, in nanoseconds
 * @excused: calls are under way that began under other limits
 * @overspent: or that have spent beyond their grant, of which nobody knows until they end
 * @at: the time that all of it is of
 */
struct meter {
	struct budget_limits limits;
	double tokens;
	double floor;
	double debt;
	bool excused;
	bool overspent;
	uint64_t at;
};

/* Other limits hold from @now on; @granted: TLBIs that calls under way may spend. */
void meter_set(struct meter *meter, const struct budget_limits *limits, uint64_t now,
	       uint64_t granted);

/*
 * A daemon begins, at @now, without anything saved up. What a call of the one before has spent
 * beyond its grant it knows nothing of.
 */
void meter_begin(struct meter *meter, const struct budget_limits *limits, uint64_t now);

/* No call is under way. */
void meter_rest(struct meter *meter);

/* Fails where that breaks the promise. @excess: of @tlbis, beyond what was granted. */
void meter_spend(struct meter *meter, uint64_t now, uint64_t tlbis, uint64_t tlbi_nsec,
		 uint64_t excess);

#endif /* EAGERSPLITD_METER_H */
