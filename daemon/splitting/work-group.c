// SPDX-License-Identifier: GPL-2.0-or-later
#include "splitting/work-group.h"

#include <errno.h>

uint64_t work_group_now(const struct work_group *group)
{
	return group->ops->now(group->userdata);
}

void work_group_pump(struct work_group *group)
{
	group->ops->pump(group->userdata);
}

void work_group_count_call(struct work_group *group, enum step step, uint64_t nsec, int r)
{
	/* Cancelled before its turn came: it was none. */
	if (nsec == UINT64_MAX)
		return;
	latency_add(&group->stats.latency[step], nsec);
	group->stats.failed[step] += r < 0 && r != -EINTR;
}

void work_group_count_tlbis(struct work_group *group, enum step step, const struct split_call *call)
{
	struct work_stats *stats = &group->stats;

	stats->tlbi_nsec += call->tlbi_nsec;
	stats->pauses += call->pauses;
	if (call->blocks)
		latency_add(&stats->holds, call->hold_max_nsec);
	if (step == STEP_RECOVER) {
		stats->tlbis[TLBI_RECOVER] += call->tlbis;
		stats->blocks_recovered += call->blocks;
	} else {
		stats->tlbis[call->flags & RUN_BREAK ? TLBI_SPLIT : TLBI_FLUSH] += call->tlbis;
		stats->blocks_split += call->blocks;
	}
}

static const struct {
	const char *name;
	const char *text;
} methods[] = {
	[WORK_BREAK] = { "break", "by break-before-make" },
	[WORK_NO_BREAK] = { "bbm", "without break-before-make" },
	[WORK_PAUSE] = { "pause", "by pauses" },
};

const char *work_method_to_string(enum work_method method)
{
	return methods[method].name;
}

const char *work_method_describe(enum work_method method)
{
	return methods[method].text;
}

const char *step_to_string(enum step step)
{
	switch (step) {
	case STEP_HOLD:
		return "hold";
	case STEP_RELEASE:
		return "release";
	case STEP_SURVEY:
		return "survey";
	case STEP_RECOVER:
		return "recover";
	default:
		return "split";
	}
}
