// SPDX-License-Identifier: GPL-2.0-or-later
#include "service/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define WORKER_SIGNAL SIGUSR1

/*
 * A signal that comes just before a job enters the kernel interrupts nothing,
 * so a cancelled job is signalled again until it has ended.
 */
#define RESEND_USEC (10 * UINT64_C(1000))

/* Keys that are told apart: prime, so that such as follow each other, or are far from it, are. */
#define KEYS 1021

TAILQ_HEAD(job_list, job);

/**
 * struct key - those jobs whose keys are taken for one
 * @turn: of the last of them that was submitted; 0 where none is queued
 * @queued: how many are
 */
struct key {
	uint64_t turn;
	size_t queued;
};

/**
 * struct worker_pool - the threads and their work
 * @lock: guards the lists, the jobs on them, and @stopping
 * @more: a job was queued, or @stopping set
 * @fewer: a running job has ended
 * @queued: those that are to run, by their turns: each key has one job in a turn
 * @turn: of the job that began last
 * @order: counts those that were submitted
 * @wake: eventfd: something is on @finished
 */
struct worker_pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_cond_t fewer;
	struct heap queued;
	uint64_t turn;
	struct key keys[KEYS];
	uint64_t order;
	struct job_list running;
	struct job_list finished;
	bool stopping;

	int wake;
	sd_event_source *wake_source;
	sd_event_source *resend_source;

	unsigned int n_threads;
	pthread_t threads[];
};

static void on_worker_signal(int signo)
{
	/* Its coming is all: it ends the system call. */
}

static void pool_wake_loop(struct worker_pool *pool)
{
	/* Cannot fail but for an overflow, and then the loop is awake. */
	(void)!eventfd_write(pool->wake, 1);
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
	const struct job *x = container_of(a, const struct job, node);
	const struct job *y = container_of(b, const struct job, node);

	return x->turn != y->turn ? x->turn < y->turn : x->order < y->order;
}

/* A key of which none was queued has the next turn, and not those that it has missed. */
static void pool_queue(struct worker_pool *pool, struct job *job)
{
	struct key *key = &pool->keys[job->key % KEYS];

	key->turn = max_u64(key->turn, pool->turn) + 1;
	key->queued++;
	job->turn = key->turn;
	job->order = pool->order++;
	heap_add(&pool->queued, &job->node);
}

/* Where they were cancelled, the turns that they would have had are not behind it. */
static void pool_unqueue(struct worker_pool *pool, struct job *job)
{
	struct key *key = &pool->keys[job->key % KEYS];

	heap_remove(&pool->queued, &job->node);
	if (!--key->queued)
		key->turn = 0;
}

static void pool_run_first(struct worker_pool *pool)
{
	struct job *job = container_of(heap_first(&pool->queued), struct job, node);

	pool_unqueue(pool, job);
	pool->turn = job->turn;
	TAILQ_INSERT_TAIL(&pool->running, job, link);
	job->state = JOB_RUNNING;
	job->thread = pthread_self();
	pthread_mutex_unlock(&pool->lock);

	job->result = job->run(job);

	pthread_mutex_lock(&pool->lock);
	TAILQ_REMOVE(&pool->running, job, link);
	TAILQ_INSERT_TAIL(&pool->finished, job, link);
	job->state = JOB_FINISHED;
	pthread_cond_signal(&pool->fewer);
	pool_wake_loop(pool);
}

static void *worker_main(void *userdata)
{
	struct worker_pool *pool = userdata;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, WORKER_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);

	pthread_mutex_lock(&pool->lock);
	while (!pool->stopping) {
		if (!heap_first(&pool->queued))
			pthread_cond_wait(&pool->more, &pool->lock);
		else
			pool_run_first(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Signals the running jobs, or those of them that were cancelled: any left? */
static bool pool_interrupt(struct worker_pool *pool, bool all)
{
	bool any = false;
	struct job *job;

	TAILQ_FOREACH(job, &pool->running, link) {
		if (!all && !job->cancelled)
			continue;
		pthread_kill(job->thread, WORKER_SIGNAL);
		any = true;
	}
	return any;
}

static int pool_arm_resend(struct worker_pool *pool)
{
	int r;

	r = sd_event_source_set_time_relative(pool->resend_source, RESEND_USEC);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(pool->resend_source, SD_EVENT_ONESHOT);
}

static int on_resend(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct worker_pool *pool = userdata;
	bool any;

	pthread_mutex_lock(&pool->lock);
	any = pool_interrupt(pool, false);
	pthread_mutex_unlock(&pool->lock);
	return any ? pool_arm_resend(pool) : 0;
}

static struct job *pool_take_finished(struct worker_pool *pool)
{
	struct job *job;

	pthread_mutex_lock(&pool->lock);
	job = TAILQ_FIRST(&pool->finished);
	if (job) {
		TAILQ_REMOVE(&pool->finished, job, link);
		job->state = JOB_IDLE;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct worker_pool *pool = userdata;
	struct job *job;
	eventfd_t n;

	/*
	 * One for each time that a job ended, so that jobs that end as fast as
	 * they are submitted again do not keep the loop from all else.
	 */
	if (eventfd_read(fd, &n) < 0)
		return errno == EAGAIN ? 0 : -errno;
	while (n-- && (job = pool_take_finished(pool)))
		job->done(job, job->result);
	return 0;
}

static int pool_add_sources(struct worker_pool *pool, sd_event *event)
{
	int r;

	pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake < 0)
		return -errno;
	r = sd_event_add_io(event, &pool->wake_source, pool->wake, EPOLLIN, on_wake, pool);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &pool->resend_source, CLOCK_MONOTONIC, UINT64_MAX, 1000,
			      on_resend, pool);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(pool->resend_source, SD_EVENT_OFF);
}

/* The threads take no signal but the one; the process's are the loop's. */
static int pool_start_threads(struct worker_pool *pool, unsigned int n_threads)
{
	struct sigaction action = { .sa_handler = on_worker_signal };
	sigset_t all, before;
	int r = 0;

	/* No SA_RESTART: system calls are to end. */
	sigemptyset(&action.sa_mask);
	if (sigaction(WORKER_SIGNAL, &action, NULL) < 0)
		return -errno;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool->n_threads < n_threads) {
		r = -pthread_create(&pool->threads[pool->n_threads], NULL, worker_main, pool);
		if (r < 0)
			break;
		pthread_setname_np(pool->threads[pool->n_threads], "worker");
		pool->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int worker_pool_new(struct worker_pool **ret, sd_event *event, unsigned int n_threads)
{
	_cleanup_(worker_pool_freep) struct worker_pool *pool = NULL;
	pthread_condattr_t attr;
	int r;

	pool = calloc(1, sizeof(*pool) + n_threads * sizeof(pool->threads[0]));
	if (!pool)
		return -ENOMEM;
	pool->wake = -1;
	pool->queued.less = is_before;
	TAILQ_INIT(&pool->running);
	TAILQ_INIT(&pool->finished);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->fewer, &attr);
	pthread_condattr_destroy(&attr);

	r = pool_add_sources(pool, event);
	if (r < 0)
		return r;
	r = pool_start_threads(pool, n_threads);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(pool);
	return 0;
}

static bool pool_is_idle(const struct worker_pool *pool)
{
	return !heap_first(&pool->queued) && TAILQ_EMPTY(&pool->running);
}

/*
 * Until a job ends, or @until, CLOCK_MONOTONIC; whether one is left to wait for. The loop, which would
 * signal again those that were cancelled, does not run meanwhile.
 */
static bool pool_wait(struct worker_pool *pool, uint64_t until)
{
	uint64_t now;
	bool left;

	pthread_mutex_lock(&pool->lock);
	while (TAILQ_EMPTY(&pool->finished) && !pool_is_idle(pool) &&
	       (now = now_nsec(CLOCK_MONOTONIC)) < until) {
		uint64_t again = now + RESEND_USEC * NSEC_PER_USEC;
		struct timespec at = nsec_to_timespec(
			pool_interrupt(pool, false) ? min_u64(again, until) : until);

		pthread_cond_timedwait(&pool->fewer, &pool->lock, &at);
	}
	left = !pool_is_idle(pool);
	pthread_mutex_unlock(&pool->lock);
	return left;
}

bool worker_pool_drain(struct worker_pool *pool, uint64_t usec)
{
	uint64_t until = now_nsec(CLOCK_MONOTONIC) + usec * NSEC_PER_USEC;
	struct job *job;
	bool left;

	do {
		left = pool_wait(pool, until);
		job = pool_take_finished(pool);
		if (job)
			job->done(job, job->result);
	} while (job);
	return !left;
}

static void pool_stop_threads(struct worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->more);
	while (pool_interrupt(pool, true)) {
		struct timespec until =
			nsec_to_timespec(now_nsec(CLOCK_MONOTONIC) + RESEND_USEC * NSEC_PER_USEC);

		pthread_cond_timedwait(&pool->fewer, &pool->lock, &until);
	}
	pthread_mutex_unlock(&pool->lock);

	while (pool->n_threads)
		pthread_join(pool->threads[--pool->n_threads], NULL);
}

struct worker_pool *worker_pool_free(struct worker_pool *pool)
{
	if (!pool)
		return NULL;
	pool_stop_threads(pool);
	sd_event_source_disable_unref(pool->resend_source);
	sd_event_source_disable_unref(pool->wake_source);
	closep(&pool->wake);
	pthread_cond_destroy(&pool->fewer);
	pthread_cond_destroy(&pool->more);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return NULL;
}

void worker_pool_submit(struct worker_pool *pool, struct job *job)
{
	pthread_mutex_lock(&pool->lock);
	job->state = JOB_QUEUED;
	job->cancelled = false;
	pool_queue(pool, job);
	pthread_cond_signal(&pool->more);
	pthread_mutex_unlock(&pool->lock);
}

void worker_pool_cancel(struct worker_pool *pool, struct job *job)
{
	bool running;

	pthread_mutex_lock(&pool->lock);
	running = job->state == JOB_RUNNING;
	job->cancelled = true;
	if (job->state == JOB_QUEUED) {
		pool_unqueue(pool, job);
		TAILQ_INSERT_TAIL(&pool->finished, job, link);
		job->state = JOB_FINISHED;
		job->result = -EINTR;
		pool_wake_loop(pool);
	} else if (running) {
		pthread_kill(job->thread, WORKER_SIGNAL);
	}
	pthread_mutex_unlock(&pool->lock);

	/* Arming cannot fail, and if it did the call would end by itself. */
	if (running)
		(void)pool_arm_resend(pool);
}

static size_t count_jobs(const struct job_list *list)
{
	const struct job *job;
	size_t n = 0;

	TAILQ_FOREACH(job, list, link)
		n++;
	return n;
}

void worker_pool_get_load(struct worker_pool *pool, struct worker_load *load)
{
	pthread_mutex_lock(&pool->lock);
	*load = (struct worker_load){
		.threads = pool->n_threads,
		.running = count_jobs(&pool->running),
		.queued = pool->queued.n,
	};
	pthread_mutex_unlock(&pool->lock);
}
