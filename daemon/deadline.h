/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who gets how much of the budget where there are deadlines. Pure: times are
 * what is left of them.
 */
#ifndef EAGERSPLITD_DEADLINE_H
#define EAGERSPLITD_DEADLINE_H

#include <stddef.h>
#include <stdint.h>

/* No deadline. */
#define DEADLINE_NONE UINT64_MAX

/**
 * struct deadline_demand - one that wants tokens
 * @tokens: in: how many it takes to be done
 * @usec_left: in: until its deadline; 0: that has passed
 * @ceiling: in: tokens a second it can use at the most; INFINITY: any number
 * @userdata: in: whose it is
 * @weight: out: its share is to the others' as the weights are, 1 to
 *	    BUDGET_WEIGHT_MAX
 * @ahead: out: tokens of those with deadlines before its own; 0 without one
 */
struct deadline_demand {
	uint64_t tokens;
	uint64_t usec_left;
	double ceiling;
	void *userdata;
	uint32_t weight;
	uint64_t ahead;
};

/*
 * Divides @rate tokens a second among the @n at @demands, which it sorts by
 * their deadlines. Whoever would be late first gets what it takes to be in
 * time, and a little more; then the next one; what is left over is for all
 * alike. One whose deadline has passed keeps an even share, and nobody is
 * left with nothing. Without deadlines all weights are BUDGET_WEIGHT_DEFAULT.
 */
void deadline_divide(struct deadline_demand *demands, size_t n, double rate);

#endif /* EAGERSPLITD_DEADLINE_H */
