/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket whose bound is a strict one, see budget.h: tokens that have been granted take up their
 * room in it until they are returned. Pure: all times are nanoseconds of one monotonic clock.
 */
#ifndef EAGERSPLITD_BUCKET_H
#define EAGERSPLITD_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

/**
 * struct bucket - tokens of one limit
 * @rate: tokens a second, 0: no limit
 * @burst: the most it holds
 * @level: tokens at hand, in billionths; negative after an overdraft
 * @in_flight: tokens granted and not returned. @level + @in_flight never
 *	       rises above @burst: that is the bound's proof
 * @refilled: the time that @level is of
 */
struct bucket {
	uint64_t rate;
	uint64_t burst;
	int64_t level;
	uint64_t in_flight;
	uint64_t refilled;
};

/* Begins empty. */
void bucket_init(struct bucket *k, uint64_t rate, uint64_t burst, uint64_t now);

/* What is in it stays, and what is new of a burst is yet to be earned. */
void bucket_set_limits(struct bucket *k, uint64_t rate, uint64_t burst, uint64_t now);

/* Adds what has been earned up to @now: what follows is as of then. */
void bucket_refill(struct bucket *k, uint64_t now);

/* Grants @n tokens, which it has. */
void bucket_take(struct bucket *k, uint64_t n);

/* Returns @granted of them, of which @used were spent, be it more. */
void bucket_put(struct bucket *k, uint64_t granted, uint64_t used, uint64_t now);

/* Whether it has so many. */
bool bucket_has(const struct bucket *k, uint64_t n);

/* When it, refilled up to @now, has @n tokens, which it has room for. */
uint64_t bucket_ready_at(const struct bucket *k, uint64_t n, uint64_t now);

/* The most that could be handed out now if it were full. */
uint64_t bucket_room(const struct bucket *k);

/*
 * How much to hand out at once: a hundredth of a second's worth, so that calls stay short, and half a
 * burst, so that it fills during the call.
 */
uint64_t bucket_quantum(const struct bucket *k);

#endif /* EAGERSPLITD_BUCKET_H */
