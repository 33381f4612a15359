/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine that the VMs of the simulated host have in common: what its CPUs take for a table and
 * for a broadcast TLBI, and how many blocks one is good for. All calls may come from any thread.
 */
#ifndef EAGERSPLITD_SIM_MACHINE_H
#define EAGERSPLITD_SIM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "host/sim-settings.h"

struct sim_machine;

/* One as in @settings. 0 or -ENOMEM. */
int sim_machine_new(struct sim_machine **ret, const struct sim_settings *settings);

/* Nobody may be between sim_machine_begin() and _end(). NULL: nothing. */
struct sim_machine *sim_machine_free(struct sim_machine *machine);
DEFINE_CLEANUP(struct sim_machine *, sim_machine_free);

/* What it is like from the next batch on. */
void sim_machine_configure(struct sim_machine *machine, const struct sim_settings *settings);

/* What it is like now. */
struct sim_settings sim_machine_settings(struct sim_machine *machine);

/* A call that makes TLBIs begins: those of others that are under way take longer. */
void sim_machine_begin(struct sim_machine *machine);
void sim_machine_end(struct sim_machine *machine);

/*
 * A TLBI: asleep for as long as it takes, and that in nanoseconds in @ret_nsec. 0, or -EINTR: a
 * signal came first.
 */
int sim_machine_invalidate(struct sim_machine *machine, uint64_t *ret_nsec);

/* The tables of @n blocks are made and filled: asleep for as long as it takes. 0, or -EINTR. */
int sim_machine_fill(struct sim_machine *machine, uint64_t n);

/* How many blocks the next batch has room for; @ret_early: a vCPU that waits is why it is no more. */
uint64_t sim_machine_batch(struct sim_machine *machine, bool *ret_early);

#endif /* EAGERSPLITD_SIM_MACHINE_H */
