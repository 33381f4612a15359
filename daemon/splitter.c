// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitter.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "deadline.h"
#include "host/backend.h"

/* How often shares follow the time that is left. */
#define DIVIDE_INTERVAL_NSEC (100 * NSEC_PER_MSEC)

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

	TAILQ_FOREACH(w, &s->group.works, link)
		n++;
	/* Without the memory it stays divided as it is. */
	demands = calloc(n + 1, sizeof(*demands));
	if (!demands)
		return;
	n = 0;
	TAILQ_FOREACH(w, &s->group.works, link) {
		w->ahead = 0;
		budget_client_set_weight(w->client, BUDGET_WEIGHT_DEFAULT);
		if (w->goal == VM_GOAL_SPLIT && w->vm->progress.stage == VM_STAGE_SPLITTING)
			demands[n++] = work_to_demand(w, now_usec);
	}
	deadline_divide(demands, n, budget_get_rate(s->group.budget));
	for (size_t i = 0; i < n; i++) {
		w = demands[i].userdata;
		w->ahead = demands[i].ahead;
		budget_client_set_weight(w->client, demands[i].weight);
	}
}

/* When there is something new, or enough time has gone by for shares to be others. */
static void splitter_check_division(struct work_group *group)
{
	struct splitter *s = container_of(group, struct splitter, group);
	uint64_t now = work_group_now(group);

	if (!group->limits.throttled || isinf(budget_get_rate(group->budget)))
		return;
	if (!group->undivided && now - s->divided < DIVIDE_INTERVAL_NSEC)
		return;
	group->undivided = false;
	s->divided = now;
	splitter_divide(s);
}

void splitter_pump(struct splitter *s)
{
	uint64_t now = work_group_now(&s->group), next, tlbis;
	struct budget_client *client;
	struct work *w;

	splitter_check_division(&s->group);
	while ((client = budget_grant(s->group.budget, now, &tlbis)))
		work_granted(budget_client_get_userdata(client), tlbis);

	next = budget_next_ready(s->group.budget, now);
	TAILQ_FOREACH(w, &s->group.works, link)
		if (work_get_retry(w))
			next = min_u64(next, work_get_retry(w));
	s->ops->set_timer(s->userdata, next);
}

void splitter_on_timer(struct splitter *s)
{
	uint64_t now = work_group_now(&s->group);
	struct work *w;

	TAILQ_FOREACH(w, &s->group.works, link)
		if (work_get_retry(w) && work_get_retry(w) <= now)
			work_step(w);
	splitter_pump(s);
}

int splitter_new(struct splitter **ret, const struct splitter_ops *ops, void *userdata,
		 const struct work_limits *limits)
{
	struct splitter *s;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->userdata = userdata;
	s->group.ops = &ops->work;
	s->group.userdata = userdata;
	s->group.limits = *limits;
	s->group.divide = splitter_check_division;
	TAILQ_INIT(&s->group.works);
	r = budget_new(&s->group.budget, &limits->host, work_group_now(&s->group));
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
	assert(TAILQ_EMPTY(&s->group.works));
	budget_free(s->group.budget);
	free(s);
	return NULL;
}

void splitter_set_limits(struct splitter *s, const struct work_limits *limits)
{
	struct work *w;

	s->group.limits = *limits;
	budget_set_limits(s->group.budget, &limits->host, work_group_now(&s->group));
	TAILQ_FOREACH(w, &s->group.works, link) {
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
	budget_get_load(s->group.budget, &load->budget);
	TAILQ_FOREACH(w, &s->group.works, link)
		load->retrying += w->step == STEP_NONE && w->not_before != 0;
}
