// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/latency.h"

#include "base/util.h"

/*
 * From a call that does nothing to the survey of terabytes, in the steps that
 * monitoring is used to.
 */
static const uint64_t limits_usec[LATENCY_BUCKETS] = {
	10,    25,    50,     100,    250,    500,     1000,	2500,	 5000,	   10000,
	25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

uint64_t latency_limit_usec(size_t i)
{
	return limits_usec[i];
}

void latency_add(struct latency *latency, uint64_t nsec)
{
	size_t i = 0;

	while (i < LATENCY_BUCKETS && nsec > limits_usec[i] * NSEC_PER_USEC)
		i++;
	latency->counts[i]++;
	latency->count++;
	latency->sum_nsec += nsec;
}
