// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget/eta.h"

#include <math.h>

#include "base/util.h"

/*
 * With a deadline, its share grows as those before it are done: in how many seconds it is,
 * if all are served one after the other.
 */
static double estimate_in_turn(const struct eta_demand *d)
{
	if (isinf(d->rate))
		return INFINITY;
	return fmax(((double)d->ahead + (double)d->tlbis) / d->rate, (double)d->tlbis / d->limit);
}

bool eta_estimate(const struct eta_demand *d, uint64_t *ret_usec)
{
	double speed = fmin(d->share, d->speed), usec;

	if (isinf(speed))
		return false;
	usec = fmin((double)d->tlbis / speed, estimate_in_turn(d)) * (double)USEC_PER_SEC;
	*ret_usec = usec < (double)INT64_MAX ? (uint64_t)usec : INT64_MAX;
	return true;
}

bool eta_is_late(uint64_t eta_usec, uint64_t deadline_usec, uint64_t now_usec)
{
	if (deadline_usec == UINT64_MAX)
		return false;
	return now_usec > deadline_usec || eta_usec > deadline_usec - now_usec;
}
