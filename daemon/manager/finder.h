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
 * @n: how many VMs it has, or a negative errno, see backend_ops.list_vms(), or as much
 *     as opening the first of them gave
 * @numbers: theirs
 * @vms: splitters of them; NULL: taken, or the VM was closed meanwhile
 */
struct look {
	pid_t pid;
	int n;
	int numbers[BACKEND_VMS_MAX];
	struct backend_vm *vms[BACKEND_VMS_MAX];
};

/*
 * Looks at the process look->pid, and makes splitters of its VMs, which are the
 * caller's; may block. @adopt: see backend_ops.adopt().
 */
void look_at_process(struct look *look, struct backend *backend, bool adopt);

/**
 * struct finder_ops - whom it tells
 * @seen: of the VMs of a process. Takes all splitters of @look. Returns
 *	  how many VMs are new, or a negative errno, -ENOTTY where it has none.
 *	  Where more VMs were created than are new, the process is looked at once
 *	  more a little later
 * @is_known: whether any VM of that process is known
 * @scanned: all processes have been looked at; from the event loop
 */
struct finder_ops {
	int (*seen)(void *userdata, struct look *look);
	bool (*is_known)(void *userdata, pid_t pid);
	void (*scanned)(void *userdata);
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
 * Begins: has the host tell, and all processes looked through; returns before that has been done,
 * since it takes as long as strangers like. Where it is not possible, that is logged.
 */
void finder_start(struct finder *f);

/* Looks at that process, which may have another VM now; returns before that has been done. */
void finder_look_at(struct finder *f, pid_t pid);

/* Looks through all processes once more; returns before that has been done. */
void finder_scan_all(struct finder *f);

#endif /* EAGERSPLITD_FINDER_H */
