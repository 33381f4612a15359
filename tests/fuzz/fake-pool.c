// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-pool.h"

#include <errno.h>

#include "fuzz.h"
#include "service/strangers.h"
#include "service/worker.h"

TAILQ_HEAD(job_list, job);

struct worker_pool {
	unsigned int n_threads;
	struct job_list queued;
	struct job_list running;
	struct job_list finished;
	TAILQ_ENTRY(worker_pool) link;
};

static TAILQ_HEAD(pool_list, worker_pool) pools = TAILQ_HEAD_INITIALIZER(pools);

/* The one that is running at this moment. */
static const struct job *at_hand;

static size_t count(const struct job_list *list)
{
	const struct job *job;
	size_t n = 0;

	TAILQ_FOREACH(job, list, link)
		n++;
	return n;
}

static void move(struct job *job, struct job_list *from, struct job_list *to, enum job_state state)
{
	TAILQ_REMOVE(from, job, link);
	TAILQ_INSERT_TAIL(to, job, link);
	job->state = state;
}

bool pool_begin_job(void)
{
	struct worker_pool *pool;

	TAILQ_FOREACH(pool, &pools, link) {
		if (TAILQ_EMPTY(&pool->queued) || count(&pool->running) == pool->n_threads)
			continue;
		move(TAILQ_FIRST(&pool->queued), &pool->queued, &pool->running, JOB_RUNNING);
		return true;
	}
	return false;
}

static void pool_run(struct worker_pool *pool, struct job *job)
{
	at_hand = job;
	job->result = job->run(job);
	at_hand = NULL;
	move(job, &pool->running, &pool->finished, JOB_FINISHED);
}

bool pool_run_job(size_t which)
{
	struct worker_pool *pool;
	struct job *job;
	size_t n = 0;

	TAILQ_FOREACH(pool, &pools, link)
		n += count(&pool->running);
	which = n ? which % n : 0;
	TAILQ_FOREACH(pool, &pools, link) {
		TAILQ_FOREACH(job, &pool->running, link) {
			if (which--)
				continue;
			pool_run(pool, job);
			return true;
		}
	}
	return false;
}

static void pool_end(struct worker_pool *pool, struct job *job)
{
	TAILQ_REMOVE(&pool->finished, job, link);
	job->state = JOB_IDLE;
	job->done(job, job->result);
}

bool pool_end_job(void)
{
	struct worker_pool *pool;
	struct job *job;

	TAILQ_FOREACH(pool, &pools, link) {
		job = TAILQ_FIRST(&pool->finished);
		if (!job)
			continue;
		pool_end(pool, job);
		return true;
	}
	return false;
}

bool pool_is_interrupted(void)
{
	return at_hand && at_hand->cancelled;
}

/*
 * worker.h
 */

int worker_pool_new(struct worker_pool **ret, sd_event *event, unsigned int n_threads)
{
	struct worker_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->n_threads = n_threads;
	TAILQ_INIT(&pool->queued);
	TAILQ_INIT(&pool->running);
	TAILQ_INIT(&pool->finished);
	TAILQ_INSERT_TAIL(&pools, pool, link);
	*ret = pool;
	return 0;
}

struct worker_pool *worker_pool_free(struct worker_pool *pool)
{
	struct job *job;

	if (!pool)
		return NULL;
	/* Those that have begun end; of the others nothing is heard. */
	while ((job = TAILQ_FIRST(&pool->running))) {
		job->cancelled = true;
		pool_run(pool, job);
	}
	TAILQ_REMOVE(&pools, pool, link);
	free(pool);
	return NULL;
}

bool worker_pool_drain(struct worker_pool *pool, uint64_t usec)
{
	struct job *job;

	for (;;) {
		while ((job = TAILQ_FIRST(&pool->queued)))
			move(job, &pool->queued, &pool->running, JOB_RUNNING);
		while ((job = TAILQ_FIRST(&pool->running)))
			pool_run(pool, job);
		job = TAILQ_FIRST(&pool->finished);
		if (!job)
			return true;
		pool_end(pool, job);
	}
}

void worker_pool_submit(struct worker_pool *pool, struct job *job)
{
	check(job->state == JOB_IDLE);
	job->state = JOB_QUEUED;
	job->cancelled = false;
	TAILQ_INSERT_TAIL(&pool->queued, job, link);
}

void worker_pool_cancel(struct worker_pool *pool, struct job *job)
{
	job->cancelled = true;
	if (job->state != JOB_QUEUED)
		return;
	move(job, &pool->queued, &pool->finished, JOB_FINISHED);
	job->result = -EINTR;
}

void worker_pool_get_load(struct worker_pool *pool, struct worker_load *load)
{
	*load = (struct worker_load){
		.threads = pool->n_threads,
		.running = count(&pool->running),
		.queued = count(&pool->queued),
	};
}

/*
 * strangers.h: nobody is behind a descriptor who could have that wait.
 */

struct strangers {
	int unused;
};

int strangers_new(struct strangers **ret, sd_event *event, bool (*wanted)(int fd, void *userdata),
		  void *userdata)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct strangers *strangers_free(struct strangers *s)
{
	free(s);
	return NULL;
}

bool strangers_have_room(const struct strangers *s)
{
	return true;
}

void strangers_close(struct strangers *s, uid_t uid, int fd)
{
	close(fd);
}

/* Nobody has a socket to receive from. */
struct stranger_job *strangers_receive(struct strangers *s, uid_t uid, int fd, size_t size,
				       strangers_received_fn received, void *userdata)
{
	return NULL;
}

void strangers_forget(struct stranger_job *job)
{
}
