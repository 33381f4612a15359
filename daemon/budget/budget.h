/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TLBI budget: a token bucket for the host, whose tokens the clients (one
 * a VM) share by weight, each below a ceiling of its own; and a limit on the time
 * that TLBIs take. A token is a TLBI, however many blocks it is good for.
 *
 * The bound is a strict one: in any interval [a, b], at most
 * rate * (b - a) + burst TLBIs are executed, whenever within their calls the
 * granted ones happen. So tokens that have been granted occupy the bucket
 * until they are returned: a call that is late to execute cannot add its
 * tokens to those of the next burst. When a limit changes within [a, b], each
 * rate counts for the time it was in force, and the larger burst.
 *
 * The load is bounded as strictly: in any interval, TLBIs are under way for at
 * most load * (b - a) and the time of those of one call. What a call will take is
 * not known before it returns. So one is made at a time, and the next one when
 * what the last one took has been earned since its end.
 *
 * A limit begins with an empty bucket, and a load with a debt: what was spent
 * under a budget before this one, by a daemon that crashed, say, is not known. So
 * the bounds also hold across any number of them that follow each other (that of
 * the load where no call took more than BUDGET_LOAD_START_NSEC).
 *
 * All times are nanoseconds of one monotonic clock, and must be true: a time
 * given to budget_grant() must not lie in the future, one given to
 * budget_return() must not lie before the end of the call (a cached time
 * does, and would earn tokens for the time of the call twice).
 */
#ifndef EAGERSPLITD_BUDGET_H
#define EAGERSPLITD_BUDGET_H

#include <stdint.h>

#include "base/util.h"
#include "budget/budget-limits.h"

#define BUDGET_WEIGHT_DEFAULT 1000
#define BUDGET_WEIGHT_MAX     10000000

struct budget;
struct budget_client;

/**
 * struct budget_load - how the budget is made use of, now
 * @granted: TLBIs granted and not returned
 * @waiting: clients that want some and have been granted none
 */
struct budget_load {
	uint64_t granted;
	size_t waiting;
};

/* Creates a budget. 0 or -ENOMEM. */
int budget_new(struct budget **ret, const struct budget_limits *limits, uint64_t now);

/* Frees @b, which has no client any more. Returns NULL. */
struct budget *budget_free(struct budget *b);
DEFINE_CLEANUP(struct budget *, budget_free);

/*
 * Changes the limits. What has been granted stays granted, and where there was no
 * load that may be more than one call; what is new of a burst is yet to be earned.
 */
void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now);

/*
 * Adds a client, with BUDGET_WEIGHT_DEFAULT, no ceiling, and no wish for
 * tokens. 0 or -ENOMEM.
 */
int budget_client_new(struct budget_client **ret, struct budget *b, void *userdata, uint64_t now);

/* Frees @c, whose last grant has been returned. Returns NULL. */
struct budget_client *budget_client_free(struct budget_client *c);
DEFINE_CLEANUP(struct budget_client *, budget_client_free);

/* As given to budget_client_new(). */
void *budget_client_get_userdata(const struct budget_client *c);

/* 1 to BUDGET_WEIGHT_MAX: its share is to the others' as the weights are. */
void budget_client_set_weight(struct budget_client *c, uint32_t weight);

/* TLBIs a second, with the host's burst; 0: no ceiling. */
void budget_client_set_ceiling(struct budget_client *c, uint64_t rate, uint64_t now);

/* As set; INFINITY: none. */
double budget_client_get_ceiling(const struct budget_client *c);

/* How many TLBIs @c could use; 0: it takes no part in the sharing. */
void budget_client_set_want(struct budget_client *c, uint64_t want);

/*
 * The client whose turn it is, and in @ret_tlbis, at least 1, what it may
 * spend. It gets no more before it has called budget_return(). NULL: nobody
 * wants any, or there is too little now: see budget_next_ready().
 */
struct budget_client *budget_grant(struct budget *b, uint64_t now, uint64_t *ret_tlbis);

/*
 * Ends @c's grant, of which it spent @used, which took @tlbi_nsec. More than was
 * granted is charged all the same, and paid back before anything is granted again.
 */
void budget_return(struct budget_client *c, uint64_t now, uint64_t used, uint64_t tlbi_nsec);

/*
 * When budget_grant() will next have something, if nothing changes before;
 * UINT64_MAX: not before something does.
 */
uint64_t budget_next_ready(struct budget *b, uint64_t now);

/*
 * The TLBIs a second that the host has for all together, by its rate and, as far as
 * it is known what one takes, by its load; INFINITY: any number.
 */
double budget_get_rate(const struct budget *b);

/* Fills @load. */
void budget_get_load(const struct budget *b, struct budget_load *load);

#endif /* EAGERSPLITD_BUDGET_H */
