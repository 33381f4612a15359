// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/forecast.h"

#include <math.h>

#include "base/util.h"

/* Blocks that the kernel splits in one pause, the most; see VmPauseRate= in eagersplitd.conf(5). */
#define BLOCKS_PER_PAUSE 512

/* TLBIs a second. */
static double get_tlbi_speed(const struct forecast_host *host)
{
	double speed = host->rate ? (double)host->rate : INFINITY, by_load;

	if (!host->load_ppm || !host->tlbis || !host->tlbi_usec)
		return speed;
	/* Millionths of the time are microseconds a second. */
	by_load = (double)host->load_ppm * (double)host->tlbis / (double)host->tlbi_usec;
	return by_load < speed ? by_load : speed;
}

double forecast_speed(const struct forecast_host *host)
{
	double each = 1;

	if (host->pauses && host->pause_rate)
		return (double)host->pause_rate * BLOCKS_PER_PAUSE;
	if (!host->throttled)
		return INFINITY;
	/* What was recovered cost TLBIs as well. */
	if (host->tlbis && host->blocks > host->tlbis)
		each = (double)host->blocks / (double)host->tlbis;
	return get_tlbi_speed(host) * each;
}

uint64_t forecast_time(uint64_t blocks, double speed)
{
	double usec = (double)blocks / speed * (double)USEC_PER_SEC;

	return usec < (double)INT64_MAX ? (uint64_t)usec : INT64_MAX;
}
