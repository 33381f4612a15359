// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitter.h"

#include <assert.h>
#include <errno.h>

#include "budget.h"
#include "work.h"

uint64_t splitter_now(const struct splitter *s)
{
	return s->ops->now(s->userdata);
}

void splitter_pump(struct splitter *s)
{
	uint64_t now = splitter_now(s), next, tlbis;
	struct budget_client *client;
	struct work *w;

	while ((client = budget_grant(s->budget, now, &tlbis)))
		work_granted(budget_client_get_userdata(client), tlbis);

	next = budget_next_ready(s->budget, now);
	TAILQ_FOREACH(w, &s->works, link)
	if (work_get_retry(w))
		next = min_u64(next, work_get_retry(w));
	s->ops->set_timer(s->userdata, next);
}

void splitter_on_timer(struct splitter *s)
{
	uint64_t now = splitter_now(s);
	struct work *w;

	TAILQ_FOREACH(w, &s->works, link)
	if (work_get_retry(w) && work_get_retry(w) <= now)
		work_step(w);
	splitter_pump(s);
}

int splitter_new(struct splitter **ret, const struct splitter_ops *ops, void *userdata,
		 const struct splitter_limits *limits)
{
	struct splitter *s;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->userdata = userdata;
	s->limits = *limits;
	TAILQ_INIT(&s->works);
	r = budget_new(&s->budget, limits->rate, limits->burst, splitter_now(s));
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct splitter *splitter_free(struct splitter *s)
{
	if (!s)
		return NULL;
	assert(TAILQ_EMPTY(&s->works));
	budget_free(s->budget);
	free(s);
	return NULL;
}

void splitter_set_limits(struct splitter *s, const struct splitter_limits *limits)
{
	struct work *w;

	s->limits = *limits;
	budget_set_limits(s->budget, limits->rate, limits->burst, splitter_now(s));
	TAILQ_FOREACH(w, &s->works, link)
	{
		work_update_ceiling(w);
		/* One that waits for budget may need none now, or the other way round. */
		work_step(w);
	}
	splitter_pump(s);
}
