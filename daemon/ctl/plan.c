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
	uint64_t tables; /* that one block becomes */
} geometries[] = {
	{ UINT64_C(2) << 20, 4096, 1 },
	/* To pages directly: a level-2 table and the 512 below it. */
	{ UINT64_C(1) << 30, 4096, 1 + 512 },
	{ UINT64_C(32) << 20, 16384, 1 },
	{ UINT64_C(512) << 20, 65536, 1 },
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

int plan_make(struct plan *plan, const struct plan_demand *demand)
{
	const struct geometry *geometry = find_geometry(demand->block_size);

	if (!geometry || demand->memory == 0)
		return -EINVAL;
	*plan = (struct plan){
		.page_size = geometry->page_size,
		.blocks = scale_up(demand->memory, 1, geometry->block_size),
	};
	/* Cannot overflow: a table is 1/512 or less of what it maps. */
	plan->tables = plan->blocks * geometry->tables;
	plan->table_bytes = plan->tables * geometry->page_size;
	if (demand->bbm)
		return 0;

	plan->tlbis = plan->blocks;
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
