// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/plan.h"

#include <errno.h>
#include <stddef.h>

#include "base/util.h"

/*
 * The blocks of each translation granule (Arm ARM, "Stage 2 translation": a block covers
 * what a table of the next level would, and a table has granule / 8 entries). KVM's tables
 * have the granule of the host's pages.
 */
static const struct geometry {
	uint64_t block_size;
	uint64_t page_size;
	/* Blocks of the next level that one becomes at first; 0: it becomes pages. */
	uint64_t blocks;
} geometries[] = {
	{ UINT64_C(2) << 20, 4096, 0 },
	{ UINT64_C(1) << 30, 4096, 512 },
	{ UINT64_C(32) << 20, 16384, 0 },
	{ UINT64_C(512) << 20, 65536, 0 },
};

static const struct geometry *find_geometry(uint64_t block_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(geometries); i++)
		if (geometries[i].block_size == block_size)
			return &geometries[i];
	return NULL;
}

/* a * b / c, rounded up; UINT64_MAX: more than that. */
static uint64_t scale_up(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 product = (unsigned __int128)a * b + c - 1;

	product /= c;
	return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

/* With so many blocks a TLBI. */
static uint64_t count_tlbis(const struct geometry *geometry, uint64_t blocks, uint64_t batch)
{
	if (geometry->blocks == 0)
		return scale_up(blocks, 1, batch);
	return blocks * (1 + scale_up(geometry->blocks, 1, batch));
}

int plan_make(struct plan *plan, const struct plan_demand *demand)
{
	const struct geometry *geometry = find_geometry(demand->block_size);

	if (!geometry || demand->memory == 0 || demand->batch == 0 ||
	    demand->batch > PLAN_BATCH_MAX)
		return -EINVAL;
	*plan = (struct plan){
		.page_size = geometry->page_size,
		.blocks = scale_up(demand->memory, 1, geometry->block_size),
	};
	/* Cannot overflow: a table is 1/512 or less of what it maps. */
	plan->tables = plan->blocks * (1 + geometry->blocks);
	plan->table_bytes = plan->tables * geometry->page_size;
	if (demand->bbm)
		return 0;

	plan->tlbis = count_tlbis(geometry, plan->blocks, demand->batch);
	plan->most_tlbis = count_tlbis(geometry, plan->blocks, 1);
	if (demand->span_usec != UINT64_MAX) {
		if (demand->span_usec == 0)
			return -ERANGE;
		plan->least_rate = scale_up(plan->tlbis, USEC_PER_SEC, demand->span_usec);
	}
	if (demand->rate) {
		plan->time_usec = scale_up(plan->tlbis, USEC_PER_SEC, demand->rate);
		plan->late = demand->rate < plan->least_rate;
	}
	return 0;
}
