/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a VM of the simulated host is split and recovered: a walk over its image for each call. */
#ifndef EAGERSPLITD_SIM_WALK_H
#define EAGERSPLITD_SIM_WALK_H

#include "host/backend.h"
#include "host/sim-image.h"
#include "host/sim-machine.h"

/*
 * Splits or recovers what @call asks for, and leaves in it how far that got; takes as long as the
 * TLBIs take. Memory that is logged stays pages. 0, or -EINTR: a signal came.
 */
int sim_walk(struct sim_machine *machine, struct sim_image *image, struct split_call *call);

#endif /* EAGERSPLITD_SIM_WALK_H */
