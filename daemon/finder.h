/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds VMs: by what the host tells, and by looking through all processes at
 * the start and when some of that was lost.
 */
#ifndef EAGERSPLITD_FINDER_H
#define EAGERSPLITD_FINDER_H

#include <sys/types.h>

#include <systemd/sd-event.h>

#include "util.h"

struct backend;
struct finder;
struct worker_pool;

/**
 * struct finder_ops - whom it tells
 * @look: that the VMs of that process may be others than were known. Returns
 *	  how many are new, or a negative errno, -ENOTTY where it has none.
 *	  Where a VM was created and none is new, it is asked to look once more
 *	  a little later
 * @look_again: that VMs known of that process may have given way to others
 * @dirty_log: that dirty logging was started or stopped on a VM of that
 *	       process; 0: of any
 */
struct finder_ops {
	int (*look)(void *userdata, pid_t pid);
	void (*look_again)(void *userdata, pid_t pid);
	void (*dirty_log)(void *userdata, pid_t pid);
};

/*
 * Finds the VMs of @backend's host, which outlives it, as do @pool and @ops. 0
 * or a negative errno.
 */
int finder_new(struct finder **ret, sd_event *event, struct backend *backend,
	       struct worker_pool *pool, const struct finder_ops *ops, void *userdata);

/* Once no job of @pool runs any more. Returns NULL. */
struct finder *finder_free(struct finder *f);
DEFINE_CLEANUP(struct finder *, finder_free);

/*
 * Begins: has the host tell, and looks through all processes before it
 * returns. Where that is not possible, it is logged.
 */
void finder_start(struct finder *f);

/* Looks through all processes once more; returns before that has been done. */
void finder_scan_all(struct finder *f);

#endif /* EAGERSPLITD_FINDER_H */
