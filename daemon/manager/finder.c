// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/finder.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/transient.h"
#include "host/process.h"
#include "manager/look-time.h"
#include "service/worker.h"

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

/*
 * When all processes are looked through again after that has failed, at first, and, twice as late
 * each time, at last: a process may keep itself from being looked into for as long as it likes.
 */
#define RESCAN_USEC	 (5 * USEC_PER_SEC)
#define RESCAN_DOUBLINGS 4U

/* Not at any time. */
#define NEVER UINT64_MAX

/**
 * struct candidate - a process that is to be looked at
 * @uid: whose it was when that was first asked for, -1: not known
 * @asked: since when, for something has happened there; NEVER: no longer
 * @due: when to look for VMs that it is to have; NEVER: for none
 * @missing: how many of those have not been seen
 * @tries: of these looks
 * @failures: looks in a row that failed for want of something
 *
 * Times are of CLOCK_MONOTONIC.
 */
struct candidate {
	pid_t pid;
	int64_t uid;
	uint64_t asked;
	uint64_t due;
	unsigned int missing;
	unsigned int tries;
	unsigned int failures;
};

/**
 * struct listed - a process that had a VM when all were looked through
 * @pid: 0: it has been looked at since
 * @uid: as above
 */
struct listed {
	pid_t pid;
	int64_t uid;
};

/**
 * struct turn - who may be next
 * @taken: what looks at its user's processes have taken of late
 * @time: since when it waits
 * @candidate, @listed: one of them is NULL, both: nobody's
 */
struct turn {
	uint64_t taken;
	uint64_t time;
	struct candidate *candidate;
	struct listed *listed;
};

/**
 * struct finder - what there is to look for
 * @candidates: each once, however much happens there
 * @timer: for the next that is due
 * @scan_due: when to look through all processes for what there was no room for here, or since
 *	      that has failed; NEVER: there is nothing of that kind
 * @scan_tries: of these scans
 * @scan_failures: scans in a row that failed
 * @look: the one that is under way if @looking, by @look_job. One at a time, as
 *	  it takes as long as that process has descriptors: it is done in a thread,
 *	  and leaves the others to splitting
 * @look_uid: whose that is
 * @look_usec: what it has taken, of the job until it has ended
 * @look_is_listed: it is of @list
 * @look_time: what those before it have
 * @scan: the job that looks through all processes
 * @list: those that had a VM then, and those known; of the job until it has ended
 * @n_looked: of these have been looked at, if @listed
 * @scanning: until the last has been
 * @again: and what was seen may be out of date: look once more
 * @failed: the last time, or of some processes it is not known whether they have VMs
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
	uint64_t scan_due;
	unsigned int scan_tries;
	unsigned int scan_failures;

	struct job look_job;
	struct look look;
	bool looking;
	int64_t look_uid;
	uint64_t look_usec;
	bool look_is_listed;
	struct look_time look_time;

	struct job scan;
	struct listed *list;
	size_t n_listed;
	size_t n_looked;
	bool listed;
	bool scanning;
	bool again;
	bool failed;
};

static void finder_go_on(struct finder *f);

static uint64_t finder_now(const struct finder *f)
{
	uint64_t usec = 0;

	/* Cannot fail but in a forked child, as what follows. */
	(void)sd_event_now(f->event, CLOCK_MONOTONIC, &usec);
	return usec;
}

/*
 * Looking through all processes
 */

static int64_t find_user(pid_t pid)
{
	int64_t uid = process_get_uid(pid);

	/* Those that are gone, and cost nothing, are one user's. */
	return uid < 0 ? -1 : uid;
}

static int on_found(void *userdata, pid_t pid)
{
	struct finder *f = userdata;
	struct listed *more;

	if (f->n_listed % PROCESSES_AT_ONCE == 0) {
		more = reallocarray(f->list, f->n_listed + PROCESSES_AT_ONCE, sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->list = more;
	}
	f->list[f->n_listed++] = (struct listed){ .pid = pid, .uid = find_user(pid) };
	return 0;
}

/* In a worker's thread. */
static int finder_scan(struct job *job)
{
	struct finder *f = container_of(job, struct finder, scan);

	f->n_listed = 0;
	return f->backend->ops->scan(f->backend, on_found, f);
}

/* All that it found has been looked at. */
static void finder_end_scan(struct finder *f)
{
	f->listed = false;
	f->scanning = false;
	if (f->again) {
		f->again = false;
		finder_scan_all(f);
	} else if (!f->failed) {
		f->scan_failures = 0;
		f->ops->scanned(f->userdata);
	}
}

/* What does not work now may later: descriptors are short, or the helper hangs. */
static void finder_fail_scan(struct finder *f)
{
	f->failed = true;
	if (f->scan_due != NEVER)
		return;
	f->scan_due = finder_now(f) + (RESCAN_USEC << f->scan_failures);
	f->scan_failures += f->scan_failures < RESCAN_DOUBLINGS;
	f->scan_tries = TRIES_MAX;
}

static void finder_take_list(struct finder *f, int r)
{
	if (r < 0 && !f->failed)
		log_warning("Cannot look for VMs in all processes: %s", strerror(-r));
	f->failed = false;
	if (r < 0)
		finder_fail_scan(f);
	f->listed = true;
	f->n_looked = 0;
}

static void finder_scanned(struct job *job, int r)
{
	struct finder *f = container_of(job, struct finder, scan);

	finder_take_list(f, r);
	finder_go_on(f);
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

/* It is looked at anew: the @n that were opened are closed. */
static void look_fail(struct look *look, struct backend *backend, int n, int r)
{
	while (n--)
		if (look->vms[n])
			backend->ops->close_vm(look->vms[n]);
	look->n = r;
}

/* Opens the VMs that are listed: those that are still there. */
static void look_open_vms(struct look *look, struct backend *backend, int pidfd)
{
	int r = -ENXIO;

	for (int i = 0; i < look->n; i++) {
		look->vms[i] = NULL;
		r = backend->ops->open_vm(backend, pidfd, look->pid, look->numbers[i],
					  &look->vms[i]);
		if (error_is_transient(r) || (r < 0 && r != -ENXIO && r != -ENODEV && i == 0)) {
			look_fail(look, backend, i, r);
			return;
		}
	}
}

static void look_in_steps(struct look *look, struct backend *backend, bool adopt)
{
	_cleanup_close_ int pidfd = process_open(look->pid);

	look->n = pidfd;
	if (pidfd >= 0 && process_is_gone(pidfd))
		look->n = -ESRCH;
	if (look->n >= 0 && adopt && backend->ops->adopt)
		look->n = backend->ops->adopt(backend, look->pid);
	if (look->n >= 0)
		look->n = backend->ops->list_vms(backend, pidfd, look->pid, look->numbers);
	look_open_vms(look, backend, pidfd);
}

void look_at_process(struct look *look, struct backend *backend, bool adopt)
{
	/* Before: what is of another process by then is taken for no process's, and not for that one's. */
	uint64_t start_time = process_find_start(look->pid);

	if (backend->ops->look)
		look->n = backend->ops->look(backend, look->pid, look->numbers, look->vms);
	else
		look_in_steps(look, backend, adopt);
	for (int i = 0; i < look->n; i++)
		if (look->vms[i])
			look->vms[i]->start_time = start_time;
}

/* In a worker's thread. */
static int finder_look(struct job *job)
{
	struct finder *f = container_of(job, struct finder, look_job);
	uint64_t began = clock_usec(CLOCK_MONOTONIC);

	look_at_process(&f->look, f->backend, false);
	f->look_usec = clock_usec(CLOCK_MONOTONIC) - began;
	return 0;
}

static void finder_begin_look(struct finder *f, const struct turn *turn)
{
	f->looking = true;
	f->look_is_listed = turn->listed;
	if (turn->listed) {
		f->look = (struct look){ .pid = turn->listed->pid };
		f->look_uid = turn->listed->uid;
		turn->listed->pid = 0;
		f->n_looked++;
	} else {
		f->look = (struct look){ .pid = turn->candidate->pid };
		f->look_uid = turn->candidate->uid;
		turn->candidate->asked = NEVER;
	}
	worker_pool_submit(f->pool, &f->look_job);
}

/* What finder_ops.seen() returns. */
static int finder_end_look(struct finder *f)
{
	int r = f->ops->seen(f->userdata, &f->look);

	f->looking = false;
	return r;
}

static void finder_arm(struct finder *f, uint64_t due)
{
	(void)sd_event_source_set_time(f->timer, due);
	(void)sd_event_source_set_enabled(f->timer, due == NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
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

static uint64_t candidate_get_time(const struct candidate *c)
{
	return min_u64(c->asked, c->due);
}

/* When a candidate is due that is not yet; NEVER: none will be. */
static uint64_t finder_get_due(const struct finder *f)
{
	uint64_t due = NEVER;

	for (size_t i = 0; i < f->n_candidates; i++)
		due = min_u64(due, candidate_get_time(&f->candidates[i]));
	return due;
}

static void turn_take(struct turn *best, struct turn turn)
{
	if ((!best->candidate && !best->listed) || turn.taken < best->taken ||
	    (turn.taken == best->taken && turn.time < best->time))
		*best = turn;
}

/*
 * Whose turn it is: of the user the looks at whose processes have taken the least, or who has waited
 * longest; and of these what was found by looking at all processes first. However many one user has
 * that take their time, others wait for one of them.
 */
static struct turn finder_choose(struct finder *f)
{
	uint64_t now = finder_now(f), taken = 0;
	struct turn best = {};
	int64_t uid = -2;

	for (size_t i = f->listed ? 0 : f->n_listed; i < f->n_listed; i++) {
		struct listed *l = &f->list[i];

		if (!l->pid)
			continue;
		if (l->uid != uid)
			taken = look_time_get(&f->look_time, l->uid, now);
		uid = l->uid;
		turn_take(&best, (struct turn){ .taken = taken, .listed = l });
	}
	for (size_t i = 0; i < f->n_candidates; i++) {
		struct candidate *c = &f->candidates[i];
		uint64_t time = candidate_get_time(c);

		if (time > now)
			continue;
		taken = look_time_get(&f->look_time, c->uid, now);
		turn_take(&best, (struct turn){ .taken = taken, .time = time, .candidate = c });
	}
	return best;
}

/* Has what comes next begin, unless a look is under way. */
static void finder_go_on(struct finder *f)
{
	struct turn turn;

	if (f->looking)
		return;
	if (f->listed && f->n_looked == f->n_listed)
		finder_end_scan(f);
	if (!f->listed && f->scan_due <= finder_now(f)) {
		f->scan_due = finder_now(f) + finder_wait(f->scan_tries);
		if (f->scan_tries++ == TRIES_MAX)
			f->scan_due = NEVER;
		finder_scan_all(f);
	}
	turn = finder_choose(f);
	if (turn.listed || turn.candidate)
		finder_begin_look(f, &turn);
	else
		finder_arm(f, min_u64(finder_get_due(f), f->scan_due));
}

/* @pid was looked at: it stays a candidate as long as there is something to look for. */
static void finder_settle(struct finder *f, pid_t pid, int r)
{
	struct candidate *c = finder_find(f, pid);
	uint64_t now = finder_now(f);

	if (!c)
		return;
	/* Of VMs that are made at once, one may be there before the others. */
	if (r > 0)
		c->missing -= (unsigned int)min_u64((uint64_t)r, c->missing);
	/* Something has happened meanwhile, which this look may not have seen. */
	if (c->asked != NEVER)
		return;
	/* It has seen nothing at all: however often that is so. */
	if (error_is_transient(r)) {
		c->asked = now + finder_wait(c->failures);
		c->due = max_u64(c->due, c->asked);
		c->failures += c->failures < TRIES_MAX;
		return;
	}
	c->failures = 0;
	/* One that the host told of is yet to be seen. */
	if (c->missing && (r == -ENOTTY || r >= 0)) {
		if (c->due > now)
			return;
		c->due = now + finder_wait(c->tries);
		if (c->tries++ < TRIES_MAX)
			return;
	}
	*c = f->candidates[--f->n_candidates];
}

static void finder_looked(struct job *job, int r)
{
	struct finder *f = container_of(job, struct finder, look_job);

	look_time_add(&f->look_time, f->look_uid, f->look_usec, finder_now(f));
	r = finder_end_look(f);
	if (f->look_is_listed && error_is_transient(r))
		finder_fail_scan(f);
	/* Whether it has any is not known; nor will it be, if it may not be looked into. */
	if (f->look_is_listed && r < 0 && r != -ENOTTY && r != -ESRCH)
		f->failed = true;
	finder_settle(f, f->look.pid, r);
	finder_go_on(f);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	finder_go_on(userdata);
	return 0;
}

/* All are looked through for a process that there is no room for; it is to have a VM that it may not have yet. */
static void finder_want_scan(struct finder *f, uint64_t now, bool created)
{
	if (!created) {
		finder_scan_all(f);
		return;
	}
	f->scan_due = now;
	f->scan_tries = 0;
}

static size_t finder_count(const struct finder *f, int64_t uid)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_candidates; i++)
		n += f->candidates[i].uid == uid;
	return n;
}

/* The last of the user that has most, and more than @uid with one more would; NULL: there is none. */
static struct candidate *finder_find_surplus(struct finder *f, int64_t uid)
{
	size_t n, most = finder_count(f, uid) + 1;
	struct candidate *surplus = NULL;

	for (size_t i = 0; i < f->n_candidates; i++) {
		n = finder_count(f, f->candidates[i].uid);
		if (n < most + !surplus)
			continue;
		most = n;
		surplus = &f->candidates[i];
	}
	return surplus;
}

/* A place for one more, at the cost of whoever has more of them than he. NULL: he has most. */
static struct candidate *finder_add(struct finder *f, pid_t pid, uint64_t now)
{
	int64_t uid = find_user(pid);
	struct candidate *c;

	if (f->n_candidates < CANDIDATES_MAX) {
		c = &f->candidates[f->n_candidates++];
	} else {
		c = finder_find_surplus(f, uid);
		if (!c)
			return NULL;
		finder_want_scan(f, now, c->due != NEVER);
	}
	*c = (struct candidate){ .pid = pid, .uid = uid, .asked = NEVER, .due = NEVER };
	return c;
}

/* Something has happened in that process; @created: it is to have a VM more. */
static void finder_ask(struct finder *f, pid_t pid, bool created)
{
	struct candidate *c = finder_find(f, pid);
	uint64_t now = finder_now(f);

	if (!c)
		c = finder_add(f, pid, now);
	/* So many at once: go through all of them instead, as often as through one. */
	if (!c) {
		finder_want_scan(f, now, created);
		finder_go_on(f);
		return;
	}
	c->asked = min_u64(c->asked, now);
	if (created) {
		c->due = now;
		c->missing++;
		c->tries = 0;
	}
	finder_go_on(f);
}

void finder_look_at(struct finder *f, pid_t pid)
{
	finder_ask(f, pid, false);
}

/* A VM of that process was destroyed: where none is @known, it was one not seen so far. */
static void finder_destroyed(struct finder *f, pid_t pid, bool known)
{
	struct candidate *c = finder_find(f, pid);

	if (c && c->missing && !known)
		c->missing--;
	finder_look_at(f, pid);
}

static void on_event(void *userdata, enum host_event event, pid_t pid)
{
	struct finder *f = userdata;

	switch (event) {
	case HOST_VM_CREATED:
		if (pid)
			finder_ask(f, pid, true);
		else
			finder_scan_all(f);
		break;
	case HOST_VM_DESTROYED:
		/* One that is known tells so itself. */
		if (pid)
			finder_destroyed(f, pid, f->ops->is_known(f->userdata, pid));
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
	worker_pool_submit(f->pool, &f->scan);
}

int finder_new(struct finder **ret, sd_event *event, struct backend *backend,
	       struct worker_pool *pool, const struct finder_ops *ops, void *userdata)
{
	_cleanup_(finder_freep) struct finder *f = NULL;
	int r;

	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	/* finder_start() is the first: what is asked for before comes after it. */
	f->scanning = true;
	f->scan_due = NEVER;
	f->ops = ops;
	f->userdata = userdata;
	f->event = event;
	f->backend = backend;
	f->pool = pool;
	f->scan.run = finder_scan;
	f->scan.done = finder_scanned;
	f->look_job.run = finder_look;
	f->look_job.done = finder_looked;
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
	for (int i = 0; f->looking && i < f->look.n; i++)
		if (f->look.vms[i])
			f->backend->ops->close_vm(f->look.vms[i]);
	sd_event_source_disable_unref(f->timer);
	free(f->list);
	free(f);
	return NULL;
}
