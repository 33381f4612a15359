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
 * @lock: guards @settings and @random
 * @settings: what it is like
 * @random: state of a generator, for which batches end early
 * @under_way: calls that make TLBIs
 */
struct sim_machine {
	pthread_mutex_t lock;
	struct sim_settings settings;
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
	machine->settings = *settings;
	pthread_mutex_unlock(&machine->lock);
}

struct sim_settings sim_machine_settings(struct sim_machine *machine)
{
	struct sim_settings settings;

	pthread_mutex_lock(&machine->lock);
	settings = machine->settings;
	pthread_mutex_unlock(&machine->lock);
	return settings;
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
	const struct timespec ts = nsec_to_timespec(nsec);

	return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

int sim_machine_fill(struct sim_machine *machine, uint64_t n)
{
	uint64_t nsec = n * sim_machine_settings(machine).block_usec * NSEC_PER_USEC;

	return nsec ? sleep_until(now_nsec(CLOCK_MONOTONIC) + nsec) : 0;
}

int sim_machine_invalidate(struct sim_machine *machine, uint64_t *ret_nsec)
{
	uint64_t start = now_nsec(CLOCK_MONOTONIC);
	int r;

	*ret_nsec = sim_machine_settings(machine).tlbi_usec * NSEC_PER_USEC * machine->under_way;
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
	batch = machine->settings.batch;
	number = batch > 1 ? draw(&machine->random) : 0;
	*ret_early = batch > 1 && number % MILLION < machine->settings.vcpu_waits;
	pthread_mutex_unlock(&machine->lock);
	return *ret_early ? 1 + number / MILLION % batch : batch;
}
