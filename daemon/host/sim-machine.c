// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sim-machine.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define MILLION 1000000

/**
 * struct sim_machine - the machine
 * @lock: guards @block_nsec to @random
 * @block_nsec: that the table of a block takes
 * @tlbi_nsec: that a TLBI takes while no other call makes any
 * @batch: blocks that have one in common
 * @vcpu_waits: batches that end early, in millionths of all
 * @bbm_level: FEAT_BBM level
 * @pauses: whether it can split by these
 * @random: state of a generator, for which batches end early
 * @under_way: calls that make TLBIs
 */
struct sim_machine {
	pthread_mutex_t lock;
	uint64_t block_nsec;
	uint64_t tlbi_nsec;
	uint32_t batch;
	uint32_t vcpu_waits;
	int bbm_level;
	bool pauses;
	uint64_t random;
	atomic_uint under_way;
};

int sim_machine_new(struct sim_machine **ret, const struct sim_settings *settings)
{
	struct sim_machine *machine = calloc(1, sizeof(*machine));

	if (!machine)
		return -ENOMEM;
	pthread_mutex_init(&machine->lock, NULL);
	machine->random = 1;
	sim_machine_configure(machine, settings);
	*ret = machine;
	return 0;
}

struct sim_machine *sim_machine_free(struct sim_machine *machine)
{
	if (!machine)
		return NULL;
	pthread_mutex_destroy(&machine->lock);
	free(machine);
	return NULL;
}

void sim_machine_configure(struct sim_machine *machine, const struct sim_settings *settings)
{
	pthread_mutex_lock(&machine->lock);
	machine->block_nsec = settings->block_usec * NSEC_PER_USEC;
	machine->tlbi_nsec = settings->tlbi_usec * NSEC_PER_USEC;
	machine->batch = settings->batch;
	machine->vcpu_waits = settings->vcpu_waits;
	machine->bbm_level = settings->bbm_level;
	machine->pauses = settings->pauses;
	pthread_mutex_unlock(&machine->lock);
}

bool sim_machine_have_bbm(struct sim_machine *machine)
{
	bool have;

	pthread_mutex_lock(&machine->lock);
	have = machine->bbm_level == 2;
	pthread_mutex_unlock(&machine->lock);
	return have;
}

bool sim_machine_can_pause(struct sim_machine *machine)
{
	bool can;

	pthread_mutex_lock(&machine->lock);
	can = machine->pauses;
	pthread_mutex_unlock(&machine->lock);
	return can;
}

uint32_t sim_machine_max_batch(struct sim_machine *machine)
{
	uint32_t batch;

	pthread_mutex_lock(&machine->lock);
	batch = machine->batch;
	pthread_mutex_unlock(&machine->lock);
	return batch;
}

void sim_machine_begin(struct sim_machine *machine)
{
	machine->under_way++;
}

void sim_machine_end(struct sim_machine *machine)
{
	machine->under_way--;
}

/* 0, or -EINTR: a signal came first. */
static int sleep_until(uint64_t nsec)
{
	const struct timespec ts = {
		.tv_sec = (time_t)(nsec / NSEC_PER_SEC),
		.tv_nsec = (long)(nsec % NSEC_PER_SEC),
	};

	return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

int sim_machine_fill(struct sim_machine *machine, uint64_t n)
{
	uint64_t nsec;

	pthread_mutex_lock(&machine->lock);
	nsec = n * machine->block_nsec;
	pthread_mutex_unlock(&machine->lock);
	return nsec ? sleep_until(now_nsec(CLOCK_MONOTONIC) + nsec) : 0;
}

int sim_machine_invalidate(struct sim_machine *machine, uint64_t *ret_nsec)
{
	uint64_t start = now_nsec(CLOCK_MONOTONIC);
	int r;

	pthread_mutex_lock(&machine->lock);
	*ret_nsec = machine->tlbi_nsec * machine->under_way;
	pthread_mutex_unlock(&machine->lock);
	r = *ret_nsec ? sleep_until(start + *ret_nsec) : 0;
	/* Not how late it woke up, which is this machine's doing and can be more than the TLBI. */
	if (r < 0)
		*ret_nsec = now_nsec(CLOCK_MONOTONIC) - start;
	return r;
}

/* xorshift64: the same each time that the host is made. */
static uint64_t draw(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random >> 16;
}

uint64_t sim_machine_batch(struct sim_machine *machine, bool *ret_early)
{
	uint64_t number, batch;

	pthread_mutex_lock(&machine->lock);
	batch = machine->batch;
	number = batch > 1 ? draw(&machine->random) : 0;
	*ret_early = batch > 1 && number % MILLION < machine->vcpu_waits;
	pthread_mutex_unlock(&machine->lock);
	return *ret_early ? 1 + number / MILLION % batch : batch;
}
