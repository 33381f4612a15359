// SPDX-License-Identifier: GPL-2.0-or-later
#include "deadline.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"
#include "budget.h"

/* Of the rate, what is for all alike in any case. */
#define EVEN_PART 0.02

/* To be in time by a margin: calls end late, and the guest maps blocks meanwhile. */
#define MARGIN 1.1

static int compare_deadlines(const void *a, const void *b)
{
	const struct deadline_demand *x = a, *y = b;

	return (x->usec_left > y->usec_left) - (x->usec_left < y->usec_left);
}

/* What it takes @d to be in time, as a rate; what it keeps when it is too late. */
static double demand_rate(const struct deadline_demand *d, double even)
{
	double rate = even;

	if (d->usec_left == DEADLINE_NONE)
		return 0;
	if (d->usec_left)
		rate = MARGIN * (double)d->tokens / (double)d->usec_left * (double)USEC_PER_SEC;
	return fmin(rate, d->ceiling);
}

/* In proportion to the largest share, which gets the largest weight. */
static uint32_t share_to_weight(double share, double largest)
{
	double weight = round(share / largest * BUDGET_WEIGHT_MAX);

	return weight < 1 ? 1 : (uint32_t)weight;
}

void deadline_divide(struct deadline_demand *demands, size_t n, double rate)
{
	double left = rate * (1 - EVEN_PART), even = rate / (double)n, rest, given;
	double largest = 0;
	uint64_t ahead = 0;

	qsort(demands, n, sizeof(*demands), compare_deadlines);
	for (size_t i = 0; i < n; i++) {
		struct deadline_demand *d = &demands[i];

		d->weight = BUDGET_WEIGHT_DEFAULT;
		d->ahead = d->usec_left == DEADLINE_NONE ? 0 : ahead;
		ahead += d->tokens;
		given = fmin(demand_rate(d, even), left);
		left -= given;
		largest = fmax(largest, given);
	}
	/* Nobody has a deadline. */
	if (largest <= 0)
		return;

	rest = (left + rate * EVEN_PART) / (double)n;
	left = rate * (1 - EVEN_PART);
	for (size_t i = 0; i < n; i++) {
		given = fmin(demand_rate(&demands[i], even), left);
		left -= given;
		demands[i].weight = share_to_weight(given + rest, largest + rest);
	}
}
