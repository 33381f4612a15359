/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_FORECAST_H
#define EAGERSPLITD_CTL_FORECAST_H

/* How long it will take to split so many blocks on a host, by what is known of it. Pure. */

#include <stdbool.h>
#include <stdint.h>

/**
 * struct forecast_host - what the host says of itself
 * @throttled: splits cost TLBIs of the budget
 * @rate: TLBIs a second, 0: no limit
 * @load_ppm: of the time, how much of it they may take, in millionths, 0: no limit
 * @tlbis: that there have been
 * @blocks: that those have split
 * @tlbi_usec: that those took
 * @pauses: VMs are split by pauses, which cost none, and each at its own pace
 * @pause_rate: pauses a second of each VM, 0: no limit
 */
struct forecast_host {
	bool throttled;
	uint64_t rate;
	uint64_t load_ppm;
	uint64_t tlbis;
	uint64_t blocks;
	uint64_t tlbi_usec;
	bool pauses;
	uint64_t pause_rate;
};

/*
 * Blocks a second that the budget is good for: by how many a TLBI has split there so far and
 * how long it took, where that is known; else a TLBI splits one, which is the least. By pauses,
 * blocks a second of each VM: a pause is good for as many as a call takes.
 * INFINITY: nothing limits it, as far as is known.
 */
double forecast_speed(const struct forecast_host *host);

/* In how many microseconds so many blocks are split at that speed. */
uint64_t forecast_time(uint64_t blocks, double speed);

#endif /* EAGERSPLITD_CTL_FORECAST_H */
