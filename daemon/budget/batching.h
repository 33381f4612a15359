/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many blocks a TLBI, or a pause, is good for, learnt from calls that split: as many as
 * the kernel takes into a batch, or fewer where vCPUs wait for the VM's lock
 * and end batches early. Pure.
 */
#ifndef EAGERSPLITD_BATCHING_H
#define EAGERSPLITD_BATCHING_H

#include <stdint.h>

struct split_call;

/* The most blocks of a batch, which have one TLBI in common. */
#define BATCHING_MAX 512

/**
 * struct batching - what has been learnt; all 0 is nothing
 * @blocks: that were split, what is long ago counting less
 * @tlbis: or pauses, that it took, likewise
 * @assured: 0 to 1, how little what was assumed before counts
 */
struct batching {
	double blocks;
	double tlbis;
	double assured;
};

/* Learns from @call, which has ended, if it tells anything. */
void batching_learn(struct batching *b, const struct split_call *call);

/*
 * Blocks for each TLBI; @otherwise where that is not known, which counts as another TLBI beside the
 * first calls, half as much after each: one that was short does not say what all will be.
 */
double batching_get(const struct batching *b, double otherwise);

#endif /* EAGERSPLITD_BATCHING_H */
