/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_WHEN_H
#define EAGERSPLITD_CTL_WHEN_H

/* Points in time, as people and programs write them. */

#include <stdint.h>

/*
 * Parses a point in time: "+SPAN" or "SPAN UNIT" (from now); "@SECONDS[.FRACTION]" (since
 * 1970); "YYYY-MM-DD[ HH:MM[:SS[.FRACTION]]]", with a "T" between the two if wanted, in local
 * time or, with "Z" or "+HH:MM" behind it, as in RFC 3339; "HH:MM[:SS]", the next time that
 * local clocks show it. Where they show a time twice, it is the next of the two. A bare number
 * is refused: nobody can tell which of them it is. What no calendar has is refused too, as
 * are local times that are left out when clocks are put forward.
 *
 * Returns 0 and CLOCK_REALTIME in microseconds, -EINVAL, or -ERANGE.
 */
int parse_time(const char *s, uint64_t now_usec, uint64_t *ret_usec);

#endif /* EAGERSPLITD_CTL_WHEN_H */
