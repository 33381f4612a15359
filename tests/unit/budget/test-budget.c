// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The budget against simulated hosts: whatever calls do with what they were
 * granted, and however long they take, no interval sees more than its due.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "budget/budget.h"

#define CLIENTS 5

/* xorshift64*: the same runs every time. */
static uint64_t random_u64(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static uint64_t random_below(uint64_t *state, uint64_t n)
{
	return n ? random_u64(state) % n : 0;
}

/* Where TLBIs take no time. */
static int new_budget(struct budget **ret, uint64_t rate, uint64_t burst, uint64_t now)
{
	const struct budget_limits limits = { .rate = rate, .burst = burst };

	return budget_new(ret, &limits, now);
}

static void set_limits(struct budget *b, uint64_t rate, uint64_t burst, uint64_t now)
{
	const struct budget_limits limits = { .rate = rate, .burst = burst };

	budget_set_limits(b, &limits, now);
}

/* When the TLBIs of a call are executed, between its start and its end. */
enum spread {
	AT_START,
	AT_END,
	ANYWHERE,
	SPREADS,
};

/* A recorded TLBI: when, until when, and what the rate had earned since 0, in 1e-9. */
struct tlbi {
	uint64_t at;
	uint64_t end;
	__int128 earned;
};

struct host {
	struct budget *budget;
	struct budget_client *clients[CLIENTS];
	uint64_t returns[CLIENTS];
	uint64_t used[CLIENTS];
	uint64_t nsec[CLIENTS];
	uint64_t total[CLIENTS];
	uint64_t now;
	uint64_t rng;
	uint64_t latency;
	uint32_t load;
	/* a TLBI takes at most so long */
	uint64_t tlbi_nsec;
	/* and those of a call have */
	uint64_t call_nsec_max;
	enum spread spread;
	bool waste;
	/* the rate's history, for what it earned */
	uint64_t rate, rate_since;
	__int128 earned;
	struct tlbi *log;
	size_t n_log, room;
};

static __int128 host_earned(const struct host *h, uint64_t at)
{
	return h->earned + (__int128)h->rate * (at - h->rate_since);
}

static void host_new_budget(struct host *h, uint64_t burst)
{
	const struct budget_limits limits = { .rate = h->rate, .burst = burst, .load = h->load };

	assert_int_equal(budget_new(&h->budget, &limits, h->now), 0);
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(budget_client_new(&h->clients[i], h->budget, (void *)(uintptr_t)i,
						   h->now),
				 0);
}

static void host_init(struct host *h, uint64_t rate, uint64_t burst, uint64_t seed)
{
	*h = (struct host){
		.now = 1 + seed, .rng = seed | 1, .rate = rate, .rate_since = 1 + seed
	};
	host_new_budget(h, burst);
}

static void host_free_budget(struct host *h)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		if (h->returns[i])
			budget_return(h->clients[i], h->returns[i], h->used[i], h->nsec[i]);
		h->returns[i] = 0;
		budget_client_free(h->clients[i]);
	}
	budget_free(h->budget);
}

static void host_done(struct host *h)
{
	host_free_budget(h);
	free(h->log);
}

static void host_record(struct host *h, uint64_t at, uint64_t nsec)
{
	if (h->n_log == h->room) {
		h->room = h->room ? h->room * 2 : 1024;
		h->log = realloc(h->log, h->room * sizeof(*h->log));
		assert_non_null(h->log);
	}
	h->log[h->n_log++] = (struct tlbi){ .at = at, .end = at + nsec };
}

/* TLBIs that take time, one after the other: early in their call, late, or with gaps. */
static void host_start_slow(struct host *h, size_t i)
{
	uint64_t slack = random_below(&h->rng, h->latency + 1);
	uint64_t at = h->now + (h->spread == AT_END ? slack : 0);

	h->nsec[i] = 0;
	for (uint64_t n = 0; n < h->used[i]; n++) {
		uint64_t gap = h->spread == ANYWHERE ? random_below(&h->rng, slack + 1) : 0;
		uint64_t nsec = random_below(&h->rng, h->tlbi_nsec + 1);

		slack -= gap;
		host_record(h, at + gap, nsec);
		at += gap + nsec;
		h->nsec[i] += nsec;
	}
	h->returns[i] = at + (h->spread == AT_END ? 0 : slack);
	h->call_nsec_max = max_u64(h->call_nsec_max, h->nsec[i]);
}

/* Starts a call: decides now when it ends and what it does until then. */
static void host_start(struct host *h, size_t i, uint64_t granted)
{
	uint64_t latency = random_below(&h->rng, h->latency + 1);
	uint64_t at;

	h->used[i] = h->waste ? random_below(&h->rng, granted + 1) : granted;
	h->returns[i] = h->now + latency;
	h->total[i] += h->used[i];
	if (h->tlbi_nsec) {
		host_start_slow(h, i);
		return;
	}
	for (uint64_t n = 0; n < h->used[i]; n++) {
		switch (h->spread) {
		case AT_START:
			at = h->now;
			break;
		case AT_END:
			at = h->returns[i];
			break;
		default:
			at = h->now + random_below(&h->rng, latency + 1);
		}
		host_record(h, at, 0);
	}
}

/* Ends the calls that are due and starts all that may be. */
static void host_pump(struct host *h)
{
	struct budget_client *c;
	uint64_t granted;

	for (size_t i = 0; i < CLIENTS; i++) {
		if (h->returns[i] && h->returns[i] <= h->now) {
			budget_return(h->clients[i], h->now, h->used[i], h->nsec[i]);
			h->returns[i] = 0;
		}
	}
	while ((c = budget_grant(h->budget, h->now, &granted))) {
		size_t i = (size_t)(uintptr_t)budget_client_get_userdata(c);

		assert_true(granted >= 1);
		assert_int_equal(h->returns[i], 0);
		host_start(h, i, granted);
		if (!h->returns[i])
			h->returns[i] = h->now;
		if (h->returns[i] == h->now) {
			budget_return(c, h->now, h->used[i], h->nsec[i]);
			h->returns[i] = 0;
		}
	}
}

/* The time of the next return or grant; UINT64_MAX: nothing will happen. */
static uint64_t host_next(const struct host *h)
{
	uint64_t next = budget_next_ready(h->budget, h->now);

	for (size_t i = 0; i < CLIENTS; i++)
		if (h->returns[i])
			next = min_u64(next, h->returns[i]);
	return next;
}

static void host_run(struct host *h, uint64_t until)
{
	uint64_t next;

	for (;;) {
		host_pump(h);
		next = host_next(h);
		assert_true(next > h->now);
		if (next >= until)
			break;
		h->now = next;
	}
	h->now = until;
}

static int tlbi_compare(const void *a, const void *b)
{
	const struct tlbi *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/*
 * For every pair i <= j: j - i + 1 <= burst + what was earned from i to j.
 * That is (j + 1 - earned[j]) - (i - earned[i]) <= burst: so it is enough to
 * hold each j against the lowest i so far.
 */
static void check_bound(const struct tlbi *log, size_t n, uint64_t burst)
{
	__int128 lowest = 0, here;

	for (size_t j = 0; j < n; j++) {
		here = (__int128)j * NSEC_PER_SEC - log[j].earned;
		if (!j || here < lowest)
			lowest = here;
		assert_true(here + (__int128)NSEC_PER_SEC - lowest <=
			    (__int128)burst * NSEC_PER_SEC);
	}
}

static void host_check(struct host *h, uint64_t burst)
{
	if (!h->n_log)
		return;
	qsort(h->log, h->n_log, sizeof(*h->log), tlbi_compare);
	for (size_t i = 0; i < h->n_log; i++)
		h->log[i].earned = host_earned(h, h->log[i].at);
	check_bound(h->log, h->n_log, burst);
}

/*
 * For every pair i <= j: what i to j took is at most load * (end[j] - start[i]) and the
 * TLBIs of a call. Those do not overlap: calls do not.
 */
static void host_check_load(struct host *h)
{
	__int128 lowest = 0, before, sum = 0;

	if (!h->n_log)
		return;
	qsort(h->log, h->n_log, sizeof(*h->log), tlbi_compare);
	for (size_t j = 0; j < h->n_log; j++) {
		assert_true(!j || h->log[j].at >= h->log[j - 1].end);
		before = sum - (__int128)h->log[j].at * h->load;
		if (!j || before < lowest)
			lowest = before;
		sum += (__int128)(h->log[j].end - h->log[j].at) * BUDGET_LOAD_MAX;
		assert_true(sum - (__int128)h->log[j].end * h->load - lowest <=
			    (__int128)h->call_nsec_max * BUDGET_LOAD_MAX);
	}
}

static void want_all(struct host *h, uint64_t want)
{
	for (size_t i = 0; i < CLIENTS; i++)
		budget_client_set_want(h->clients[i], want);
}

static const uint64_t rates[] = { 1, 7, 100, 1000, 33333, 1000000, BUDGET_RATE_MAX };
static const uint64_t bursts[] = { 1, 2, 3, 16, 1000 };

/* Every rate, burst and spread, with calls from instant to far too slow. */
static void test_bound_holds_for_any_interval(void **state)
{
	static const uint64_t latencies[] = { 0, 10, 10000, 10000000, 3000000000 };

	for (size_t r = 0; r < ARRAY_SIZE(rates); r++)
		for (size_t b = 0; b < ARRAY_SIZE(bursts); b++)
			for (size_t l = 0; l < ARRAY_SIZE(latencies); l++)
				for (int s = 0; s < 2 * SPREADS; s++) {
					struct host h;

					host_init(&h, rates[r], bursts[b], r * 1000 + b * 100 + l);
					h.latency = latencies[l];
					h.spread = s % SPREADS;
					h.waste = s >= SPREADS;
					want_all(&h, 1 + s);
					host_run(&h, h.now + 2000 * NSEC_PER_SEC / rates[r]);
					assert_true(h.n_log > 0 || h.waste);
					host_check(&h, bursts[b]);
					host_done(&h);
				}
}

/* Pauses of all lengths between spells of work: a pause earns a burst only. */
static void test_bound_holds_across_pauses(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct host h;

		host_init(&h, 1000, 16, seed);
		h.latency = 50 * NSEC_PER_MSEC;
		h.spread = (enum spread)(seed % SPREADS);
		for (int spell = 0; spell < 20; spell++) {
			want_all(&h, random_below(&h.rng, 2) ? 1000 : 0);
			budget_client_set_want(h.clients[spell % CLIENTS],
					       random_below(&h.rng, 100));
			host_run(&h, h.now + random_below(&h.rng, NSEC_PER_SEC));
		}
		host_check(&h, 16);
		host_done(&h);
	}
}

static void host_rerate(struct host *h, uint64_t rate, uint64_t burst)
{
	h->earned = host_earned(h, h->now);
	h->rate_since = h->now;
	h->rate = rate;
	set_limits(h->budget, rate, burst, h->now);
}

/* One rate at a time, each TLBI's earnings noted while that rate is in force. */
static void test_bound_holds_across_rerating(void **state)
{
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct {
			uint64_t since, rate;
			__int128 earned;
		} eras[20];
		uint64_t largest = 0;
		struct host h;

		host_init(&h, 1000, 8, seed);
		h.latency = 20 * NSEC_PER_MSEC;
		h.spread = (enum spread)(seed % SPREADS);
		want_all(&h, 1000);
		for (size_t e = 0; e < ARRAY_SIZE(eras); e++) {
			uint64_t burst = 1 + random_below(&h.rng, 32);

			largest = max_u64(largest, burst);
			host_rerate(&h, 1 + random_below(&h.rng, 5000), burst);
			eras[e].since = h.now;
			eras[e].rate = h.rate;
			eras[e].earned = h.earned;
			host_run(&h, h.now + random_below(&h.rng, NSEC_PER_SEC));
		}
		assert_true(h.n_log > 0);
		qsort(h.log, h.n_log, sizeof(*h.log), tlbi_compare);
		for (size_t i = 0, e = 0; i < h.n_log; i++) {
			while (e + 1 < ARRAY_SIZE(eras) && eras[e + 1].since <= h.log[i].at)
				e++;
			h.log[i].earned = eras[e].earned +
					  (__int128)eras[e].rate * (h.log[i].at - eras[e].since);
		}
		check_bound(h.log, h.n_log, max_u64(largest, 8));
		host_done(&h);
	}
}

/* The daemon dies, with what calls in flight had yet to execute, and the next one begins. */
static void host_restart(struct host *h, uint64_t burst)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_log; i++)
		if (h->log[i].at <= h->now)
			h->log[n++] = h->log[i];
	h->n_log = n;
	/* Its last TLBI has an end, which its process does not come before. */
	for (size_t i = 0; i < n; i++)
		h->now = max_u64(h->now, h->log[i].end);
	host_free_budget(h);
	host_new_budget(h, burst);
}

/* However often it dies, and whatever was at hand, or in flight, when it did. */
static void test_bound_holds_across_restarts(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct host h;

		host_init(&h, 1000, 16, seed);
		h.latency = 20 * NSEC_PER_MSEC;
		h.spread = (enum spread)(seed % SPREADS);
		for (int life = 0; life < 20; life++) {
			want_all(&h, 1000);
			host_run(&h, h.now + random_below(&h.rng, 50 * NSEC_PER_MSEC));
			host_restart(&h, 16);
		}
		assert_true(h.n_log > 0);
		host_check(&h, 16);
		host_done(&h);
	}
}

/* The TLBIs that are to be had at once. */
static uint64_t drain(struct budget *b, uint64_t now)
{
	struct budget_client *c;
	uint64_t n, got = 0;

	while ((c = budget_grant(b, now, &n))) {
		budget_return(c, now, n, 0);
		got += n;
	}
	return got;
}

static void host_init_load(struct host *h, uint32_t load, uint64_t rate, uint64_t seed)
{
	*h = (struct host){
		.now = 1 + seed,
		.rng = seed | 1,
		.rate = rate,
		.rate_since = 1 + seed,
		.load = load,
	};
	host_new_budget(h, 16);
}

static const uint32_t loads[] = { 1, 100, 10000, 500000, BUDGET_LOAD_MAX };

/* Every load, with TLBIs from next to nothing to milliseconds, wherever in their calls. */
static void test_load_holds_for_any_interval(void **state)
{
	static const uint64_t times[] = { 10, 2000, 20000, 2000000, 100000000 };
	static const uint64_t latencies[] = { 0, 10000, 10000000 };

	for (size_t l = 0; l < ARRAY_SIZE(loads); l++)
		for (size_t t = 0; t < ARRAY_SIZE(times); t++)
			for (size_t c = 0; c < ARRAY_SIZE(latencies); c++)
				for (int s = 0; s < 2 * SPREADS; s++) {
					uint64_t period = times[t] * BUDGET_LOAD_MAX / loads[l];
					uint64_t start =
						BUDGET_LOAD_START_NSEC * BUDGET_LOAD_MAX / loads[l];
					struct host h;

					host_init_load(&h, loads[l], s % 2 ? 0 : 1000000,
						       l * 100 + t * 10 + c);
					h.latency = latencies[c];
					h.tlbi_nsec = times[t];
					h.spread = s % SPREADS;
					h.waste = s >= SPREADS;
					want_all(&h, UINT64_MAX);
					host_run(&h, h.now + start + 300 * (period + latencies[c]));
					assert_true(h.n_log > 0);
					host_check_load(&h);
					if (h.rate)
						host_check(&h, 16);
					host_done(&h);
				}
}

/* What is saved up in a pause is nothing, and one more client gets no more in all. */
static void test_load_holds_across_pauses_and_limits(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct host h;

		host_init_load(&h, 10000, 0, seed);
		h.latency = NSEC_PER_MSEC;
		h.tlbi_nsec = 100000;
		h.spread = (enum spread)(seed % SPREADS);
		for (int spell = 0; spell < 20; spell++) {
			const struct budget_limits limits = {
				.rate = random_below(&h.rng, 2) * 500,
				.burst = 1 + random_below(&h.rng, 32),
				.load = 1 + (uint32_t)random_below(&h.rng, 10000),
			};

			want_all(&h, random_below(&h.rng, 3) ? UINT64_MAX : 0);
			budget_set_limits(h.budget, &limits, h.now);
			host_run(&h, h.now + random_below(&h.rng, NSEC_PER_SEC));
		}
		assert_true(h.n_log > 0);
		/* The largest that there was. */
		host_check_load(&h);
		host_done(&h);
	}
}

/* However often the daemon dies: what the one before has taken, or takes, is not known. */
static void test_load_holds_across_restarts(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct host h;

		host_init_load(&h, 50000, 0, seed);
		h.latency = NSEC_PER_MSEC;
		h.tlbi_nsec = BUDGET_LOAD_START_NSEC / 8;
		h.spread = (enum spread)(seed % SPREADS);
		for (int life = 0; life < 20; life++) {
			want_all(&h, 1000);
			host_run(&h, h.now + random_below(&h.rng, 500 * NSEC_PER_MSEC));
			host_restart(&h, 16);
		}
		assert_true(h.n_log > 0);
		host_check_load(&h);
		host_done(&h);
	}
}

/* All of the load is used, also where TLBIs take longer and longer; and half of it is half. */
static void test_load_is_used(void **state)
{
	for (uint64_t tlbi_nsec = 10; tlbi_nsec < 10000000; tlbi_nsec *= 10) {
		for (uint32_t load = 1250; load <= 10000; load *= 2) {
			uint64_t taken = 0, from, until;
			struct host h;

			host_init_load(&h, load, 0, 1);
			h.tlbi_nsec = tlbi_nsec;
			want_all(&h, UINT64_MAX);
			/* The debt that it begins with. */
			host_run(&h, h.now + BUDGET_LOAD_START_NSEC * BUDGET_LOAD_MAX / load);
			from = h.now;
			until = from + 1000 * tlbi_nsec * BUDGET_LOAD_MAX / load;
			host_run(&h, until);
			for (size_t i = 0; i < h.n_log; i++)
				if (h.log[i].end <= until)
					taken += h.log[i].end - h.log[i].at;
			/* Less what passes during calls, and is not earned. */
			assert_true(taken * BUDGET_LOAD_MAX >= (until - from) * load / 100 * 97);
			host_done(&h);
		}
	}
}

/* With no load, and with TLBIs that take no time, it limits nothing. */
static void test_load_of_nothing(void **state)
{
	for (uint32_t load = 0; load <= 10000; load += 10000) {
		struct host h;

		host_init_load(&h, load, 1000, 1);
		want_all(&h, UINT64_MAX);
		h.now += 100 * NSEC_PER_SEC;
		(void)drain(h.budget, h.now);
		h.now += NSEC_PER_SEC;
		assert_int_equal(drain(h.budget, h.now), 16);
		assert_true(budget_get_rate(h.budget) == 1000);
		host_done(&h);
	}
}

/* next_ready() is exact for the load, too, and nothing is ready while a call is under way. */
static void test_next_ready_is_exact_for_load(void **state)
{
	for (size_t l = 0; l < ARRAY_SIZE(loads); l++) {
		const struct budget_limits limits = { .burst = 1, .load = loads[l] };
		struct budget_client *c, *other;
		uint64_t now = 12345, next, n;
		struct budget *b;

		assert_int_equal(budget_new(&b, &limits, now), 0);
		assert_int_equal(budget_client_new(&c, b, NULL, now), 0);
		assert_int_equal(budget_client_new(&other, b, NULL, now), 0);
		assert_true(budget_next_ready(b, now) == UINT64_MAX);
		for (uint64_t i = 0; i < 1000; i++) {
			budget_client_set_want(c, 1000);
			next = budget_next_ready(b, now);
			assert_true(next >= now && next != UINT64_MAX);
			if (next > now)
				assert_null(budget_grant(b, next - 1, &n));
			now = next;
			assert_ptr_equal(budget_grant(b, now, &n), c);
			budget_client_set_want(other, 1);
			assert_null(budget_grant(b, now, &n));
			assert_true(budget_next_ready(b, now) == UINT64_MAX);
			budget_client_set_want(other, 0);
			now += i;
			budget_return(c, now, n, i * 7);
		}
		budget_client_free(c);
		budget_client_free(other);
		budget_free(b);
	}
}

/* As many TLBIs as are likely to take a hundredth of a second's load, and a first one to see. */
static void test_load_grants_are_small(void **state)
{
	static const struct {
		uint64_t tlbi_nsec, expect;
	} cases[] = {
		{ 1, BUDGET_UNLIMITED_GRANT },
		{ 1000, 100 },
		{ 20000, 5 },
		{ 99999, 1 },
		{ 2000000, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host h;
		uint64_t n;

		host_init_load(&h, 10000, 0, 1);
		h.now += 100 * NSEC_PER_SEC;
		budget_client_set_want(h.clients[0], UINT64_MAX);
		assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
		assert_int_equal(n, 1);
		/* By doubling: what the first has shown may not be much. */
		for (uint64_t most = 1; n < cases[i].expect; most *= 2) {
			assert_true(n <= most);
			budget_return(h.clients[0], h.now, n, n * cases[i].tlbi_nsec);
			h.now += 100 * NSEC_PER_SEC;
			assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
		}
		assert_int_equal(n, cases[i].expect);
		/* It has become slower: at once, and not by and by. */
		budget_return(h.clients[0], h.now, n, n * 100001);
		h.now += 1000 * NSEC_PER_SEC;
		assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
		assert_int_equal(n, 1);
		budget_return(h.clients[0], h.now, n, 0);
		host_done(&h);
	}
}

/* What the load leaves of the rate, once it is known what a TLBI takes. */
static void test_rate_of_load(void **state)
{
	struct host h;
	uint64_t n;

	host_init_load(&h, 10000, 1000, 1);
	h.now += 100 * NSEC_PER_SEC;
	budget_client_set_want(h.clients[0], UINT64_MAX);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
	budget_return(h.clients[0], h.now + 1000000, 1, 1000000);
	/* One takes a millisecond, and is followed by 100 in which it is earned. */
	assert_true(fabs(budget_get_rate(h.budget) - 1000.0 / 101) < 1e-6);
	host_done(&h);
}

/* A kernel that says what makes no sense is no reason to stand still for ever. */
static void test_load_debt_has_an_end(void **state)
{
	struct host h;
	uint64_t n;

	host_init_load(&h, 10000, 0, 1);
	h.now += NSEC_PER_SEC;
	want_all(&h, 1);
	assert_non_null(budget_grant(h.budget, h.now, &n));
	budget_return(h.clients[0], h.now, 1, UINT64_MAX);
	assert_true(budget_next_ready(h.budget, h.now) == h.now + 1000 * NSEC_PER_SEC);
	host_done(&h);
}

/* A load that is set while calls are under way waits for all of them, and has them pay. */
static void test_load_set_while_calls_are_in_flight(void **state)
{
	const struct budget_limits limits = { .burst = 16, .load = 10000 };
	struct host h;
	uint64_t n;

	host_init_load(&h, 0, 0, 1);
	want_all(&h, 1000);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[1]);
	h.now += NSEC_PER_SEC;
	budget_set_limits(h.budget, &limits, h.now);
	assert_null(budget_grant(h.budget, h.now, &n));
	budget_return(h.clients[0], h.now, n, 1000);
	h.now += NSEC_PER_SEC;
	assert_null(budget_grant(h.budget, h.now, &n));
	budget_return(h.clients[1], h.now, n, 2000);
	assert_true(budget_next_ready(h.budget, h.now) == h.now + 300000);
	host_done(&h);
}

/* What is new of a limit has not been saved up: neither of a larger burst, nor where none was. */
static void test_new_limits_are_to_be_earned(void **state)
{
	struct host h;

	host_init(&h, 100, 4, 1);
	budget_client_set_want(h.clients[0], UINT64_MAX);
	assert_true(drain(h.budget, h.now) == 0);
	h.now += NSEC_PER_SEC;
	set_limits(h.budget, 100, 1000, h.now);
	assert_true(drain(h.budget, h.now) == 4);
	h.now += NSEC_PER_SEC;
	assert_true(drain(h.budget, h.now) == 100);

	budget_client_set_ceiling(h.clients[0], 10, h.now);
	h.now += NSEC_PER_SEC;
	assert_true(drain(h.budget, h.now) == 10);
	budget_client_set_ceiling(h.clients[0], 0, h.now);
	set_limits(h.budget, 0, 1000, h.now);
	h.now += 1000 * NSEC_PER_SEC;
	set_limits(h.budget, 50, 1000, h.now);
	assert_true(drain(h.budget, h.now) == 0);
	h.now += NSEC_PER_SEC;
	assert_true(drain(h.budget, h.now) == 50);
	host_done(&h);
}

/* Calls that began without a limit take up the bucket of the limit set meanwhile. */
static void test_limit_set_while_unlimited_calls_are_in_flight(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 0, 16, 1);
	budget_client_set_want(h.clients[0], 100000);
	budget_client_set_want(h.clients[1], 100000);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
	assert_int_equal(n, BUDGET_UNLIMITED_GRANT);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[1]);
	assert_int_equal(n, BUDGET_UNLIMITED_GRANT);

	budget_client_set_want(h.clients[2], 100000);
	set_limits(h.budget, 1000, 16, h.now);
	h.now += 20 * NSEC_PER_SEC;
	assert_null(budget_grant(h.budget, h.now, &n));
	assert_true(budget_next_ready(h.budget, h.now) == UINT64_MAX);

	/* What both may have executed just now is missing from the burst. */
	budget_return(h.clients[0], h.now, 5, 0);
	assert_null(budget_grant(h.budget, h.now, &n));
	budget_return(h.clients[1], h.now, 5, 0);
	assert_null(budget_grant(h.budget, h.now, &n));
	assert_true(budget_next_ready(h.budget, h.now) == h.now + 2 * NSEC_PER_MSEC);
	host_done(&h);
}

/* next_ready() is exact: nothing the nanosecond before, something then. */
static void test_next_ready_is_exact(void **state)
{
	for (size_t r = 0; r < ARRAY_SIZE(rates); r++)
		for (size_t b = 0; b < ARRAY_SIZE(bursts); b++) {
			struct budget *budget;
			struct budget_client *c;
			uint64_t now = 12345, next, n;

			assert_int_equal(new_budget(&budget, rates[r], bursts[b], now), 0);
			assert_int_equal(budget_client_new(&c, budget, NULL, now), 0);
			if (b % 2)
				budget_client_set_ceiling(c, max_u64(rates[r] / 3, 1), now);
			budget_client_set_want(c, 1000000);
			for (int i = 0; i < 1000; i++) {
				next = budget_next_ready(budget, now);
				assert_true(next >= now && next != UINT64_MAX);
				if (next > now)
					assert_null(budget_grant(budget, next - 1, &n));
				now = next;
				assert_ptr_equal(budget_grant(budget, now, &n), c);
				budget_return(c, now, n, 0);
			}
			budget_client_free(c);
			budget_free(budget);
		}
}

/* However the time is cut up: no fraction of a token is lost, none is made. */
static void test_no_drift(void **state)
{
	static const uint64_t steps[] = { 1, 333333333, 1000000007, 12345678901 };

	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		struct budget_client *c;
		struct budget *b;
		uint64_t now = 0, got = 0;

		assert_int_equal(new_budget(&b, 3, 1000000, now), 0);
		assert_int_equal(budget_client_new(&c, b, NULL, now), 0);
		budget_client_set_want(c, 1);
		for (uint64_t i = 0; i < 100000; i++) {
			now += steps[s];
			got += drain(b, now);
		}
		assert_true(got == (uint64_t)((unsigned __int128)now * 3 / NSEC_PER_SEC));
		budget_client_free(c);
		budget_free(b);
	}
}

/*
 * Centuries idle at the highest rate: a burst, and not an overflow. After the first pause
 * rate times time is just beyond 2^64, and would be next to nothing if it were cut off.
 */
static void test_idle_for_ever_earns_a_burst(void **state)
{
	struct budget_client *c;
	uint64_t now = UINT64_MAX / BUDGET_RATE_MAX + 1;
	struct budget *b;

	assert_int_equal(new_budget(&b, BUDGET_RATE_MAX, BUDGET_BURST_MAX, 0), 0);
	assert_int_equal(budget_client_new(&c, b, NULL, 0), 0);
	budget_client_set_want(c, UINT64_MAX);
	assert_true(drain(b, now) == BUDGET_BURST_MAX);
	for (int i = 0; i < 3; i++) {
		now += UINT64_MAX / 4;
		assert_true(drain(b, now) == BUDGET_BURST_MAX);
	}
	budget_client_free(c);
	budget_free(b);
}

static void test_unused_tokens_come_back(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 1, 16, 1);
	h.now += NSEC_PER_SEC;
	budget_client_set_want(h.clients[0], 8);
	for (int i = 0; i < 100; i++) {
		assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
		budget_return(h.clients[0], h.now, 0, 0);
	}
	host_done(&h);
}

/* |a - b| within one in a hundred of b. */
static void assert_close(uint64_t a, uint64_t b)
{
	uint64_t off = a > b ? a - b : b - a;

	assert_true(off <= b / 100 + 1);
}

/* A kernel that spends more than it was let has to be paid for. */
static void test_overdraft_is_paid_back(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 100, 2, 1);
	h.now += NSEC_PER_SEC;
	budget_client_set_want(h.clients[0], 10);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
	assert_int_equal(n, 1);
	budget_return(h.clients[0], h.now, 4, 0);
	assert_null(budget_grant(h.budget, h.now, &n));
	assert_true(budget_next_ready(h.budget, h.now) == h.now + 3 * NSEC_PER_SEC / 100);
	host_done(&h);
}

/* However many spend however much more: the debt has an end, and no number overflows. */
static void test_overdraft_has_an_end(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 1000, 16, 1);
	h.now += NSEC_PER_SEC;
	want_all(&h, 1);
	for (size_t i = 0; i < CLIENTS; i++)
		assert_non_null(budget_grant(h.budget, h.now, &n));
	for (size_t i = 0; i < CLIENTS; i++)
		budget_return(h.clients[i], h.now, UINT64_MAX, 0);
	assert_null(budget_grant(h.budget, h.now, &n));
	/* From 16 - BUDGET_BURST_MAX tokens up to one, a thousand a second. */
	assert_true(budget_next_ready(h.budget, h.now) ==
		    h.now + (BUDGET_BURST_MAX - 15) * NSEC_PER_MSEC);
	host_done(&h);
}

/* Memory without blocks costs nothing: who walks that must not have all turns. */
static void test_turns_where_nothing_is_used(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 1000, 16, 1);
	h.now += NSEC_PER_SEC;
	budget_client_set_want(h.clients[0], 100);
	budget_client_set_want(h.clients[1], 100);
	for (size_t i = 0; i < 10; i++) {
		assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[i % 2]);
		budget_return(h.clients[i % 2], h.now, 0, 0);
	}
	host_done(&h);
}

/* Shares are of what is spent: who uses less of its grants gets more of them. */
static void test_shares_are_of_what_is_used(void **state)
{
	uint64_t used[2] = {}, n;
	struct host h;

	host_init(&h, 1000, 16, 1);
	budget_client_set_want(h.clients[0], UINT64_MAX);
	budget_client_set_want(h.clients[1], UINT64_MAX);
	for (int turn = 0; turn < 10000; turn++) {
		struct budget_client *c;
		uint64_t spent;
		size_t i;

		h.now = budget_next_ready(h.budget, h.now);
		c = budget_grant(h.budget, h.now, &n);
		assert_non_null(c);
		i = (size_t)(uintptr_t)budget_client_get_userdata(c);
		spent = i == 0 ? 1 : n;
		used[i] += spent;
		budget_return(c, h.now, spent, 0);
	}
	assert_close(used[0], used[1]);
	host_done(&h);
}

static void test_nobody_wants_nothing_is_due(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 100, 2, 1);
	assert_null(budget_grant(h.budget, h.now, &n));
	assert_true(budget_next_ready(h.budget, h.now) == UINT64_MAX);
	host_done(&h);
}

static void test_shares_follow_weights(void **state)
{
	for (size_t b = 0; b < ARRAY_SIZE(bursts); b++) {
		struct host h;
		uint64_t sum = 0;

		host_init(&h, 10000, bursts[b], b);
		h.latency = 1000;
		want_all(&h, UINT64_MAX);
		for (size_t i = 0; i < CLIENTS; i++)
			budget_client_set_weight(h.clients[i], (uint32_t)(i + 1) * 50);
		host_run(&h, h.now + 100 * NSEC_PER_SEC);
		for (size_t i = 0; i < CLIENTS; i++)
			sum += h.total[i];
		assert_close(sum, 1000000 - (bursts[b] == 1 ? 5000 : 0));
		for (size_t i = 0; i < CLIENTS; i++)
			assert_close(h.total[i], sum * (i + 1) / 15);
		host_done(&h);
	}
}

/* What one does not use, for want or for its ceiling, the others get. */
static void test_sharing_is_work_conserving(void **state)
{
	struct host h;

	host_init(&h, 1000, 16, 1);
	budget_client_set_want(h.clients[0], UINT64_MAX);
	budget_client_set_want(h.clients[1], UINT64_MAX);
	budget_client_set_ceiling(h.clients[0], 100, h.now);
	host_run(&h, h.now + 100 * NSEC_PER_SEC);
	assert_close(h.total[0], 10000);
	assert_close(h.total[1], 90000);

	memset(h.total, 0, sizeof(h.total));
	budget_client_set_want(h.clients[1], 0);
	budget_client_set_ceiling(h.clients[0], 0, h.now);
	host_run(&h, h.now + 100 * NSEC_PER_SEC);
	assert_close(h.total[0], 100000);
	host_done(&h);
}

/* Each client below its own ceiling over any interval too. */
static void test_ceiling_is_a_bound(void **state)
{
	struct host h;

	host_init(&h, 1000, 4, 3);
	h.latency = 30 * NSEC_PER_MSEC;
	h.spread = ANYWHERE;
	budget_client_set_want(h.clients[0], UINT64_MAX);
	budget_client_set_ceiling(h.clients[0], 70, h.now);
	host_run(&h, h.now + 100 * NSEC_PER_SEC);
	h.rate = 70;
	assert_true(h.n_log > 6000);
	host_check(&h, 4);
	host_done(&h);
}

/* A slow client does not hold up the others, nor save up for a rampage. */
static void test_late_joiner_starts_level(void **state)
{
	struct host h;

	host_init(&h, 1000, 16, 1);
	budget_client_set_want(h.clients[0], UINT64_MAX);
	host_run(&h, h.now + 1000 * NSEC_PER_SEC);
	memset(h.total, 0, sizeof(h.total));
	budget_client_set_want(h.clients[1], UINT64_MAX);
	host_run(&h, h.now + 10 * NSEC_PER_SEC);
	assert_close(h.total[0], 5000);
	assert_close(h.total[1], 5000);

	/* Held back by its ceiling for long, it saves up a burst at the most. */
	budget_client_set_ceiling(h.clients[0], 1, h.now);
	host_run(&h, h.now + 1000 * NSEC_PER_SEC);
	budget_client_set_ceiling(h.clients[0], 0, h.now);
	memset(h.total, 0, sizeof(h.total));
	host_run(&h, h.now + 10 * NSEC_PER_SEC);
	assert_close(h.total[0], 5000);
	assert_close(h.total[1], 5000);
	host_done(&h);
}

/* Nor is one that got much while there was no limit made to wait for it when there is one. */
static void test_coming_back_starts_level(void **state)
{
	struct host h;
	uint64_t n;

	host_init(&h, 0, 1, 1);
	budget_client_set_want(h.clients[0], UINT64_MAX);
	assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
	budget_return(h.clients[0], h.now, n, 0);
	budget_client_set_want(h.clients[0], 0);
	host_rerate(&h, 10, 1);
	budget_client_set_want(h.clients[0], UINT64_MAX);
	budget_client_set_want(h.clients[1], UINT64_MAX);
	host_run(&h, h.now + 10 * NSEC_PER_SEC);
	assert_close(h.total[0], 50);
	assert_close(h.total[1], 50);
	host_done(&h);
}

/* Grants last about a hundredth of a second, and leave half the bucket. */
static void test_grants_are_small(void **state)
{
	static const struct {
		uint64_t rate, burst, expect;
	} cases[] = {
		{ 1, 1, 1 },	    { 1, 100, 1 },     { 1000, 16, 8 },
		{ 1000, 1000, 10 }, { 100000, 16, 8 }, { 0, 1, BUDGET_UNLIMITED_GRANT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host h;
		uint64_t n;

		host_init(&h, cases[i].rate, cases[i].burst, 1);
		h.now += 100 * NSEC_PER_SEC;
		budget_client_set_want(h.clients[0], UINT64_MAX);
		assert_ptr_equal(budget_grant(h.budget, h.now, &n), h.clients[0]);
		assert_true(n == cases[i].expect);
		budget_return(h.clients[0], h.now, n, 0);
		host_done(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_holds_for_any_interval),
		cmocka_unit_test(test_bound_holds_across_pauses),
		cmocka_unit_test(test_bound_holds_across_rerating),
		cmocka_unit_test(test_bound_holds_across_restarts),
		cmocka_unit_test(test_load_holds_for_any_interval),
		cmocka_unit_test(test_load_holds_across_pauses_and_limits),
		cmocka_unit_test(test_load_holds_across_restarts),
		cmocka_unit_test(test_load_is_used),
		cmocka_unit_test(test_load_of_nothing),
		cmocka_unit_test(test_next_ready_is_exact_for_load),
		cmocka_unit_test(test_load_grants_are_small),
		cmocka_unit_test(test_rate_of_load),
		cmocka_unit_test(test_load_debt_has_an_end),
		cmocka_unit_test(test_load_set_while_calls_are_in_flight),
		cmocka_unit_test(test_new_limits_are_to_be_earned),
		cmocka_unit_test(test_limit_set_while_unlimited_calls_are_in_flight),
		cmocka_unit_test(test_next_ready_is_exact),
		cmocka_unit_test(test_no_drift),
		cmocka_unit_test(test_idle_for_ever_earns_a_burst),
		cmocka_unit_test(test_unused_tokens_come_back),
		cmocka_unit_test(test_overdraft_is_paid_back),
		cmocka_unit_test(test_overdraft_has_an_end),
		cmocka_unit_test(test_turns_where_nothing_is_used),
		cmocka_unit_test(test_shares_are_of_what_is_used),
		cmocka_unit_test(test_nobody_wants_nothing_is_due),
		cmocka_unit_test(test_shares_follow_weights),
		cmocka_unit_test(test_sharing_is_work_conserving),
		cmocka_unit_test(test_ceiling_is_a_bound),
		cmocka_unit_test(test_late_joiner_starts_level),
		cmocka_unit_test(test_coming_back_starts_level),
		cmocka_unit_test(test_grants_are_small),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
