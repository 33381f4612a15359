// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/splitter.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "splitting/deadline.h"
#include "host/backend.h"
#include "splitting/work-eta.h"
#include "splitting/work-private.h"
#include "splitting/work.h"

/* How often shares follow the time that is left, and, where there are no deadlines, all else. */
#define DIVIDE_INTERVAL_NSEC	  (100 * NSEC_PER_MSEC)
#define DIVIDE_INTERVAL_LONG_NSEC NSEC_PER_SEC

/* Of all that share in it, so few may have changed that it is not divided anew at once. */
#define UNDIVIDED_PART 64

/* @now_usec: that deadlines are seen from. */
static struct deadline_demand work_to_demand(struct work *w, uint64_t now_usec)
{
	uint64_t deadline = w->vm->migration.deadline_usec, left = DEADLINE_NONE;

	if (deadline != UINT64_MAX)
		left = deadline > now_usec ? deadline - now_usec : 0;
	return (struct deadline_demand){
		.tokens = w->goal == VM_GOAL_SPLIT ? work_count_tlbis(w) : 0,
		.usec_left = left,
		.ceiling = work_get_limit(w),
		.uid = w->vm->host_vm ? w->vm->host_vm->uid : -1,
		.announced =
			w->goal == VM_GOAL_SPLIT && w->vm->migration.state != VM_STATE_ACTIVE_SEEN,
		.userdata = w,
	};
}

static void work_take_share(struct work *w, const struct deadline_demand *d)
{
	w->share = d->share;
	w->ahead = d->ahead;
	w->turn = d->turn;
	budget_client_set_weight(w->client, d->weight);
}

/* Room for all demands. False: there is no memory for it. */
static bool splitter_make_room(struct splitter *s)
{
	struct deadline_demand *demands;
	size_t n = s->group.n_sharing;

	if (n <= s->room)
		return true;
	demands = reallocarray(s->division.demands, 2 * n, sizeof(*demands));
	if (!demands)
		return false;
	s->division.demands = demands;
	s->room = 2 * n;
	return true;
}

/* Divides the budget among all that share in it. */
static void splitter_divide(struct splitter *s)
{
	struct deadline_division *d = &s->division;
	struct work *w;

	/* Without the memory it stays divided as it is. */
	if (!splitter_make_room(s))
		return;
	s->group.division++;
	s->divided_usec = s->ops->realtime(s->userdata);
	d->rate = budget_get_rate(s->group.budget);
	d->n = 0;
	LIST_FOREACH(w, &s->group.sharing, sharing)
		d->demands[d->n++] = work_to_demand(w, s->divided_usec);
	deadline_divide(d);
	for (size_t i = 0; i < d->n; i++) {
		w = d->demands[i].userdata;
		w->division = s->group.division;
		work_take_share(w, &d->demands[i]);
	}
}

/*
 * When enough is new, or enough time has gone by for shares to be others: so that what it takes grows
 * with the number of those that come, and not with its square. False: there is nothing to divide.
 */
static bool splitter_check_division(struct splitter *s)
{
	uint64_t now = work_group_now(&s->group), interval = DIVIDE_INTERVAL_NSEC;

	if (!s->group.undivided && !deadline_is_any(&s->division))
		interval = DIVIDE_INTERVAL_LONG_NSEC;
	if (s->group.limits.method != WORK_BREAK || isinf(budget_get_rate(s->group.budget)))
		return false;
	if (s->group.undivided * UNDIVIDED_PART <= s->division.n && now - s->divided < interval)
		return true;
	s->group.undivided = 0;
	s->divided = now;
	splitter_divide(s);
	return true;
}

/* work_group.divide() */
static void on_divide(struct work_group *group, struct work *w)
{
	struct splitter *s = container_of(group, struct splitter, group);
	struct deadline_demand demand;

	if (!splitter_check_division(s) || w->division == group->division)
		return;
	/* It has come since. */
	demand = work_to_demand(w, s->divided_usec);
	deadline_estimate(&s->division, &demand);
	work_take_share(w, &demand);
}

void splitter_pump(struct splitter *s)
{
	uint64_t now = work_group_now(&s->group), tlbis;
	struct budget_client *client;

	(void)splitter_check_division(s);
	while ((client = budget_grant(s->group.budget, now, &tlbis)))
		work_granted(budget_client_get_userdata(client), tlbis);
	s->ops->set_timer(s->userdata, min_u64(budget_next_ready(s->group.budget, now),
					       agenda_get_next(&s->group.agenda)));
}

void splitter_on_timer(struct splitter *s)
{
	uint64_t now = work_group_now(&s->group);
	struct agenda_entry *due;

	while ((due = agenda_get_due(&s->group.agenda, now)))
		work_step(container_of(due, struct work, retry));
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
	s->group.divide = on_divide;
	agenda_init(&s->group.agenda);
	TAILQ_INIT(&s->group.works);
	LIST_INIT(&s->group.sharing);
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
	free(s->division.demands);
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
