// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/namer.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/transient.h"
#include "host/backend.h"
#include "host/qemu-name.h"
#include "service/worker.h"

/* As many as there may be VMs. */
#define QUESTIONS_MAX 4096

/* After how long one is asked again that could not be answered. */
#define AGAIN_USEC (5 * USEC_PER_SEC)

/**
 * struct question - a process whose name is wanted
 */
struct question {
	pid_t pid;
	TAILQ_ENTRY(question) link;
};

TAILQ_HEAD(question_list, question);

/**
 * struct namer - questions, the first of which is being asked
 * @later: those that could not be answered, until @timer elapses
 * @n: of both kinds
 * @asking: by @job
 * @names: what came of it
 */
struct namer {
	struct backend *backend;
	struct worker_pool *pool;
	namer_found_fn found;
	void *userdata;
	struct question_list questions;
	struct question_list later;
	sd_event_source *timer;
	size_t n;
	struct job job;
	bool asking;
	struct guest_names names;
};

/* In a worker's thread, which looks at nothing but the first question: that stays. */
static int namer_run(struct job *job)
{
	struct namer *n = container_of(job, struct namer, job);

	return n->backend->ops->guest_names(n->backend, TAILQ_FIRST(&n->questions)->pid, &n->names);
}

static void namer_go_on(struct namer *n)
{
	n->asking = !TAILQ_EMPTY(&n->questions);
	if (n->asking)
		worker_pool_submit(n->pool, &n->job);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct namer *n = userdata;

	TAILQ_CONCAT(&n->questions, &n->later, link);
	if (!n->asking)
		namer_go_on(n);
	return 0;
}

static void namer_put_off(struct namer *n, struct question *question)
{
	if (TAILQ_EMPTY(&n->later)) {
		/* Neither can fail but in a forked child. */
		(void)sd_event_source_set_time_relative(n->timer, AGAIN_USEC);
		(void)sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
	}
	TAILQ_INSERT_TAIL(&n->later, question, link);
}

static void namer_done(struct job *job, int r)
{
	struct namer *n = container_of(job, struct namer, job);
	struct question *question = TAILQ_FIRST(&n->questions);
	pid_t pid = question->pid;

	TAILQ_REMOVE(&n->questions, question, link);
	if (error_is_transient(r)) {
		namer_put_off(n, question);
	} else {
		n->n--;
		free(question);
		n->found(n->userdata, pid, r == 0 ? &n->names : NULL);
	}
	namer_go_on(n);
}

int namer_new(struct namer **ret, sd_event *event, struct backend *backend,
	      struct worker_pool *pool, namer_found_fn found, void *userdata)
{
	_cleanup_(namer_freep) struct namer *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	*n = (struct namer){
		.backend = backend,
		.pool = pool,
		.found = found,
		.userdata = userdata,
		.job = { .run = namer_run, .done = namer_done },
	};
	TAILQ_INIT(&n->questions);
	TAILQ_INIT(&n->later);
	r = sd_event_add_time_relative(event, &n->timer, CLOCK_MONOTONIC, 0, 0, on_timer, n);
	if (r >= 0)
		r = sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(n);
	return 0;
}

struct namer *namer_free(struct namer *n)
{
	struct question *question;

	if (!n)
		return NULL;
	sd_event_source_disable_unref(n->timer);
	TAILQ_CONCAT(&n->questions, &n->later, link);
	while ((question = TAILQ_FIRST(&n->questions))) {
		TAILQ_REMOVE(&n->questions, question, link);
		free(question);
	}
	free(n);
	return NULL;
}

int namer_ask(struct namer *n, pid_t pid)
{
	struct question *question;

	if (n->n == QUESTIONS_MAX)
		return -ENOBUFS;
	question = malloc(sizeof(*question));
	if (!question)
		return -ENOMEM;
	question->pid = pid;
	TAILQ_INSERT_TAIL(&n->questions, question, link);
	n->n++;
	if (!n->asking)
		namer_go_on(n);
	return 0;
}
