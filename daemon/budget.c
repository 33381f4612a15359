// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <sys/queue.h>

/* A TLBI token, in the bucket's unit: a rate times nanoseconds gives those. */
#define TOKEN ((int64_t)NSEC_PER_SEC)

/* Virtual time that a token costs a client of weight 1. */
#define VTIME_TOKEN (UINT64_C(1) << 20)

/* Grants a second at which tokens are handed out, where the burst allows. */
#define GRANTS_PER_SEC 100

/**
 * struct bucket - tokens of one limit
 * @rate: tokens a second, 0: no limit
 * @burst: the most it holds
 * @level: tokens at hand, in units of 1/TOKEN; negative after an overdraft
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

struct budget {
	struct bucket host;
	uint64_t vtime;
	TAILQ_HEAD(budget_client_list, budget_client) clients;
};

/**
 * struct budget_client - one that shares in the budget
 * @ceiling: its own limit
 * @vtime: weighted count of the tokens it got: the lowest is next
 * @want: tokens it could use
 * @granted: tokens in flight
 */
struct budget_client {
	struct budget *budget;
	void *userdata;
	struct bucket ceiling;
	uint64_t vtime;
	uint64_t want;
	uint64_t granted;
	uint32_t weight;
	TAILQ_ENTRY(budget_client) link;
};

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

static void bucket_refill(struct bucket *k, uint64_t now)
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

static void bucket_init(struct bucket *k, uint64_t rate, uint64_t burst, uint64_t now)
{
	*k = (struct bucket){
		.rate = rate,
		.burst = burst,
		.refilled = now,
	};
}

static void bucket_set_limits(struct bucket *k, uint64_t rate, uint64_t burst, uint64_t now)
{
	/* The time up to now earns at the rate that was in force. */
	bucket_refill(k, now);
	k->rate = rate;
	k->burst = burst;
	bucket_clamp(k);
}

static void bucket_take(struct bucket *k, uint64_t n)
{
	k->in_flight += n;
	k->level -= (int64_t)n * TOKEN;
	bucket_clamp(k);
}

static void bucket_put(struct bucket *k, uint64_t granted, uint64_t used, uint64_t now)
{
	/* Refill first: until now the grant took up its room. */
	bucket_refill(k, now);
	k->in_flight -= granted;
	k->level += ((int64_t)granted - (int64_t)min_u64(used, BUDGET_BURST_MAX)) * TOKEN;
	bucket_clamp(k);
}

static bool bucket_has(const struct bucket *k, uint64_t n)
{
	return !k->rate || k->level >= (int64_t)n * TOKEN;
}

/* When @k, refilled up to @now, has @n tokens, which it has room for. */
static uint64_t bucket_ready_at(const struct bucket *k, uint64_t n, uint64_t now)
{
	uint64_t missing;

	if (bucket_has(k, n))
		return now;
	missing = (uint64_t)((int64_t)n * TOKEN - k->level);
	return now + missing / k->rate + !!(missing % k->rate);
}

/* The most that could be handed out now if @k were full. */
static uint64_t bucket_room(const struct bucket *k)
{
	return k->in_flight < k->burst ? k->burst - k->in_flight : 0;
}

/*
 * How much to hand out at once: a hundredth of a second's worth, so that calls
 * stay short, and half a burst, so that the bucket fills during the call.
 */
static uint64_t bucket_quantum(const struct bucket *k)
{
	uint64_t half = max_u64(k->burst / 2, 1);

	if (!k->rate)
		return BUDGET_UNLIMITED_GRANT;
	return min_u64(max_u64(k->rate / GRANTS_PER_SEC, 1), half);
}

int budget_new(struct budget **ret, uint64_t rate, uint64_t burst, uint64_t now)
{
	struct budget *b;

	assert(rate <= BUDGET_RATE_MAX && burst >= 1 && burst <= BUDGET_BURST_MAX);

	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	bucket_init(&b->host, rate, burst, now);
	TAILQ_INIT(&b->clients);
	*ret = b;
	return 0;
}

struct budget *budget_free(struct budget *b)
{
	assert(!b || TAILQ_EMPTY(&b->clients));
	free(b);
	return NULL;
}

void budget_set_limits(struct budget *b, uint64_t rate, uint64_t burst, uint64_t now)
{
	struct budget_client *c;

	assert(rate <= BUDGET_RATE_MAX && burst >= 1 && burst <= BUDGET_BURST_MAX);

	bucket_set_limits(&b->host, rate, burst, now);
	TAILQ_FOREACH(c, &b->clients, link)
		bucket_set_limits(&c->ceiling, c->ceiling.rate, burst, now);
}

int budget_client_new(struct budget_client **ret, struct budget *b, void *userdata, uint64_t now)
{
	struct budget_client *c;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->budget = b;
	c->userdata = userdata;
	c->weight = BUDGET_WEIGHT_DEFAULT;
	c->vtime = b->vtime;
	bucket_init(&c->ceiling, 0, b->host.burst, now);
	TAILQ_INSERT_TAIL(&b->clients, c, link);
	*ret = c;
	return 0;
}

struct budget_client *budget_client_free(struct budget_client *c)
{
	if (!c)
		return NULL;
	assert(!c->granted);
	TAILQ_REMOVE(&c->budget->clients, c, link);
	free(c);
	return NULL;
}

void *budget_client_get_userdata(const struct budget_client *c)
{
	return c->userdata;
}

void budget_client_set_weight(struct budget_client *c, uint32_t weight)
{
	assert(weight >= 1 && weight <= BUDGET_WEIGHT_MAX);
	c->weight = weight;
}

void budget_client_set_ceiling(struct budget_client *c, uint64_t rate, uint64_t now)
{
	assert(rate <= BUDGET_RATE_MAX);
	bucket_set_limits(&c->ceiling, rate, c->ceiling.burst, now);
}

/* Virtual time that a burst costs @c: how far it may save up, or be ahead. */
static int64_t client_vtime_span(const struct budget_client *c)
{
	return (int64_t)(c->ceiling.burst * VTIME_TOKEN / c->weight);
}

void budget_client_set_want(struct budget_client *c, uint64_t want)
{
	int64_t ahead = (int64_t)(c->vtime - c->budget->vtime);
	int64_t span = client_vtime_span(c);

	/* Whoever comes back neither gets what it did not want, nor an old debt. */
	if (!c->want && want) {
		if (ahead < 0)
			c->vtime = c->budget->vtime;
		else if (ahead > span)
			c->vtime = c->budget->vtime + (uint64_t)span;
	}
	c->want = want;
}

/* What @c is given when it is its turn; 0: it has to wait for a return. */
static uint64_t client_amount(const struct budget_client *c)
{
	const struct bucket *host = &c->budget->host;
	uint64_t n;

	if (!c->want || c->granted)
		return 0;
	n = min_u64(c->want, min_u64(bucket_quantum(host), bucket_quantum(&c->ceiling)));
	/* Its own bucket is whole: nothing of it is in flight. */
	return host->rate ? min_u64(n, bucket_room(host)) : n;
}

/* @c's place in the order; one that could not use its share saves up a little. */
static uint64_t client_order(struct budget_client *c)
{
	int64_t behind = (int64_t)(c->budget->vtime - c->vtime);
	int64_t span = client_vtime_span(c);

	if (behind > span)
		c->vtime = c->budget->vtime - (uint64_t)span;
	return c->vtime;
}

/*
 * The client whose turn it is among those whose ceiling lets them now. It is
 * waited for when the host's bucket has too little: one who wants less must
 * not overtake it for ever.
 */
static struct budget_client *budget_pick(struct budget *b, uint64_t now)
{
	struct budget_client *c, *best = NULL;
	uint64_t n;

	TAILQ_FOREACH(c, &b->clients, link) {
		n = client_amount(c);
		if (!n)
			continue;
		bucket_refill(&c->ceiling, now);
		if (!bucket_has(&c->ceiling, n))
			continue;
		if (!best || (int64_t)(client_order(c) - client_order(best)) < 0)
			best = c;
	}
	return best;
}

struct budget_client *budget_grant(struct budget *b, uint64_t now, uint64_t *ret_tlbis)
{
	struct budget_client *c;
	uint64_t n;

	bucket_refill(&b->host, now);
	c = budget_pick(b, now);
	if (!c)
		return NULL;
	n = client_amount(c);
	if (!bucket_has(&b->host, n))
		return NULL;

	bucket_take(&b->host, n);
	bucket_take(&c->ceiling, n);
	c->granted = n;
	if ((int64_t)(c->vtime - b->vtime) > 0)
		b->vtime = c->vtime;
	c->vtime += n * VTIME_TOKEN / c->weight;

	/* Behind those of the same order: whoever gets the same, in turn. */
	TAILQ_REMOVE(&b->clients, c, link);
	TAILQ_INSERT_TAIL(&b->clients, c, link);
	*ret_tlbis = n;
	return c;
}

void budget_return(struct budget_client *c, uint64_t now, uint64_t used)
{
	uint64_t granted = c->granted;

	bucket_put(&c->budget->host, granted, used, now);
	bucket_put(&c->ceiling, granted, used, now);
	c->granted = 0;
	c->vtime -= granted * VTIME_TOKEN / c->weight;
	c->vtime += min_u64(used, c->budget->host.burst + granted) * VTIME_TOKEN / c->weight;
}

uint64_t budget_next_ready(struct budget *b, uint64_t now)
{
	uint64_t n, ready = UINT64_MAX;
	struct budget_client *c;

	bucket_refill(&b->host, now);
	c = budget_pick(b, now);
	if (c)
		return bucket_ready_at(&b->host, client_amount(c), now);

	/* All who could are below their ceilings' water: the first to be let. */
	TAILQ_FOREACH(c, &b->clients, link) {
		n = client_amount(c);
		if (n)
			ready = min_u64(ready, max_u64(bucket_ready_at(&c->ceiling, n, now),
						       bucket_ready_at(&b->host, n, now)));
	}
	return ready;
}

/* Whether @c counts in the sharing, seen from @self, which always does. */
static bool client_shares(const struct budget_client *c, const struct budget_client *self)
{
	return c == self || c->want || c->granted;
}

double budget_client_get_ceiling(const struct budget_client *c)
{
	return c->ceiling.rate ? (double)c->ceiling.rate : INFINITY;
}

double budget_client_get_share(const struct budget_client *c)
{
	const struct budget *b = c->budget;
	const struct budget_client *o;
	double fill = 0, next;

	if (!b->host.rate)
		return budget_client_get_ceiling(c);

	/*
	 * @fill is the rate for each unit of weight when those with a ceiling
	 * below it leave the rest to the others. It only rises, and each round
	 * adds a client to those, so this ends.
	 */
	for (;;) {
		double rate = (double)b->host.rate, weights = 0;

		TAILQ_FOREACH(o, &b->clients, link) {
			if (!client_shares(o, c))
				continue;
			if (budget_client_get_ceiling(o) <= fill * o->weight)
				rate -= budget_client_get_ceiling(o);
			else
				weights += o->weight;
		}
		if (weights == 0)
			break;
		next = rate / weights;
		if (next <= fill)
			break;
		fill = next;
	}
	return fmin(fill * c->weight, budget_client_get_ceiling(c));
}

void budget_get_load(const struct budget *b, struct budget_load *load)
{
	const struct budget_client *c;

	*load = (struct budget_load){ .granted = b->host.in_flight };
	TAILQ_FOREACH(c, &b->clients, link)
		load->waiting += c->want > 0 && !c->granted;
}
