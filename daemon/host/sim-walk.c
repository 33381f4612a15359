// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sim-walk.h"

#include "base/util.h"

/**
 * struct walk - a walk of one call
 * @call: that it is for
 * @first: the block to go on at
 * @last: the block to end before
 * @from: what a block must be to be changed
 * @no_break: without break-before-make
 */
struct walk {
	struct sim_machine *machine;
	struct sim_image *image;
	struct split_call *call;
	uint64_t first;
	uint64_t last;
	bool from;
	bool no_break;
};

/* Blocks from the next one on that would be changed, up to @most; and where that ends. */
static uint64_t look_ahead(const struct walk *walk, uint64_t most, uint64_t *ret_end)
{
	uint64_t n = 0, i;

	for (i = walk->first; i < walk->last; i++) {
		if ((walk->image->whole[i] != 0) != walk->from)
			continue;
		if (n == most)
			break;
		n++;
	}
	*ret_end = i;
	return n;
}

/* How many blocks the next TLBI may be for; without break-before-make all have one. */
static uint64_t next_batch(struct walk *walk)
{
	struct split_call *call = walk->call;
	uint64_t batch = UINT64_MAX;
	bool early = false;

	if (!walk->no_break)
		batch = sim_machine_batch(walk->machine, &early);
	call->yields += early;
	return call->max_blocks ? min_u64(batch, call->max_blocks - call->blocks) : batch;
}

/* What a batch of them takes: a pause, in which no time passes here, or a TLBI. */
static int pay(struct walk *walk)
{
	struct split_call *call = walk->call;
	uint64_t nsec = 0;
	int r;

	if (call->flags & RUN_PAUSE) {
		call->pauses++;
		return 0;
	}
	r = sim_machine_invalidate(walk->machine, &nsec);
	call->tlbi_nsec += nsec;
	call->tlbis += r == 0;
	return r;
}

/* A batch, with its TLBI, and goes on behind it. */
static int change(struct walk *walk)
{
	struct split_call *call = walk->call;
	uint64_t n, end;
	int r = 0;

	n = look_ahead(walk, next_batch(walk), &end);
	if (n && walk->from)
		r = sim_machine_fill(walk->machine, n);
	if (n && r == 0)
		r = pay(walk);
	if (r < 0)
		return r;
	for (; walk->first < end; walk->first++)
		walk->image->whole[walk->first] = !walk->from;
	call->blocks += n;
	return 0;
}

static bool may_go_on(const struct walk *walk)
{
	const struct split_call *call = walk->call;
	uint64_t spent = call->flags & RUN_PAUSE ? call->pauses : call->tlbis;

	return walk->first < walk->last && (!call->max_tlbis || spent < call->max_tlbis) &&
	       (!call->max_blocks || call->blocks < call->max_blocks);
}

/* The first block that is not wholly below @gpa (or, if @up, that begins there or above). */
static uint64_t block_at(const struct sim_image *image, uint64_t gpa, bool up)
{
	uint64_t offset = gpa > SIM_GPA ? gpa - SIM_GPA : 0;
	uint64_t block = offset / image->block_size;

	if (up && offset % image->block_size)
		block++;
	return min_u64(block, image->memory / image->block_size);
}

/* How far it got. In the middle of a block, and not a step further, is not behind where it began. */
static void tell_end(const struct walk *walk)
{
	struct split_call *call = walk->call;
	uint64_t end = call->gpa + call->size;

	if (walk->first < walk->last)
		end = max_u64(SIM_GPA + walk->first * walk->image->block_size, call->gpa);
	call->size -= end - call->gpa;
	call->gpa = end;
}

int sim_walk(struct sim_machine *machine, struct sim_image *image, struct split_call *call)
{
	struct walk walk = {
		.machine = machine,
		.image = image,
		.call = call,
		.from = call->flags & RUN_SPLIT,
	};
	int r = 0;

	if (!call->size)
		call->size = SIM_GPA + image->memory - min_u64(call->gpa, SIM_GPA + image->memory);
	if (walk.from || !(image->dirty_logging & SIM_LOG_MEMORY)) {
		walk.first = block_at(image, call->gpa, false);
		walk.last = block_at(image, call->gpa + call->size, true);
		walk.no_break = walk.from && !(call->flags & (RUN_BREAK | RUN_PAUSE)) &&
				sim_machine_settings(machine).bbm_level == 2;
	}
	sim_machine_begin(machine);
	while (r == 0 && may_go_on(&walk))
		r = change(&walk);
	sim_machine_end(machine);
	tell_end(&walk);
	return r;
}
