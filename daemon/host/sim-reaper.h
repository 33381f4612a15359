/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel of the simulated host does when a process ends: its VMs are destroyed. */
#ifndef EAGERSPLITD_SIM_REAPER_H
#define EAGERSPLITD_SIM_REAPER_H

#include <sys/types.h>

#include "base/util.h"

struct sim_reaper;

/*
 * Has @ended called, in a thread of its own, when a process ends, and again a moment later as long as
 * it returns a negative errno. 0 or a negative errno.
 */
int sim_reaper_new(struct sim_reaper **ret, int (*ended)(void *userdata, pid_t pid),
		   void *userdata);

/* Returns NULL. */
struct sim_reaper *sim_reaper_free(struct sim_reaper *r);
DEFINE_CLEANUP(struct sim_reaper *, sim_reaper_free);

/* Waits for the end of that process, too; in any thread. 0 or a negative errno, -ESRCH: it has ended. */
int sim_reaper_watch(struct sim_reaper *r, pid_t pid);

#endif /* EAGERSPLITD_SIM_REAPER_H */
