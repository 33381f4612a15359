/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who gets how much of the budget: by deadlines, by what was announced and what was not, and by
 * users. Pure: times are what is left of them.
 */
#ifndef EAGERSPLITD_DEADLINE_H
#define EAGERSPLITD_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No deadline. */
#define DEADLINE_NONE UINT64_MAX

/**
 * struct deadline_demand - one that wants tokens
 * @tokens: in: how many it takes to be done
 * @usec_left: in: until its deadline; 0: that has passed
 * @ceiling: in: tokens a second it can use at the most; INFINITY: any number
 * @uid: in: whose it is
 * @announced: in: and neither merely noticed, nor recovering
 * @userdata: in: of whoever asks
 * @weight: out: its share is to the others' as the weights are, 1 to BUDGET_WEIGHT_MAX, and
 *	    BUDGET_WEIGHT_DEFAULT on average
 * @share: out: tokens a second that it gets
 * @given: out: of these, what it gets for its deadline
 * @taken: out: what it and those with deadlines before its own get for them
 * @ahead: out: tokens of those with deadlines before its own; 0 without one
 * @turn: out: tokens a second that it and those get; 0 without one
 */
struct deadline_demand {
	uint64_t tokens;
	uint64_t usec_left;
	double ceiling;
	int64_t uid;
	bool announced;
	void *userdata;
	uint32_t weight;
	double share;
	double given;
	double taken;
	uint64_t ahead;
	double turn;
};

/**
 * struct deadline_division - of tokens among demands
 * @rate: in: tokens a second that there are
 * @demands: in and out: who wants them, sorted by their deadlines by then
 * @n: in: how many
 * @n_announced: out: how many of them were
 * @rest: out: tokens a second that are left by what is given for deadlines
 */
struct deadline_division {
	double rate;
	struct deadline_demand *demands;
	size_t n;
	size_t n_announced;
	double rest;
};

/*
 * Divides the rate among the demands, in n·log n. Whoever would be late first gets what it takes to
 * be in time, and a little more; then the next one. Of what is left over, all that were not announced
 * get a quarter together while anybody is that was; on both sides it goes to users alike, and
 * to a user's VMs alike. One whose deadline has passed keeps an even share, and nobody is left with
 * nothing. Whoever was not announced has no deadline.
 */
void deadline_divide(struct deadline_division *division);

/* Whether any of them has a deadline, once they have been divided. */
bool deadline_is_any(const struct deadline_division *division);

/* What @d would get, which has come since, in log n. All users' are taken for one user's. */
void deadline_estimate(const struct deadline_division *division, struct deadline_demand *d);

#endif /* EAGERSPLITD_DEADLINE_H */
