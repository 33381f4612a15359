// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget/budget.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/heap.h"
#include "budget/bucket.h"
#include "budget/tlbi-load.h"

/* Virtual time that a token costs a client of weight 1. */
#define VTIME_TOKEN (UINT64_C(1) << 30)

/**
 * struct budget - what there is, and who wants some of it
 * @vtime: how far a client has got that gets what is its due
 * @weights: of those that want tokens, or have some
 * @turn: counts clients that came, and grants
 * @early: clients that want tokens, have none, and have got further: the one that has least first
 * @ready: those that have not: the one that is to get there first with what it is given
 * @blocked: those that wait for their ceilings, the first to be let by it first
 */
struct budget {
	struct bucket host;
	struct tlbi_load load;
	uint64_t vtime;
	uint64_t weights;
	uint64_t turn;
	struct heap early;
	struct heap ready;
	struct heap blocked;
	LIST_HEAD(budget_client_list, budget_client) clients;
};

/**
 * struct budget_client - one that shares in the budget
 * @ceiling: its own limit
 * @vtime: how far it has got: the tokens it got, by its weight
 * @end: how far it will have got with what it is given next
 * @turn: when it was last granted some, or came: of two that are equal, the lower is next
 * @want: tokens it could use
 * @granted: tokens in flight
 * @granted_at: since when
 * @granted_vtime: @vtime before that
 * @queue: of those of the budget, where it is, by @node; NULL: in none
 * @let_at: until then its ceiling has too little, where it is blocked
 * @counted: what it is of budget.weights
 */
struct budget_client {
	struct budget *budget;
	void *userdata;
	struct bucket ceiling;
	uint64_t vtime;
	uint64_t end;
	uint64_t turn;
	uint64_t want;
	uint64_t granted;
	uint64_t granted_at;
	uint64_t granted_vtime;
	struct heap *queue;
	struct heap_node node;
	uint64_t let_at;
	uint32_t weight;
	uint32_t counted;
	LIST_ENTRY(budget_client) link;
};

static void assert_limits(const struct budget_limits *limits)
{
	assert(limits->rate <= BUDGET_RATE_MAX);
	assert(limits->burst >= 1 && limits->burst <= BUDGET_BURST_MAX);
	assert(limits->load <= BUDGET_LOAD_MAX);
	(void)limits;
}

static struct budget_client *to_client(const struct heap_node *node)
{
	return node ? container_of(node, struct budget_client, node) : NULL;
}

static bool is_sooner(uint64_t a, uint64_t b, const struct budget_client *x,
		      const struct budget_client *y)
{
	return a == b ? x->turn < y->turn : (int64_t)(a - b) < 0;
}

static bool is_behind(const struct heap_node *a, const struct heap_node *b)
{
	const struct budget_client *x = to_client(a), *y = to_client(b);

	return is_sooner(x->vtime, y->vtime, x, y);
}

static bool ends_before(const struct heap_node *a, const struct heap_node *b)
{
	const struct budget_client *x = to_client(a), *y = to_client(b);

	return is_sooner(x->end, y->end, x, y);
}

static bool is_let_before(const struct heap_node *a, const struct heap_node *b)
{
	return to_client(a)->let_at < to_client(b)->let_at;
}

int budget_new(struct budget **ret, const struct budget_limits *limits, uint64_t now)
{
	struct budget *b;

	assert_limits(limits);
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	bucket_init(&b->host, limits->rate, limits->burst, now);
	tlbi_load_init(&b->load, limits->load, now);
	b->early.less = is_behind;
	b->ready.less = ends_before;
	b->blocked.less = is_let_before;
	LIST_INIT(&b->clients);
	*ret = b;
	return 0;
}

struct budget *budget_free(struct budget *b)
{
	assert(!b || LIST_EMPTY(&b->clients));
	free(b);
	return NULL;
}

/* Virtual time that a burst costs @c: how far it may save up, or be ahead. */
static int64_t client_vtime_span(const struct budget_client *c)
{
	return (int64_t)(c->ceiling.burst * VTIME_TOKEN / c->weight);
}

/* What @c, which wants some and has none, could be given if there were nobody else. */
static uint64_t client_quantum(const struct budget_client *c)
{
	const struct budget *b = c->budget;
	uint64_t n = min_u64(bucket_quantum(&b->host), bucket_quantum(&c->ceiling));

	return min_u64(min_u64(c->want, n), tlbi_load_quantum(&b->load));
}

static void client_enter(struct budget_client *c, struct heap *queue)
{
	if (c->queue)
		heap_remove(c->queue, &c->node);
	c->queue = queue;
	if (queue)
		heap_add(queue, &c->node);
}

static void client_count(struct budget_client *c, bool takes_part)
{
	c->budget->weights -= c->counted;
	c->counted = takes_part ? c->weight : 0;
	c->budget->weights += c->counted;
}

/*
 * Puts @c where it belongs. Whether its ceiling lets it is seen when it is its turn. One that could
 * not use its share saves up a little.
 */
static void client_queue(struct budget_client *c)
{
	struct budget *b = c->budget;
	int64_t behind = (int64_t)(b->vtime - c->vtime);
	int64_t span = client_vtime_span(c);

	client_enter(c, NULL);
	client_count(c, c->want || c->granted);
	if (!c->want || c->granted)
		return;
	if (behind > span)
		c->vtime = b->vtime - (uint64_t)span;
	c->end = c->vtime + client_quantum(c) * VTIME_TOKEN / c->weight;
	client_enter(c, &b->early);
}

void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now)
{
	struct budget_client *c;

	assert_limits(limits);
	bucket_set_limits(&b->host, limits->rate, limits->burst, now);
	tlbi_load_set_limit(&b->load, limits->load, now);
	LIST_FOREACH(c, &b->clients, link) {
		bucket_set_limits(&c->ceiling, c->ceiling.rate, limits->burst, now);
		client_queue(c);
	}
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
	c->turn = ++b->turn;
	bucket_init(&c->ceiling, 0, b->host.burst, now);
	LIST_INSERT_HEAD(&b->clients, c, link);
	*ret = c;
	return 0;
}

struct budget_client *budget_client_free(struct budget_client *c)
{
	if (!c)
		return NULL;
	assert(!c->granted);
	client_enter(c, NULL);
	client_count(c, false);
	LIST_REMOVE(c, link);
	free(c);
	return NULL;
}

void *budget_client_get_userdata(const struct budget_client *c)
{
	return c->userdata;
}

void budget_client_set_weight(struct budget_client *c, uint32_t weight)
{
	double ahead = (double)(int64_t)(c->vtime - c->budget->vtime) * c->weight / weight, most;

	assert(weight >= 1 && weight <= BUDGET_WEIGHT_MAX);
	if (weight == c->weight)
		return;
	c->weight = weight;
	/* What it got before the others counts as many tokens as ever, and they cost something else now. */
	most = 2 * (double)client_vtime_span(c);
	if (!c->granted)
		c->vtime = c->budget->vtime + (uint64_t)(int64_t)fmax(fmin(ahead, most), -most);
	client_queue(c);
}

void budget_client_set_ceiling(struct budget_client *c, uint64_t rate, uint64_t now)
{
	assert(rate <= BUDGET_RATE_MAX);
	bucket_set_limits(&c->ceiling, rate, c->ceiling.burst, now);
	client_queue(c);
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
	if (c->want == want)
		return;
	c->want = want;
	client_queue(c);
}

/* What @c is given when it is its turn; 0: it has to wait for a return. */
static uint64_t client_amount(const struct budget_client *c)
{
	const struct bucket *host = &c->budget->host;
	uint64_t n = client_quantum(c);

	/* Its own bucket is whole: nothing of it is in flight. */
	return host->rate ? min_u64(n, bucket_room(host)) : n;
}

/* @c has to wait until its ceiling has @n tokens. */
static void client_block(struct budget_client *c, uint64_t n, uint64_t now)
{
	client_enter(c, NULL);
	c->let_at = bucket_ready_at(&c->ceiling, n, now);
	client_enter(c, &c->budget->blocked);
}

/*
 * The client that is to get where it gets before the others, of those that have got no further than
 * is their due; where there is none, of all: what one does not use is the others'. So one that has
 * most of it comes as often as is its due, beside however many that have little.
 */
static struct budget_client *budget_first(struct budget *b)
{
	struct budget_client *c = to_client(heap_first(&b->early));

	if (c && !heap_first(&b->ready) && (int64_t)(c->vtime - b->vtime) > 0)
		b->vtime = c->vtime;
	for (; c && (int64_t)(c->vtime - b->vtime) <= 0; c = to_client(heap_first(&b->early)))
		client_enter(c, &b->ready);
	return to_client(heap_first(&b->ready));
}

/*
 * The client whose turn it is among those whose ceiling lets them now. It is
 * waited for when the host's bucket has too little: one who wants less must
 * not overtake it for ever.
 */
static struct budget_client *budget_pick(struct budget *b, uint64_t now)
{
	struct budget_client *c;
	uint64_t n;

	/* All that there is is in flight. */
	if (b->host.rate && !bucket_room(&b->host))
		return NULL;
	while ((c = to_client(heap_first(&b->blocked))) && c->let_at <= now)
		client_queue(c);
	while ((c = budget_first(b))) {
		n = client_amount(c);
		bucket_refill(&c->ceiling, now);
		if (bucket_has(&c->ceiling, n))
			return c;
		client_block(c, n, now);
	}
	return NULL;
}

struct budget_client *budget_grant(struct budget *b, uint64_t now, uint64_t *ret_tlbis)
{
	struct budget_client *c;
	uint64_t n;

	bucket_refill(&b->host, now);
	tlbi_load_settle(&b->load, now);
	if (tlbi_load_ready_at(&b->load, now) > now)
		return NULL;
	c = budget_pick(b, now);
	if (!c)
		return NULL;
	n = client_amount(c);
	if (!bucket_has(&b->host, n))
		return NULL;

	tlbi_load_begin_call(&b->load, n, now);
	bucket_take(&b->host, n);
	bucket_take(&c->ceiling, n);
	c->granted = n;
	c->granted_at = now;
	c->granted_vtime = c->vtime;
	b->vtime += n * VTIME_TOKEN / b->weights;
	c->vtime += n * VTIME_TOKEN / c->weight;

	/* Behind those of the same order: whoever gets the same, in turn. */
	c->turn = ++b->turn;
	client_enter(c, NULL);
	*ret_tlbis = n;
	return c;
}

void budget_return(struct budget_client *c, uint64_t now, uint64_t used, uint64_t tlbi_nsec)
{
	uint64_t granted = c->granted, spent = min_u64(used, c->budget->host.burst + granted);
	uint64_t took = now > c->granted_at ? now - c->granted_at : 0;

	tlbi_load_end_call(&c->budget->load, used, tlbi_nsec, took, now);
	bucket_put(&c->budget->host, granted, used, now);
	bucket_put(&c->ceiling, granted, used, now);
	c->granted = 0;
	c->vtime = c->granted_vtime + spent * VTIME_TOKEN / c->weight;
	c->budget->vtime -= granted * VTIME_TOKEN / c->budget->weights;
	c->budget->vtime += spent * VTIME_TOKEN / c->budget->weights;
	client_queue(c);
}

/* As budget_next_ready(), but for the load. */
static uint64_t budget_next_tokens(struct budget *b, uint64_t now)
{
	struct budget_client *c;

	bucket_refill(&b->host, now);
	c = budget_pick(b, now);
	if (c)
		return bucket_ready_at(&b->host, client_amount(c), now);
	/* All who could are below their ceilings' water: the first to be let. */
	c = to_client(heap_first(&b->blocked));
	if (!c || !client_amount(c))
		return UINT64_MAX;
	return max_u64(c->let_at, bucket_ready_at(&b->host, client_amount(c), now));
}

uint64_t budget_next_ready(struct budget *b, uint64_t now)
{
	uint64_t tokens = budget_next_tokens(b, now);

	tlbi_load_settle(&b->load, now);
	return tokens == UINT64_MAX ? tokens : max_u64(tokens, tlbi_load_ready_at(&b->load, now));
}

double budget_get_rate(const struct budget *b)
{
	double rate = b->host.rate ? (double)b->host.rate : INFINITY;

	return fmin(rate, tlbi_load_get_rate(&b->load));
}

double budget_client_get_ceiling(const struct budget_client *c)
{
	return c->ceiling.rate ? (double)c->ceiling.rate : INFINITY;
}

void budget_get_load(const struct budget *b, struct budget_load *load)
{
	*load = (struct budget_load){
		.granted = b->host.in_flight,
		.waiting = b->early.n + b->ready.n + b->blocked.n,
	};
}
