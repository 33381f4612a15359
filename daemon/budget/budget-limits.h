/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bounds the TLBIs of the host, and what bounds that. */
#ifndef EAGERSPLITD_BUDGET_LIMITS_H
#define EAGERSPLITD_BUDGET_LIMITS_H

#include <stdint.h>

#include "base/util.h"

#define BUDGET_RATE_MAX	 UINT64_C(1000000000)
#define BUDGET_BURST_MAX UINT64_C(1000000000)

/* Grants a second at which TLBIs are handed out, where burst and load allow. */
#define BUDGET_GRANTS_PER_SEC 100

/* What a single grant is limited to where no rate is. */
#define BUDGET_UNLIMITED_GRANT UINT64_C(512)

/* Loads are parts of this. */
#define BUDGET_LOAD_MAX 1000000

/* Time of TLBIs that a load begins with as its debt. */
#define BUDGET_LOAD_START_NSEC (5 * NSEC_PER_MSEC)

/**
 * struct budget_limits - what holds for the host
 * @rate: TLBIs a second, 0: no limit
 * @burst: the most at once, at least 1
 * @load: of all time, how much TLBIs may be under way, in parts of
 *	  BUDGET_LOAD_MAX; 0: no limit
 */
struct budget_limits {
	uint64_t rate;
	uint64_t burst;
	uint32_t load;
};

#endif /* EAGERSPLITD_BUDGET_LIMITS_H */
