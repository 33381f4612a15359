/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fixed pool of threads for calls that block. The end of a job comes back
 * to the event loop. A job is part of its owner's object, so submitting needs
 * no memory and the queue is as long as there are owners at the most. Jobs of
 * different keys take turns, however many there are of one.
 */
#ifndef EAGERSPLITD_WORKER_H
#define EAGERSPLITD_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <systemd/sd-event.h>

#include "base/heap.h"
#include "base/util.h"

struct worker_pool;

/* What the pool does, now. */
struct worker_load {
	unsigned int threads;
	size_t running;
	size_t queued;
};

enum job_state {
	JOB_IDLE,
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_FINISHED,
};

/**
 * struct job - something to be done in a thread
 * @run: does it; interrupted by a signal, it returns early with -EINTR
 * @done: told of run's result in the event loop; may submit or free the job
 * @key: those of one key begin in the order in which they were submitted; stays what it is while
 *	 the job is queued. Two keys may be taken for one, where there are many
 *
 * The rest belongs to the pool.
 */
struct job {
	int (*run)(struct job *job);
	void (*done)(struct job *job, int result);
	uint64_t key;

	uint64_t turn;
	uint64_t order;
	struct heap_node node;
	enum job_state state;
	bool cancelled;
	int result;
	pthread_t thread;
	TAILQ_ENTRY(job) link;
};

/*
 * Starts @n_threads threads whose jobs' ends are dispatched on @event. Takes
 * SIGUSR1 for the process: it is what interrupts a job. 0 or a negative errno.
 */
int worker_pool_new(struct worker_pool **ret, sd_event *event, unsigned int n_threads);

/*
 * Interrupts all jobs, waits for them and ends the threads; done() is not
 * called any more. Returns NULL.
 */
struct worker_pool *worker_pool_free(struct worker_pool *pool);
DEFINE_CLEANUP(struct worker_pool *, worker_pool_free);

/*
 * Waits for all jobs, and those that are submitted meanwhile, for @usec in all; their ends are
 * dispatched from here. Whether none is left.
 */
bool worker_pool_drain(struct worker_pool *pool, uint64_t usec);

/* Queues @job, which is idle. */
void worker_pool_submit(struct worker_pool *pool, struct job *job);

/*
 * Has @job end soon, if it is queued (then with -EINTR, not run) or running
 * (then with whatever it returns after a signal); done() is called as ever.
 */
void worker_pool_cancel(struct worker_pool *pool, struct job *job);

/* Fills @load. */
void worker_pool_get_load(struct worker_pool *pool, struct worker_load *load);

#endif /* EAGERSPLITD_WORKER_H */
