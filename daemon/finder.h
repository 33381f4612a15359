/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds VMs: by what the host tells, and by looking through all processes at
 * the start and when some of that was lost.
 */
#ifndef EAGERSPLITD_FINDER_H
#define EAGERSPLITD_FINDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/util.h"
#include "host/backend.h"

struct finder;
struct worker_pool;

/**
 * struct look - a look at a process, which took place in another thread
 * @pidfd: of the process, or a negative errno
 * @began_nsec: CLOCK_MONOTONIC; of what has become known since, it says nothing
 * @n: how many VMs it has, or a negative errno, see backend_ops.list_vms()
 * @numbers: theirs
 */
struct look {
	pid_t pid;
	int pidfd;
	uint64_t began_nsec;
	int n;
	int numbers[BACKEND_VMS_MAX];
};

/**
 * struct finder_ops - whom it tells
 * @seen: of the VMs of a process, which may be others than were known. Returns
 *	  how many are new, or a negative errno, -ENOTTY where it has none.
 *	  Where more VMs were created than are new, the process is looked at once
 *	  more a little later
 * @list_known: calls @add for each process that is to be looked at whenever all
 *		are, though it may have no VM any more
 * @look_again: that VMs known of that process may have given way to others.
 *		Whether any is known
 * @dirty_log: that dirty logging was started or stopped on a VM of that
 *	       process; 0: of any. Whether any is known; if not, it is looked at
 */
struct finder_ops {
	int (*seen)(void *userdata, const struct look *look);
	void (*list_known)(void *userdata, int (*add)(void *add_userdata, pid_t pid),
			   void *add_userdata);
	bool (*look_again)(void *userdata, pid_t pid);
	bool (*dirty_log)(void *userdata, pid_t pid);
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

/* Looks at that process, which may have another VM now; returns before that has been done. */
void finder_look_at(struct finder *f, pid_t pid);

/* Looks through all processes once more; returns before that has been done. */
void finder_scan_all(struct finder *f);

#endif /* EAGERSPLITD_FINDER_H */
