// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/ratelimit.h"

bool ratelimit_allow(struct ratelimit *limit, uint64_t now, uint64_t *ret_missed)
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
