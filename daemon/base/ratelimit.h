/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * So many in a while and no more: for messages that anybody can cause. All of it is here: Varlink
 * links with no other library of ours.
 */
#ifndef EAGERSPLITD_RATELIMIT_H
#define EAGERSPLITD_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct ratelimit - with its limits set and the rest zero, one that is fresh
 * @interval: nanoseconds
 * @burst: allowed in each
 * @begin: when the one at hand began
 * @n: asked for in it
 */
struct ratelimit {
	uint64_t interval;
	uint64_t burst;
	uint64_t begin;
	uint64_t n;
};

/*
 * Whether one more is allowed at @now (CLOCK_MONOTONIC, nanoseconds). @ret_missed: how
 * many were not since the last one that was; 0 unless this is the first of an interval.
 */
static inline bool ratelimit_allow(struct ratelimit *limit, uint64_t now, uint64_t *ret_missed)
{
	*ret_missed = 0;
	if (limit->n == 0 || now - limit->begin >= limit->interval) {
		if (limit->n > limit->burst)
			*ret_missed = limit->n - limit->burst;
		limit->begin = now;
		limit->n = 0;
	}
	return ++limit->n <= limit->burst;
}

#endif /* EAGERSPLITD_RATELIMIT_H */
