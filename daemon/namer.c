// SPDX-License-Identifier: GPL-2.0-or-later
#include "namer.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "host/backend.h"
#include "host/qemu-name.h"
#include "worker.h"

/* As many as there may be VMs. */
#define QUESTIONS_MAX 4096

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
 * @asking: by @job
 * @names: what came of it
 */
struct namer {
	struct backend *backend;
	struct worker_pool *pool;
	namer_found_fn found;
	void *userdata;
	struct question_list questions;
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
	n->asking = n->n > 0;
	if (n->asking)
		worker_pool_submit(n->pool, &n->job);
}

static void namer_done(struct job *job, int r)
{
	struct namer *n = container_of(job, struct namer, job);
	struct question *question = TAILQ_FIRST(&n->questions);
	pid_t pid = question->pid;

	TAILQ_REMOVE(&n->questions, question, link);
	n->n--;
	free(question);
	n->found(n->userdata, pid, r == 0 ? &n->names : NULL);
	namer_go_on(n);
}

int namer_new(struct namer **ret, struct backend *backend, struct worker_pool *pool,
	      namer_found_fn found, void *userdata)
{
	struct namer *n = calloc(1, sizeof(*n));

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
	*ret = n;
	return 0;
}

struct namer *namer_free(struct namer *n)
{
	struct question *question;

	if (!n)
		return NULL;
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
