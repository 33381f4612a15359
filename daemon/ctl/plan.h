/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_PLAN_H
#define EAGERSPLITD_PLAN_H

/*
 * What it will take to split a guest, reckoned from its size alone: for the planning of a
 * migration before there is one. Asks neither host nor clock.
 */

#include <stdbool.h>
#include <stdint.h>

/* The most blocks that KVM splits for a TLBI, if no vCPU waits meanwhile. */
#define PLAN_BATCH_MAX 512

/**
 * struct plan_demand - what is to be reckoned
 * @memory: bytes of guest memory, all taken for mapped by blocks; more than 0
 * @block_size: bytes of a block: 2M or 1G (4 KiB pages), 32M (16 KiB), 512M (64 KiB)
 * @bbm: without break-before-make (FEAT_BBM level 2)
 * @batch: blocks that a TLBI splits, on average: 1 to PLAN_BATCH_MAX
 * @rate: TLBIs a second, 0: no limit
 * @span_usec: until the deadline, UINT64_MAX: none
 */
struct plan_demand {
	uint64_t memory;
	uint64_t block_size;
	bool bbm;
	uint64_t batch;
	uint64_t rate;
	uint64_t span_usec;
};

/**
 * struct plan - what comes of it
 * @page_size: the granule of the stage-2 tables that has such blocks
 * @blocks: to split
 * @tlbis: that splitting them spends from the budget, or with @bbm none: one for @batch
 *	   blocks, and one more for each of 1 GiB, which is split into blocks of 2 MiB first
 * @most_tlbis: the same where vCPUs end each batch after one block
 * @tables: page tables that are made, all of them of one page
 * @table_bytes: memory that they take, charged to the VM's cgroup
 * @least_rate: the rate that keeps the deadline, 0: any, or there is no deadline
 * @time_usec: at the rate, 0: as fast as the host can
 * @late: at the rate, the deadline is missed
 *
 * The burst is left out of account: a plan that holds without it holds with it.
 */
struct plan {
	uint64_t page_size;
	uint64_t blocks;
	uint64_t tlbis;
	uint64_t most_tlbis;
	uint64_t tables;
	uint64_t table_bytes;
	uint64_t least_rate;
	uint64_t time_usec;
	bool late;
};

/*
 * Makes the plan. -EINVAL: no such blocks, no such batches, or no memory;
 * -ERANGE: the deadline is now.
 */
int plan_make(struct plan *plan, const struct plan_demand *demand);

#endif /* EAGERSPLITD_PLAN_H */
