// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget/bucket.h"

#include "budget/budget-limits.h"

/* A token, in the bucket's unit: a rate times nanoseconds gives those. */
#define TOKEN ((int64_t)NSEC_PER_SEC)

/*
 * The level of a bucket that is full: what it holds beside the tokens in
 * flight. Negative when those are more than a burst, as they may be after a
 * limit was set: then what they leave unspent comes back to fill the hole.
 */
static int64_t bucket_full(const struct bucket *k)
{
	return ((int64_t)k->burst - (int64_t)k->in_flight) * TOKEN;
}

/*
 * Whatever the level is said to be, it is not above full; nor without end below.
 * Where there is no limit nothing is saved up for one that is set later.
 */
static void bucket_clamp(struct bucket *k)
{
	int64_t full = bucket_full(k);
	int64_t lowest = full - (int64_t)BUDGET_BURST_MAX * TOKEN;

	if (!k->rate)
		k->level = 0;
	if (k->level > full)
		k->level = full;
	if (k->level < lowest)
		k->level = lowest;
}

void bucket_refill(struct bucket *k, uint64_t now)
{
	int64_t full = bucket_full(k);
	uint64_t missing, elapsed;

	if (now <= k->refilled)
		return;
	elapsed = now - k->refilled;
	k->refilled = now;

	if (!k->rate || k->level >= full)
		return;
	missing = (uint64_t)(full - k->level);
	/* Compare before multiplying: the product may not fit. */
	if (elapsed > missing / k->rate)
		k->level = full;
	else
		k->level += (int64_t)(k->rate * elapsed);
}

void bucket_init(struct bucket *k, uint64_t rate, uint64_t burst, uint64_t now)
{
	*k = (struct bucket){
		.rate = rate,
		.burst = burst,
		.refilled = now,
	};
}

void bucket_set_limits(struct bucket *k, uint64_t rate, uint64_t burst, uint64_t now)
{
	/* The time up to now earns at the rate that was in force. */
	bucket_refill(k, now);
	k->rate = rate;
	k->burst = burst;
	bucket_clamp(k);
}

void bucket_take(struct bucket *k, uint64_t n)
{
	k->in_flight += n;
	k->level -= (int64_t)n * TOKEN;
	bucket_clamp(k);
}

void bucket_put(struct bucket *k, uint64_t granted, uint64_t used, uint64_t now)
{
	/* Refill first: until now the grant took up its room. */
	bucket_refill(k, now);
	k->in_flight -= granted;
	k->level += ((int64_t)granted - (int64_t)min_u64(used, BUDGET_BURST_MAX)) * TOKEN;
	bucket_clamp(k);
}

bool bucket_has(const struct bucket *k, uint64_t n)
{
	return !k->rate || k->level >= (int64_t)n * TOKEN;
}

uint64_t bucket_ready_at(const struct bucket *k, uint64_t n, uint64_t now)
{
	uint64_t missing;

	if (bucket_has(k, n))
		return now;
	missing = (uint64_t)((int64_t)n * TOKEN - k->level);
	return now + missing / k->rate + !!(missing % k->rate);
}

uint64_t bucket_room(const struct bucket *k)
{
	return k->in_flight < k->burst ? k->burst - k->in_flight : 0;
}

uint64_t bucket_quantum(const struct bucket *k)
{
	uint64_t half = max_u64(k->burst / 2, 1);

	if (!k->rate)
		return BUDGET_UNLIMITED_GRANT;
	return min_u64(max_u64(k->rate / BUDGET_GRANTS_PER_SEC, 1), half);
}
