// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A simulated host. Any live process stands for a VMM with one VM, which has
 * one memslot, all of it mapped by blocks to begin with. A broadcast TLBI
 * takes the time it is configured to take, and that is spent asleep.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "backend.h"
#include "conf.h"

/* Where arm64 VMMs put the memory of their VMs. */
#define SIM_GPA	      (UINT64_C(1) << 30)
#define SIM_PAGE_SIZE UINT64_C(4096)

/**
 * struct sim - the host
 * @lock: guards @tlbi_nsec and @bbm_level, which calls in threads read
 * @memory: bytes of each VM that is opened from now on
 * @block_size: and of its blocks
 */
struct sim {
	struct backend backend;
	pthread_mutex_t lock;
	uint64_t tlbi_nsec;
	int bbm_level;
	uint64_t memory;
	uint64_t block_size;
};

/**
 * struct sim_vm - a VM
 * @whole: by block: it is one
 * @n_blocks: blocks in its memory
 * @n_whole: how many of them are blocks still
 */
struct sim_vm {
	struct backend_vm vm;
	bool held;
	uint64_t memory;
	uint64_t block_size;
	uint64_t n_blocks;
	uint64_t n_whole;
	bool whole[];
};

static void sim_configure(struct backend *backend, const struct config *config)
{
	struct sim *sim = (struct sim *)backend;

	pthread_mutex_lock(&sim->lock);
	sim->tlbi_nsec = config->sim_tlbi_usec * NSEC_PER_USEC;
	sim->bbm_level = config->sim_bbm_level;
	pthread_mutex_unlock(&sim->lock);
	sim->memory = config->sim_memory;
	sim->block_size = config->sim_block_size;
}

static void sim_free(struct backend *backend)
{
	struct sim *sim = (struct sim *)backend;

	pthread_mutex_destroy(&sim->lock);
	free(sim);
}

static void sim_probe(struct backend *backend, struct backend_host *ret)
{
	struct sim *sim = (struct sim *)backend;

	*ret = (struct backend_host){ .supported = true, .bbm_level = sim->bbm_level };
}

static int sim_open_vm(struct backend *backend, int pidfd, pid_t pid, struct backend_vm **ret,
		       int *ret_id)
{
	struct sim *sim = (struct sim *)backend;
	uint64_t n = sim->memory / sim->block_size;
	struct sim_vm *vm;

	vm = malloc(sizeof(*vm) + n * sizeof(vm->whole[0]));
	if (!vm)
		return -ENOMEM;
	*vm = (struct sim_vm){
		.vm.backend = backend,
		.memory = sim->memory,
		.block_size = sim->block_size,
		.n_blocks = n,
		.n_whole = n,
	};
	memset(vm->whole, true, n * sizeof(vm->whole[0]));
	*ret = &vm->vm;
	*ret_id = 0;
	return 0;
}

static void sim_close_vm(struct backend_vm *backend_vm)
{
	free(backend_vm);
}

static int sim_survey(struct backend_vm *backend_vm, struct survey *ret)
{
	struct sim_vm *vm = (struct sim_vm *)backend_vm;
	struct memslot *slot;

	slot = malloc(sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = (struct memslot){
		.gpa = SIM_GPA,
		.bytes = vm->memory,
		.blocks = vm->n_whole,
		.block_bytes = vm->n_whole * vm->block_size,
	};
	*ret = (struct survey){ .held = vm->held, .n_slots = 1, .slots = slot };
	return 0;
}

/**
 * struct sim_walk - a walk of one call
 * @first: the block to start at
 * @last: the block to end before
 * @from: what a block must be to be changed
 * @each: TLBIs that each change takes
 * @once: TLBIs that the call takes if it changes anything
 * @max: TLBIs that may be spent, at least one
 */
struct sim_walk {
	uint64_t first;
	uint64_t last;
	bool from;
	uint64_t each;
	uint64_t once;
	uint64_t max;
};

/* Sleeps for @n TLBIs. Returns how many of them were over when a signal came. */
static uint64_t sim_spend(uint64_t n, uint64_t tlbi_nsec)
{
	uint64_t start, end, now;
	struct timespec ts;

	if (!n || !tlbi_nsec)
		return n;
	start = now_nsec(CLOCK_MONOTONIC);
	end = start + n * tlbi_nsec;
	ts.tv_sec = (time_t)(end / NSEC_PER_SEC);
	ts.tv_nsec = (long)(end % NSEC_PER_SEC);
	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0)
		return n;
	now = now_nsec(CLOCK_MONOTONIC);
	return min_u64((now - start) / tlbi_nsec, n);
}

/* Blocks from @first on that would be changed, up to @most; and where that ends. */
static uint64_t sim_look_ahead(const struct sim_vm *vm, const struct sim_walk *walk, uint64_t most,
			       uint64_t *ret_end)
{
	uint64_t n = 0, i;

	for (i = walk->first; i < walk->last; i++) {
		if (vm->whole[i] != walk->from)
			continue;
		if (n == most)
			break;
		n++;
	}
	*ret_end = i;
	return n;
}

static int sim_walk(struct sim_vm *vm, const struct sim_walk *walk, uint64_t tlbi_nsec,
		    struct split_call *call)
{
	uint64_t most, n, end, tlbis, spent;

	most = walk->each ? walk->max / walk->each : UINT64_MAX;
	n = sim_look_ahead(vm, walk, most, &end);
	tlbis = n ? walk->once + n * walk->each : 0;
	spent = sim_spend(tlbis, tlbi_nsec);
	if (spent < tlbis)
		n = sim_look_ahead(vm, walk, walk->each ? spent / walk->each : 0, &end);

	for (uint64_t i = walk->first; i < end; i++)
		vm->whole[i] = !walk->from;
	vm->n_whole = walk->from ? vm->n_whole - n : vm->n_whole + n;
	call->blocks = n;
	call->tlbis = spent;
	/* In the middle of a block, and not a step further, is not behind where it began. */
	end = end == walk->last ? call->gpa + call->size
				: max_u64(SIM_GPA + end * vm->block_size, call->gpa);
	call->size -= end - call->gpa;
	call->gpa = end;
	return spent < tlbis ? -EINTR : 0;
}

/* The first block that is not wholly below @gpa (or, if @up, that begins there or above). */
static uint64_t sim_block_at(const struct sim_vm *vm, uint64_t gpa, bool up)
{
	uint64_t offset = gpa > SIM_GPA ? gpa - SIM_GPA : 0;
	uint64_t block = offset / vm->block_size;

	if (up && offset % vm->block_size)
		block++;
	return min_u64(block, vm->n_blocks);
}

static int sim_split(struct backend_vm *backend_vm, struct split_call *call)
{
	struct sim_vm *vm = (struct sim_vm *)backend_vm;
	struct sim *sim = (struct sim *)vm->vm.backend;
	struct sim_walk walk = { .from = call->flags & BACKEND_SPLIT, .each = 1 };
	uint64_t tlbi_nsec;
	bool bbm;

	pthread_mutex_lock(&sim->lock);
	tlbi_nsec = sim->tlbi_nsec;
	bbm = sim->bbm_level == 2 && !(call->flags & BACKEND_BREAK);
	pthread_mutex_unlock(&sim->lock);

	call->blocks = 0;
	call->tlbis = 0;
	if (call->flags & (BACKEND_HOLD | BACKEND_RELEASE))
		vm->held = call->flags & BACKEND_HOLD;
	if (!(call->flags & (BACKEND_SPLIT | BACKEND_RECOVER)))
		return 0;
	if ((call->flags & BACKEND_RECOVER) && vm->held)
		return -EBUSY;

	if (!call->size)
		call->size = SIM_GPA + vm->memory - min_u64(call->gpa, SIM_GPA + vm->memory);
	if (walk.from && bbm) {
		walk.each = 0;
		walk.once = 1;
	}
	walk.first = sim_block_at(vm, call->gpa, false);
	walk.last = sim_block_at(vm, call->gpa + call->size, true);
	walk.max = call->max_tlbis ? call->max_tlbis : UINT64_MAX;
	return sim_walk(vm, &walk, tlbi_nsec, call);
}

static const struct backend_ops sim_ops = {
	.name = "sim",
	.free = sim_free,
	.probe = sim_probe,
	.configure = sim_configure,
	.open_vm = sim_open_vm,
	.close_vm = sim_close_vm,
	.survey = sim_survey,
	.split = sim_split,
};

int backend_sim_new(struct backend **ret, const struct config *config)
{
	struct sim *sim;

	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->backend.ops = &sim_ops;
	pthread_mutex_init(&sim->lock, NULL);
	sim_configure(&sim->backend, config);
	*ret = &sim->backend;
	return 0;
}
