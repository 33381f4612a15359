// SPDX-License-Identifier: GPL-2.0-or-later
#include "strangers.h"

#include <errno.h>

#include "worker.h"

/* So many wait to be closed, at the most but for those that are on their way. */
#define STRANGERS_MAX 64

struct stranger {
	struct strangers *strangers;
	struct job job;
	int fd;
};

struct strangers {
	struct worker_pool *pool;
	unsigned int n;
};

/* In the thread. */
static int stranger_close(struct job *job)
{
	close(container_of(job, struct stranger, job)->fd);
	return 0;
}

static void stranger_closed(struct job *job, int r)
{
	struct stranger *stranger = container_of(job, struct stranger, job);

	stranger->strangers->n--;
	free(stranger);
}

int strangers_new(struct strangers **ret, sd_event *event)
{
	struct strangers *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = worker_pool_new(&s->pool, event, 1);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct strangers *strangers_free(struct strangers *s)
{
	if (!s || s->n)
		return NULL;
	worker_pool_free(s->pool);
	free(s);
	return NULL;
}

bool strangers_have_room(const struct strangers *s)
{
	return s->n < STRANGERS_MAX;
}

void strangers_close(struct strangers *s, int fd)
{
	struct stranger *stranger = calloc(1, sizeof(*stranger));

	/* Then it stays open: the event loop does not wait for it. */
	if (!stranger)
		return;
	stranger->strangers = s;
	stranger->fd = fd;
	stranger->job.run = stranger_close;
	stranger->job.done = stranger_closed;
	s->n++;
	worker_pool_submit(s->pool, &stranger->job);
}
