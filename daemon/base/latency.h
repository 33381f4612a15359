/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long calls took: a histogram whose limits never change. */
#ifndef EAGERSPLITD_LATENCY_H
#define EAGERSPLITD_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define LATENCY_BUCKETS 19

/**
 * struct latency - all zeroes is an empty one
 * @counts: of each bucket alone; the last is for what is above all limits
 * @count: of all
 * @sum_nsec: of all
 */
struct latency {
	uint64_t counts[LATENCY_BUCKETS + 1];
	uint64_t count;
	uint64_t sum_nsec;
};

/* Counts one that took @nsec. */
void latency_add(struct latency *latency, uint64_t nsec);

/* The limit of bucket @i below LATENCY_BUCKETS, which belongs to it, in microseconds. */
uint64_t latency_limit_usec(size_t i);

#endif /* EAGERSPLITD_LATENCY_H */
