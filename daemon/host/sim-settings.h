/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the simulated host is like. */
#ifndef EAGERSPLITD_SIM_SETTINGS_H
#define EAGERSPLITD_SIM_SETTINGS_H

#include <stdint.h>

/**
 * struct sim_settings - what it is like
 * @memory: bytes of each simulated VM
 * @block_size: bytes of its blocks
 * @block_usec: how long the table of a block takes to be made and filled
 * @tlbi_usec: how long a broadcast TLBI takes there
 * @batch: blocks that have a TLBI in common at the most
 * @vcpu_waits: batches that a vCPU ends early, in millionths of all
 * @bbm_level: FEAT_BBM level of the simulated CPUs, 0 or 2
 * @pauses: whether its kernel can split and recover by pauses, 0 or 1
 */
struct sim_settings {
	uint64_t memory;
	uint64_t block_size;
	uint64_t block_usec;
	uint64_t tlbi_usec;
	uint32_t batch;
	uint32_t vcpu_waits;
	int bbm_level;
	int pauses;
};

#endif /* EAGERSPLITD_SIM_SETTINGS_H */
