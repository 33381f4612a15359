/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long looks at each user's processes have taken of late: whose turn it is goes by that, so that
 * nobody who has many of them that take their time has others wait for all of these. Pure.
 */
#ifndef EAGERSPLITD_LOOK_TIME_H
#define EAGERSPLITD_LOOK_TIME_H

#include <stddef.h>
#include <stdint.h>

/* So many users are told apart: one more is taken for one that took no time, in the place of the one with the least. */
#define LOOK_TIME_USERS 64

/* What was taken counts for half of it after this. */
#define LOOK_TIME_HALF_USEC UINT64_C(30000000)

/**
 * struct look_time - @n_users of them; all zeroes: none
 * @taken_usec: by looks, as of @as_of, CLOCK_MONOTONIC
 */
struct look_time {
	struct {
		int64_t uid;
		uint64_t taken_usec;
		uint64_t as_of;
	} users[LOOK_TIME_USERS];
	size_t n_users;
};

/* A look at a process of @uid, -1: whose it is is not known, has taken that long. */
void look_time_add(struct look_time *t, int64_t uid, uint64_t usec, uint64_t now);

/* What those of that user have taken of late. */
uint64_t look_time_get(const struct look_time *t, int64_t uid, uint64_t now);

#endif /* EAGERSPLITD_LOOK_TIME_H */
