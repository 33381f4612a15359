// SPDX-License-Identifier: GPL-2.0-or-later
#include "finder.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "backend.h"
#include "log.h"
#include "worker.h"

/*
 * KVM tells of a VM before the VMM has its descriptor: so many times, and so
 * long after each other, is it looked for. A VMM that tries out what KVM can
 * do has closed it by then.
 */
#define TRIES_MAX	  6
#define TRY_USEC	  (20 * UINT64_C(1000))
#define CANDIDATES_MAX	  128
#define PROCESSES_AT_ONCE 64

/* A process that is to have a VM, as its host says. */
struct candidate {
	pid_t pid;
	unsigned int tries;
};

/**
 * struct finder - what there is to look for
 * @candidates: looked at again when @timer fires
 * @scan: the job that looks through all processes
 * @pids: those that had a VM then
 * @scanning: it is under way
 * @again: and what it saw may be out of date: look once more
 */
struct finder {
	sd_event *event;
	const struct finder_ops *ops;
	void *userdata;
	struct backend *backend;
	struct worker_pool *pool;

	struct candidate candidates[CANDIDATES_MAX];
	size_t n_candidates;
	sd_event_source *timer;

	struct job scan;
	pid_t *pids;
	size_t n_pids;
	bool scanning;
	bool again;
};

/*
 * Looking through all processes
 */

static int on_found(void *userdata, pid_t pid)
{
	struct finder *f = userdata;
	pid_t *more;

	if (f->n_pids % PROCESSES_AT_ONCE == 0) {
		more = reallocarray(f->pids, f->n_pids + PROCESSES_AT_ONCE, sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->pids = more;
	}
	f->pids[f->n_pids++] = pid;
	return 0;
}

/* In a worker's thread, but for the first time. */
static int finder_scan(struct job *job)
{
	struct finder *f = (struct finder *)((char *)job - offsetof(struct finder, scan));

	f->n_pids = 0;
	return f->backend->ops->scan(f->backend, on_found, f);
}

static void finder_scanned(struct job *job, int r)
{
	struct finder *f = (struct finder *)((char *)job - offsetof(struct finder, scan));

	f->scanning = false;
	if (r < 0)
		log_warning("Cannot look for VMs in all processes: %s", strerror(-r));
	for (size_t i = 0; i < f->n_pids; i++)
		(void)f->ops->look(f->userdata, f->pids[i]);
	if (f->again) {
		f->again = false;
		f->scanning = true;
		worker_pool_submit(f->pool, &f->scan);
		return;
	}
	f->ops->dirty_log(f->userdata, 0);
}

static void finder_begin_scan(struct finder *f)
{
	if (f->scanning) {
		f->again = true;
		return;
	}
	f->scanning = true;
	worker_pool_submit(f->pool, &f->scan);
}

/*
 * Looking at one
 */

static void finder_arm(struct finder *f)
{
	/* Cannot fail but in a forked child. */
	(void)sd_event_source_set_time_relative(f->timer, TRY_USEC);
	(void)sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

static void finder_add(struct finder *f, pid_t pid)
{
	for (size_t i = 0; i < f->n_candidates; i++) {
		if (f->candidates[i].pid == pid) {
			f->candidates[i].tries = 0;
			return;
		}
	}
	/* So many at once: go through all of them instead. */
	if (f->n_candidates == CANDIDATES_MAX) {
		finder_begin_scan(f);
		return;
	}
	f->candidates[f->n_candidates++] = (struct candidate){ .pid = pid };
	if (f->n_candidates == 1)
		finder_arm(f);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct finder *f = userdata;
	size_t n = 0;

	for (size_t i = 0; i < f->n_candidates; i++) {
		struct candidate c = f->candidates[i];

		if (f->ops->look(f->userdata, c.pid) == -ENOTTY && ++c.tries < TRIES_MAX)
			f->candidates[n++] = c;
	}
	f->n_candidates = n;
	if (n)
		finder_arm(f);
	return 0;
}

static void on_event(void *userdata, enum host_event event, pid_t pid)
{
	struct finder *f = userdata;

	switch (event) {
	case HOST_VM_CREATED:
		if (!pid)
			finder_begin_scan(f);
		else if (f->ops->look(f->userdata, pid) == -ENOTTY)
			finder_add(f, pid);
		break;
	case HOST_VM_DESTROYED:
		/* Of a process that cannot be told: whoever calls the VM next will see. */
		if (pid)
			(void)f->ops->look(f->userdata, pid);
		break;
	case HOST_DIRTY_LOG:
		f->ops->dirty_log(f->userdata, pid);
		break;
	case HOST_EVENTS_LOST:
		log_info("What the host told of its VMs was lost in part: looking at all of them");
		finder_begin_scan(f);
		break;
	}
}

void finder_start(struct finder *f)
{
	int r;

	r = f->backend->ops->watch(f->backend, f->event, on_event, f);
	if (r < 0)
		log_warning("VMs that come and go are not seen, they must be registered: %s",
			    strerror(-r));
	finder_scanned(&f->scan, finder_scan(&f->scan));
}

int finder_new(struct finder **ret, sd_event *event, struct backend *backend,
	       struct worker_pool *pool, const struct finder_ops *ops, void *userdata)
{
	_cleanup_(finder_freep) struct finder *f = NULL;
	int r;

	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->ops = ops;
	f->userdata = userdata;
	f->event = event;
	f->backend = backend;
	f->pool = pool;
	f->scan.run = finder_scan;
	f->scan.done = finder_scanned;
	r = sd_event_add_time(event, &f->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, f);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

struct finder *finder_free(struct finder *f)
{
	if (!f)
		return NULL;
	sd_event_source_disable_unref(f->timer);
	free(f->pids);
	free(f);
	return NULL;
}
