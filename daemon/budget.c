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

/* The most TLBI time that a call is charged. */
#define CALL_MAX_NSEC (10 * NSEC_PER_SEC)

/* How much of what a TLBI takes is what the last call showed. */
#define COST_GAIN 0.25

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

/**
 * struct load - TLBI time
 * @limit: of all time, in parts of BUDGET_LOAD_MAX; 0: no limit
 * @debt: what was taken and has not been earned since, in nanoseconds times
 *	  BUDGET_LOAD_MAX
 * @settled: the time that @debt is of
 * @calls: granted and not returned; nothing is earned meanwhile
 * @returned: calls that TLBIs were spent in have come back: what follows is known
 * @tlbi_nsec: that a TLBI takes
 * @tlbi_last_nsec: and took in the last call
 * @call_nsec: that a call takes for each TLBI in it
 * @granted: how many TLBIs the last call was granted
 */
struct load {
	uint32_t limit;
	uint64_t debt;
	uint64_t settled;
	size_t calls;
	bool returned;
	double tlbi_nsec;
	double tlbi_last_nsec;
	double call_nsec;
	uint64_t granted;
};

struct budget {
	struct bucket host;
	struct load load;
	uint64_t vtime;
	TAILQ_HEAD(budget_client_list, budget_client) clients;
};

/**
 * struct budget_client - one that shares in the budget
 * @ceiling: its own limit
 * @vtime: weighted count of the tokens it got: the lowest is next
 * @want: tokens it could use
 * @granted: tokens in flight
 * @granted_at: since when
 */
struct budget_client {
	struct budget *budget;
	void *userdata;
	struct bucket ceiling;
	uint64_t vtime;
	uint64_t want;
	uint64_t granted;
	uint64_t granted_at;
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

static void load_settle(struct load *l, uint64_t now)
{
	uint64_t elapsed;

	if (now <= l->settled)
		return;
	elapsed = now - l->settled;
	l->settled = now;
	if (!l->limit)
		l->debt = 0;
	if (l->calls || !l->debt)
		return;
	/* Compare before multiplying: the product may not fit. */
	if (elapsed > l->debt / l->limit)
		l->debt = 0;
	else
		l->debt -= l->limit * elapsed;
}

static void load_set_limit(struct load *l, uint32_t limit, uint64_t now)
{
	load_settle(l, now);
	l->limit = limit;
}

static void load_begin_call(struct load *l, uint64_t tlbis, uint64_t now)
{
	load_settle(l, now);
	l->calls++;
	l->granted = tlbis;
}

static void load_learn(struct load *l, double tlbis, double tlbi_nsec, double call_nsec)
{
	double gain = l->returned ? COST_GAIN : 1;

	if (tlbis <= 0)
		return;
	l->tlbi_last_nsec = tlbi_nsec / tlbis;
	l->tlbi_nsec += (tlbi_nsec / tlbis - l->tlbi_nsec) * gain;
	l->call_nsec += (call_nsec / tlbis - l->call_nsec) * gain;
	l->returned = true;
}

static void load_end_call(struct load *l, uint64_t tlbi_nsec, uint64_t now)
{
	/* Settle first: until now nothing was earned. */
	load_settle(l, now);
	l->calls--;
	if (l->limit)
		l->debt = min_u64(l->debt + min_u64(tlbi_nsec, CALL_MAX_NSEC) * BUDGET_LOAD_MAX,
				  CALL_MAX_NSEC * BUDGET_LOAD_MAX);
}

/* When a call may be made, as of @now; UINT64_MAX: once another has come back. */
static uint64_t load_ready_at(const struct load *l, uint64_t now)
{
	if (!l->limit)
		return now;
	if (l->calls)
		return UINT64_MAX;
	return now + l->debt / l->limit + !!(l->debt % l->limit);
}

/* As bucket_quantum(), by what a TLBI is known to take, and at most twice what there was last. */
static uint64_t load_quantum(const struct load *l)
{
	double earned = (double)l->limit / BUDGET_LOAD_MAX * (double)NSEC_PER_SEC / GRANTS_PER_SEC;
	double n;

	if (!l->limit)
		return UINT64_MAX;
	if (!l->returned)
		return 1;
	n = earned / fmax(l->tlbi_nsec, l->tlbi_last_nsec);
	return n < 1 ? 1 : min_u64((uint64_t)fmin(n, BUDGET_UNLIMITED_GRANT), 2 * l->granted);
}

static void assert_limits(const struct budget_limits *limits)
{
	assert(limits->rate <= BUDGET_RATE_MAX);
	assert(limits->burst >= 1 && limits->burst <= BUDGET_BURST_MAX);
	assert(limits->load <= BUDGET_LOAD_MAX);
	(void)limits;
}

int budget_new(struct budget **ret, const struct budget_limits *limits, uint64_t now)
{
	struct budget *b;

	assert_limits(limits);
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	bucket_init(&b->host, limits->rate, limits->burst, now);
	b->load = (struct load){
		.limit = limits->load,
		.debt = BUDGET_LOAD_START_NSEC * BUDGET_LOAD_MAX,
		.settled = now,
	};
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

void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now)
{
	struct budget_client *c;

	assert_limits(limits);
	bucket_set_limits(&b->host, limits->rate, limits->burst, now);
	load_set_limit(&b->load, limits->load, now);
	TAILQ_FOREACH(c, &b->clients, link)
		bucket_set_limits(&c->ceiling, c->ceiling.rate, limits->burst, now);
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
	n = min_u64(n, load_quantum(&c->budget->load));
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
	load_settle(&b->load, now);
	if (load_ready_at(&b->load, now) > now)
		return NULL;
	c = budget_pick(b, now);
	if (!c)
		return NULL;
	n = client_amount(c);
	if (!bucket_has(&b->host, n))
		return NULL;

	load_begin_call(&b->load, n, now);
	bucket_take(&b->host, n);
	bucket_take(&c->ceiling, n);
	c->granted = n;
	c->granted_at = now;
	if ((int64_t)(c->vtime - b->vtime) > 0)
		b->vtime = c->vtime;
	c->vtime += n * VTIME_TOKEN / c->weight;

	/* Behind those of the same order: whoever gets the same, in turn. */
	TAILQ_REMOVE(&b->clients, c, link);
	TAILQ_INSERT_TAIL(&b->clients, c, link);
	*ret_tlbis = n;
	return c;
}

void budget_return(struct budget_client *c, uint64_t now, uint64_t used, uint64_t tlbi_nsec)
{
	uint64_t granted = c->granted;
	double took = now > c->granted_at ? (double)(now - c->granted_at) : 0;

	load_learn(&c->budget->load, (double)used, (double)tlbi_nsec, took);
	load_end_call(&c->budget->load, tlbi_nsec, now);
	bucket_put(&c->budget->host, granted, used, now);
	bucket_put(&c->ceiling, granted, used, now);
	c->granted = 0;
	c->vtime -= granted * VTIME_TOKEN / c->weight;
	c->vtime += min_u64(used, c->budget->host.burst + granted) * VTIME_TOKEN / c->weight;
}

/* As budget_next_ready(), but for the load. */
static uint64_t budget_next_tokens(struct budget *b, uint64_t now)
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

uint64_t budget_next_ready(struct budget *b, uint64_t now)
{
	uint64_t tokens = budget_next_tokens(b, now);

	load_settle(&b->load, now);
	return tokens == UINT64_MAX ? tokens : max_u64(tokens, load_ready_at(&b->load, now));
}

double budget_get_rate(const struct budget *b)
{
	const struct load *l = &b->load;
	double rate = b->host.rate ? (double)b->host.rate : INFINITY;
	double period;

	if (!l->limit || !l->returned || l->tlbi_nsec <= 0)
		return rate;
	/* One call after the other, each followed by the time in which it is earned. */
	period = l->call_nsec + l->tlbi_nsec * BUDGET_LOAD_MAX / l->limit;
	return fmin(rate, (double)NSEC_PER_SEC / period);
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
	double all = budget_get_rate(b), fill = 0, next;

	if (isinf(all))
		return budget_client_get_ceiling(c);

	/*
	 * @fill is the rate for each unit of weight when those with a ceiling
	 * below it leave the rest to the others. It only rises, and each round
	 * adds a client to those, so this ends.
	 */
	for (;;) {
		double rate = all, weights = 0;

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
