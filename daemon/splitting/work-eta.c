// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/work-eta.h"

#include <math.h>

#include "budget/budget.h"
#include "budget/eta.h"
#include "splitting/work-private.h"

/* Blocks that a TLBI, or a pause, is good for; until something is known, as many as nobody waits for. */
static double work_get_batch(const struct work *w)
{
	const struct work_group *g = w->group;

	return batching_get(&w->batching, batching_get(&g->batching, g->limits.batch));
}

uint64_t work_count_tlbis(const struct work *w)
{
	return (uint64_t)ceil((double)vm_count_blocks(w->vm) / work_get_batch(w));
}

double work_get_limit(const struct work *w)
{
	double limit = budget_client_get_ceiling(w->client);

	return w->speed > 0 ? fmin(limit, w->speed / work_get_batch(w)) : limit;
}

bool work_get_eta(const struct vm *vm, uint64_t *ret_usec)
{
	struct work *w = vm->work;
	const struct work_limits *limits = &w->group->limits;
	struct eta_demand demand;

	if (vm->progress.stage != VM_STAGE_SPLITTING || !vm->progress.surveyed || w->leaving)
		return false;
	w->group->divide(w->group, w);
	demand = (struct eta_demand){
		.tlbis = work_count_tlbis(w),
		.share = INFINITY,
		.speed = w->speed > 0 ? w->speed / work_get_batch(w) : INFINITY,
		.rate = INFINITY,
		.limit = work_get_limit(w),
		.ahead = w->ahead,
	};
	if (limits->method == WORK_BREAK && isinf(budget_get_rate(w->group->budget)))
		demand.share = budget_client_get_ceiling(w->client);
	else if (limits->method == WORK_BREAK)
		demand.share = w->share;
	else if (limits->method == WORK_PAUSE && limits->vm_pause_rate)
		demand.share = (double)limits->vm_pause_rate;
	if (limits->method == WORK_BREAK && w->turn > 0)
		demand.rate = w->turn;
	return eta_estimate(&demand, ret_usec);
}
