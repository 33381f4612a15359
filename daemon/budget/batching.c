// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget/batching.h"

#include "host/backend.h"

/* How much of what was known each call leaves. */
#define KEEP 0.75

/* And how much of what was assumed before anything was known. */
#define KEEP_ASSUMED 0.5

/* One that came to the end of its range, alone: with more blocks there it might have had more. */
static bool call_tells(const struct split_call *call)
{
	return call->blocks && (call->tlbis > 1 || call->pauses > 1 || call->yields || call->size);
}

void batching_learn(struct batching *b, const struct split_call *call)
{
	/* With pauses, a TLBI is none that splitting took. */
	uint64_t spent = call->pauses ?: call->tlbis;

	if (!spent || !call_tells(call))
		return;
	b->blocks = b->blocks * KEEP + (double)call->blocks;
	b->tlbis = b->tlbis * KEEP + (double)spent;
	b->assured += (1 - b->assured) * (1 - KEEP_ASSUMED);
}

double batching_get(const struct batching *b, double otherwise)
{
	double assumed = 1 - b->assured;

	return (b->blocks + assumed * otherwise) / (b->tlbis + assumed);
}
