// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitter.h"

#include <assert.h>
#include <errno.h>

#include "backend.h"

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

void splitter_get_load(const struct splitter *s, struct splitter_load *load)
{
	const struct work *w;

	*load = (struct splitter_load){};
	budget_get_load(s->budget, &load->budget);
	TAILQ_FOREACH(w, &s->works, link)
	load->retrying += work_get_retry(w) != 0;
}

void splitter_count_call(struct splitter *s, enum step step, uint64_t nsec, int r)
{
	/* Cancelled before its turn came: it was none. */
	if (nsec == UINT64_MAX)
		return;
	latency_add(&s->stats.latency[step], nsec);
	s->stats.failed[step] += r < 0 && r != -EINTR;
}

void splitter_count_tlbis(struct splitter *s, enum step step, const struct split_call *call)
{
	struct splitter_stats *stats = &s->stats;

	if (step == STEP_RECOVER) {
		stats->tlbis[TLBI_RECOVER] += call->tlbis;
		stats->blocks_recovered += call->blocks;
	} else {
		stats->tlbis[call->flags & BACKEND_BREAK ? TLBI_SPLIT : TLBI_FLUSH] += call->tlbis;
		stats->blocks_split += call->blocks;
	}
}
