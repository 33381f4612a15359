// SPDX-License-Identifier: GPL-2.0-or-later
#include "finder.h"

#include <errno.h>
#include <string.h>

#include "backend.h"
#include "log.h"
#include "worker.h"

/*
 * KVM tells of a VM before the VMM has its descriptor, which comes as soon as
 * the VMM's thread goes on, and on a host without a free CPU that may be a while.
 * So it is looked for after the first time, then after twice as long each time,
 * up to the last; in all for half a minute, or until the process is gone.
 */
#define TRIES_MAX	  18
#define TRY_FIRST_USEC	  (20 * UINT64_C(1000))
#define TRY_LAST_USEC	  (20 * UINT64_C(1000) << 7)
#define CANDIDATES_MAX	  128
#define PROCESSES_AT_ONCE 64

/* A process that is to have a VM more than is known, as its host says. @due: on CLOCK_MONOTONIC */
struct candidate {
	pid_t pid;
	unsigned int tries;
	uint64_t due;
};

/**
 * struct finder - what there is to look for
 * @candidates: looked at again when they are due, the first by @timer
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
	struct finder *f = container_of(job, struct finder, scan);

	f->n_pids = 0;
	return f->backend->ops->scan(f->backend, on_found, f);
}

static void finder_scanned(struct job *job, int r)
{
	struct finder *f = container_of(job, struct finder, scan);

	if (r < 0)
		log_warning("Cannot look for VMs in all processes: %s", strerror(-r));
	/* As long as this goes on no other may begin, which would change the list. */
	for (size_t i = 0; i < f->n_pids; i++)
		(void)f->ops->look(f->userdata, f->pids[i]);
	f->scanning = false;
	if (f->again) {
		f->again = false;
		f->scanning = true;
		worker_pool_submit(f->pool, &f->scan);
		return;
	}
	f->ops->dirty_log(f->userdata, 0);
}

void finder_scan_all(struct finder *f)
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

static uint64_t finder_now(const struct finder *f)
{
	uint64_t usec = 0;

	/* Cannot fail but in a forked child, as what follows. */
	(void)sd_event_now(f->event, CLOCK_MONOTONIC, &usec);
	return usec;
}

static void finder_arm(struct finder *f)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < f->n_candidates; i++)
		due = min_u64(due, f->candidates[i].due);
	(void)sd_event_source_set_time(f->timer, due);
	(void)sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

/* How long to wait before the next try. */
static uint64_t finder_wait(unsigned int tries)
{
	return min_u64(TRY_FIRST_USEC << min_u64(tries, 16), TRY_LAST_USEC);
}

static struct candidate *finder_find(struct finder *f, pid_t pid)
{
	for (size_t i = 0; i < f->n_candidates; i++)
		if (f->candidates[i].pid == pid)
			return &f->candidates[i];
	return NULL;
}

static void finder_add(struct finder *f, pid_t pid)
{
	struct candidate *c = finder_find(f, pid);

	if (!c) {
		/* So many at once: go through all of them instead. */
		if (f->n_candidates == CANDIDATES_MAX) {
			finder_scan_all(f);
			return;
		}
		c = &f->candidates[f->n_candidates++];
	}
	*c = (struct candidate){ .pid = pid, .due = finder_now(f) + finder_wait(0) };
	finder_arm(f);
}

/* Whether the VM that the host told of is yet to be seen. */
static bool finder_look(struct finder *f, pid_t pid)
{
	int r = f->ops->look(f->userdata, pid);

	return r == -ENOTTY || r == 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	uint64_t now = finder_now(userdata);
	struct finder *f = userdata;
	size_t n = 0;

	for (size_t i = 0; i < f->n_candidates; i++) {
		struct candidate c = f->candidates[i];

		if (c.due <= now) {
			if (!finder_look(f, c.pid) || ++c.tries == TRIES_MAX)
				continue;
			c.due = now + finder_wait(c.tries);
		}
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

	/* A VMM that closes its VM and makes another gets the same descriptor. */
	if (pid && (event == HOST_VM_CREATED || event == HOST_VM_DESTROYED))
		f->ops->look_again(f->userdata, pid);
	switch (event) {
	case HOST_VM_CREATED:
		if (!pid)
			finder_scan_all(f);
		else if (finder_look(f, pid))
			finder_add(f, pid);
		break;
	case HOST_VM_DESTROYED:
		/*
		 * Of a process that cannot be told: whoever calls the VM next will see. What is
		 * still looked for may be another one of the process, so that goes on.
		 */
		if (pid)
			(void)f->ops->look(f->userdata, pid);
		break;
	case HOST_DIRTY_LOG:
		f->ops->dirty_log(f->userdata, pid);
		break;
	case HOST_EVENTS_LOST:
		log_info("What the host told of its VMs was lost in part: looking at all of them");
		finder_scan_all(f);
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
	f->scanning = true;
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
