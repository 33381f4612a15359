// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitter.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "deadline.h"
#include "host/backend.h"

/* How often shares follow the time that is left. */
#define DIVIDE_INTERVAL_NSEC (100 * NSEC_PER_MSEC)

uint64_t splitter_now(const struct splitter *s)
{
	return s->ops->now(s->userdata);
}

static struct deadline_demand work_to_demand(struct work *w, uint64_t now_usec)
{
	uint64_t deadline = w->vm->migration.deadline_usec, left = DEADLINE_NONE;

	if (deadline != UINT64_MAX)
		left = deadline > now_usec ? deadline - now_usec : 0;
	return (struct deadline_demand){
		.tokens = work_count_tlbis(w),
		.usec_left = left,
		.ceiling = work_get_limit(w),
		.userdata = w,
	};
}

/* Divides the budget among all that are being split, by their deadlines. */
static void splitter_divide(struct splitter *s)
{
	uint64_t now_usec = s->ops->realtime(s->userdata);
	_cleanup_free_ struct deadline_demand *demands = NULL;
	size_t n = 0;
	struct work *w;

	TAILQ_FOREACH(w, &s->works, link)
		n++;
	/* Without the memory it stays divided as it is. */
	demands = calloc(n + 1, sizeof(*demands));
	if (!demands)
		return;
	n = 0;
	TAILQ_FOREACH(w, &s->works, link) {
		w->ahead = 0;
		budget_client_set_weight(w->client, BUDGET_WEIGHT_DEFAULT);
		if (w->goal == VM_GOAL_SPLIT && w->vm->progress.stage == VM_STAGE_SPLITTING)
			demands[n++] = work_to_demand(w, now_usec);
	}
	deadline_divide(demands, n, budget_get_rate(s->budget));
	for (size_t i = 0; i < n; i++) {
		w = demands[i].userdata;
		w->ahead = demands[i].ahead;
		budget_client_set_weight(w->client, demands[i].weight);
	}
}

/* When there is something new, or enough time has gone by for shares to be others. */
static void splitter_check_division(struct splitter *s, uint64_t now)
{
	if (!s->limits.throttled || isinf(budget_get_rate(s->budget)))
		return;
	if (!s->undivided && now - s->divided < DIVIDE_INTERVAL_NSEC)
		return;
	s->undivided = false;
	s->divided = now;
	splitter_divide(s);
}

void splitter_pump(struct splitter *s)
{
	uint64_t now = splitter_now(s), next, tlbis;
	struct budget_client *client;
	struct work *w;

	splitter_check_division(s, now);
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
	r = budget_new(&s->budget, &limits->host, splitter_now(s));
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
	budget_set_limits(s->budget, &limits->host, splitter_now(s));
	TAILQ_FOREACH(w, &s->works, link) {
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
		load->retrying += w->step == STEP_NONE && w->not_before != 0;
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

	stats->tlbi_nsec += call->tlbi_nsec;
	if (step == STEP_RECOVER) {
		stats->tlbis[TLBI_RECOVER] += call->tlbis;
		stats->blocks_recovered += call->blocks;
	} else {
		stats->tlbis[call->flags & BACKEND_BREAK ? TLBI_SPLIT : TLBI_FLUSH] += call->tlbis;
		stats->blocks_split += call->blocks;
	}
}
