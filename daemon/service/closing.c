// SPDX-License-Identifier: GPL-2.0-or-later
#include "service/closing.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "service/worker.h"

TAILQ_HEAD(backend_vm_list, backend_vm);

/**
 * struct closing - what is to be closed
 * @pool: NULL: it is freed
 * @waiting: for the next job
 * @job: closes @now; one at a time
 * @busy: it has been submitted
 */
struct closing {
	struct worker_pool *pool;
	struct backend_vm_list waiting;
	struct backend_vm_list now;
	struct job job;
	bool busy;
};

static void close_all(struct backend_vm_list *list)
{
	struct backend_vm *vm;

	while ((vm = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, vm, link);
		vm->backend->ops->close_vm(vm);
	}
}

/* In a worker's thread. */
static int closing_run(struct job *job)
{
	close_all(&container_of(job, struct closing, job)->now);
	return 0;
}

static void closing_go_on(struct closing *c)
{
	if (c->busy || !c->pool || TAILQ_EMPTY(&c->waiting))
		return;
	TAILQ_CONCAT(&c->now, &c->waiting, link);
	c->busy = true;
	worker_pool_submit(c->pool, &c->job);
}

static void closing_done(struct job *job, int r)
{
	struct closing *c = container_of(job, struct closing, job);

	c->busy = false;
	closing_go_on(c);
}

int closing_new(struct closing **ret, struct worker_pool *pool)
{
	struct closing *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->pool = pool;
	c->job.run = closing_run;
	c->job.done = closing_done;
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->now);
	*ret = c;
	return 0;
}

void closing_stop(struct closing *c)
{
	if (c)
		c->pool = NULL;
}

struct closing *closing_free(struct closing *c)
{
	if (!c)
		return NULL;
	close_all(&c->waiting);
	close_all(&c->now);
	free(c);
	return NULL;
}

void closing_add(struct closing *c, struct backend_vm *vm)
{
	if (!vm)
		return;
	TAILQ_INSERT_TAIL(&c->waiting, vm, link);
	closing_go_on(c);
}
