// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/deadline.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"
#include "budget/budget.h"

/* Of the rate, what no deadline gets. */
#define EVEN_PART 0.02

/* Of what is left by deadlines, what goes to those that were not announced beside those that were. */
#define UNANNOUNCED_PART 0.25

/* To be in time by a margin: calls end late, and the guest maps blocks meanwhile. */
#define MARGIN 1.1

/* What those below their ceilings leave goes to the others, which may be below theirs then. */
#define FILL_ROUNDS_MAX 16

static uint64_t get_usec_left(const struct deadline_demand *d)
{
	return d->announced ? d->usec_left : DEADLINE_NONE;
}

static int compare_deadlines(const void *a, const void *b)
{
	uint64_t x = get_usec_left(a), y = get_usec_left(b);

	return (x > y) - (x < y);
}

static int compare_users(const void *a, const void *b)
{
	const struct deadline_demand *x = a, *y = b;

	if (x->announced != y->announced)
		return x->announced ? -1 : 1;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* What it takes @d to be in time, as a rate; what it keeps when it is too late. */
static double demand_rate(const struct deadline_demand *d, double even)
{
	double rate = even;

	if (get_usec_left(d) == DEADLINE_NONE)
		return 0;
	if (d->usec_left)
		rate = MARGIN * (double)d->tokens / (double)d->usec_left * (double)USEC_PER_SEC;
	return fmin(rate, d->ceiling);
}

static uint32_t share_to_weight(const struct deadline_division *division, double share)
{
	double n = (double)max_u64(division->n, 1);
	double weight = round(share / division->rate * n * BUDGET_WEIGHT_DEFAULT);

	return (uint32_t)fmax(1, fmin(weight, BUDGET_WEIGHT_MAX));
}

/* What of the rest those get together that were announced, or not, if @n_announced of @n are. */
static double get_part(size_t n_announced, size_t n, bool announced)
{
	if (!n_announced || n_announced == n)
		return 1;
	return announced ? 1 - UNANNOUNCED_PART : UNANNOUNCED_PART;
}

/* The end of those from @i on that are as that one: of the same kind, or also of the same user. */
static size_t find_end(const struct deadline_division *division, size_t i, bool same_user)
{
	const struct deadline_demand *first = &division->demands[i];

	for (; i < division->n; i++)
		if (division->demands[i].announced != first->announced ||
		    (same_user && division->demands[i].uid != first->uid))
			break;
	return i;
}

/* In @share, what part of the rest is whose, where all between those are of one kind. */
static void divide_kind(struct deadline_division *division, size_t begin, size_t end)
{
	size_t users = 0, next;

	for (size_t i = begin; i < end; i = find_end(division, i, true))
		users++;
	for (size_t i = begin; i < end; i = next) {
		next = find_end(division, i, true);
		for (size_t j = i; j < next; j++)
			division->demands[j].share = get_part(division->n_announced, division->n,
							      division->demands[j].announced) /
						     (double)users / (double)(next - i);
	}
}

static void division_sort(struct deadline_division *division,
			  int (*compare)(const void *a, const void *b))
{
	/* Of none there need not be an array. */
	if (division->n)
		qsort(division->demands, division->n, sizeof(*division->demands), compare);
}

static void divide_rest(struct deadline_division *division)
{
	size_t end;

	division->n_announced = 0;
	for (size_t i = 0; i < division->n; i++)
		division->n_announced += division->demands[i].announced;
	division_sort(division, compare_users);
	for (size_t i = 0; i < division->n; i = end) {
		end = find_end(division, i, false);
		divide_kind(division, i, end);
	}
}

/* What is given for deadlines, to the first first. */
static void divide_by_deadlines(struct deadline_division *division)
{
	double even = division->rate / (double)max_u64(division->n_announced, 1);
	double limit = division->rate * (1 - EVEN_PART), taken = 0;

	for (size_t i = 0; i < division->n; i++) {
		struct deadline_demand *d = &division->demands[i];

		d->given = fmin(demand_rate(d, even), fmax(limit - taken, 0));
		taken += d->given;
		d->taken = taken;
	}
	division->rest = division->rate - taken;
}

/* Nobody gets more than he can use. False: nobody did. */
static bool fill_up(struct deadline_division *division)
{
	double spare = 0, weights = 0;

	for (size_t i = 0; i < division->n; i++) {
		struct deadline_demand *d = &division->demands[i];

		if (d->share < d->ceiling) {
			weights += d->weight;
			continue;
		}
		spare += d->share - d->ceiling;
		d->share = d->ceiling;
	}
	if (spare <= 0 || weights <= 0)
		return false;
	for (size_t i = 0; i < division->n; i++) {
		struct deadline_demand *d = &division->demands[i];

		if (d->share < d->ceiling)
			d->share += spare * d->weight / weights;
	}
	return true;
}

static void add_up(struct deadline_division *division)
{
	uint64_t ahead = 0;
	double turn = 0;

	for (size_t i = 0; i < division->n; i++) {
		struct deadline_demand *d = &division->demands[i];
		bool has_deadline = get_usec_left(d) != DEADLINE_NONE;

		turn += d->share;
		d->ahead = has_deadline ? ahead : 0;
		d->turn = has_deadline ? turn : 0;
		ahead += min_u64(d->tokens, UINT64_MAX - ahead);
	}
}

void deadline_divide(struct deadline_division *division)
{
	divide_rest(division);
	division_sort(division, compare_deadlines);
	divide_by_deadlines(division);
	for (size_t i = 0; i < division->n; i++) {
		struct deadline_demand *d = &division->demands[i];

		d->share = d->given + division->rest * d->share;
		d->weight = share_to_weight(division, d->share);
	}
	for (int i = 0; i < FILL_ROUNDS_MAX && fill_up(division); i++)
		;
	add_up(division);
}

bool deadline_is_any(const struct deadline_division *division)
{
	return division->n && get_usec_left(&division->demands[0]) != DEADLINE_NONE;
}

/* The last with a deadline that is no later than @d's; NULL: there is none. */
static const struct deadline_demand *find_before(const struct deadline_division *division,
						 const struct deadline_demand *d)
{
	size_t from = 0, to = division->n;

	while (from < to) {
		size_t i = (from + to) / 2;

		if (compare_deadlines(&division->demands[i], d) <= 0)
			from = i + 1;
		else
			to = i;
	}
	return from ? &division->demands[from - 1] : NULL;
}

void deadline_estimate(const struct deadline_division *division, struct deadline_demand *d)
{
	size_t n_announced = division->n_announced + d->announced;
	size_t of_kind = d->announced ? n_announced : division->n + 1 - n_announced;
	const struct deadline_demand *before = NULL;
	double rate = division->rate, rest;

	if (get_usec_left(d) != DEADLINE_NONE)
		before = find_before(division, d);
	d->taken = before ? before->taken : 0;
	d->ahead = before ? before->ahead + before->tokens : 0;
	d->given = fmin(demand_rate(d, rate / (double)max_u64(n_announced, 1)),
			fmax(rate * (1 - EVEN_PART) - d->taken, 0));
	rest = fmax(division->rest - d->given, rate * EVEN_PART);
	d->share = d->given +
		   rest * get_part(n_announced, division->n + 1, d->announced) / (double)of_kind;
	d->weight = share_to_weight(division, d->share);
	d->share = fmin(d->share, d->ceiling);
	d->turn = get_usec_left(d) == DEADLINE_NONE ? 0 : (before ? before->turn : 0) + d->share;
}
