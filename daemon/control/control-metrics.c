// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-metrics.h"

#include <stdio.h>

#include "store/history.h"
#include "base/latency.h"
#include "varlink/json.h"

static json_object *bucket_to_json(uint64_t limit_usec, uint64_t count)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "leUSec", limit_usec);
	r |= varlink_json_set_u64(object, "count", count);
	return varlink_json_finish(object, r);
}

static json_object *buckets_to_json(const struct latency *latency)
{
	json_object *array = json_object_new_array();
	uint64_t count = 0;
	int r = 0;

	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		count += latency->counts[i];
		r |= varlink_json_append(array, bucket_to_json(latency_limit_usec(i), count));
	}
	return varlink_json_finish(array, r);
}

static json_object *call_to_json(const struct work_stats *stats, enum step step)
{
	const struct latency *latency = &stats->latency[step];
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_string(object, "operation", step_to_string(step));
	r |= varlink_json_set_u64(object, "count", latency->count);
	r |= varlink_json_set_u64(object, "failed", stats->failed[step]);
	r |= varlink_json_set_u64(object, "sumUSec", latency->sum_nsec / NSEC_PER_USEC);
	r |= varlink_json_set(object, "buckets", buckets_to_json(latency));
	return varlink_json_finish(object, r);
}

static json_object *calls_to_json(const struct work_stats *stats)
{
	static const enum step steps[] = {
		STEP_HOLD, STEP_RELEASE, STEP_SURVEY, STEP_SPLIT, STEP_RECOVER,
	};
	json_object *array = json_object_new_array();
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		r |= varlink_json_append(array, call_to_json(stats, steps[i]));
	return varlink_json_finish(array, r);
}

/* An object of a name and its count. */
static json_object *count_to_json(const char *what, const char *name, uint64_t count)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_string(object, what, name);
	r |= varlink_json_set_u64(object, "count", count);
	return varlink_json_finish(object, r);
}

static json_object *tlbis_to_json(const struct work_stats *stats)
{
	static const char *const kinds[TLBI_KIND_MAX_] = {
		[TLBI_SPLIT] = "split",
		[TLBI_FLUSH] = "flush",
		[TLBI_RECOVER] = "recover",
	};
	json_object *array = json_object_new_array();
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		r |= varlink_json_append(array, count_to_json("kind", kinds[i], stats->tlbis[i]));
	return varlink_json_finish(array, r);
}

static json_object *ended_to_json(const struct history_stats *stats,
				  enum course_preparation preparation, enum course_outcome outcome)
{
	const char *prepared = course_preparation_to_string(preparation);
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_string(object, "prepared", prepared);
	r |= varlink_json_set_string(object, "outcome", course_outcome_to_string(outcome));
	r |= varlink_json_set_u64(object, "count", stats->ended[preparation][outcome]);
	return varlink_json_finish(object, r);
}

static json_object *migrations_to_json(const struct history_stats *stats)
{
	json_object *array = json_object_new_array();
	int r = 0;

	for (int p = 0; p < COURSE_PREPARATION_MAX_; p++)
		for (int o = 0; o < COURSE_OUTCOME_MAX_; o++)
			r |= varlink_json_append(array,
						 ended_to_json(stats, (enum course_preparation)p,
							       (enum course_outcome)o));
	return varlink_json_finish(array, r);
}

static json_object *holds_to_json(const struct latency *holds)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "count", holds->count);
	r |= varlink_json_set_u64(object, "sumUSec", holds->sum_nsec / NSEC_PER_USEC);
	r |= varlink_json_set(object, "buckets", buckets_to_json(holds));
	return varlink_json_finish(object, r);
}

static json_object *stall_to_json(const struct history_stats *stats,
				  enum course_preparation preparation)
{
	const struct latency *latency = &stats->stalls[preparation];
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_string(object, "prepared", course_preparation_to_string(preparation));
	r |= varlink_json_set_u64(object, "count", latency->count);
	r |= varlink_json_set_u64(object, "sumUSec", latency->sum_nsec / NSEC_PER_USEC);
	r |= varlink_json_set(object, "buckets", buckets_to_json(latency));
	return varlink_json_finish(object, r);
}

static json_object *stalls_to_json(const struct history_stats *stats)
{
	json_object *array = json_object_new_array();
	int r = 0;

	/* Of what was never begun there is none. */
	for (int p = 0; p < COURSE_UNUSED; p++)
		r |= varlink_json_append(array, stall_to_json(stats, (enum course_preparation)p));
	return varlink_json_finish(array, r);
}

static json_object *lead_to_json(const struct history_stats *stats)
{
	json_object *object = json_object_new_object(), *array = json_object_new_array();
	uint64_t count = 0;
	int r = 0;

	for (size_t i = 0; i < HISTORY_LEADS; i++) {
		count += stats->leads[i];
		r |= varlink_json_append(array, bucket_to_json(history_lead_limit_usec(i), count));
	}
	r |= varlink_json_set_u64(object, "count", count + stats->leads[HISTORY_LEADS]);
	r |= varlink_json_set_u64(object, "sumUSec", stats->lead_usec);
	r |= varlink_json_set(object, "buckets", array);
	return varlink_json_finish(object, r);
}

static json_object *queue_to_json(const struct manager_metrics *metrics)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "threads", metrics->workers.threads);
	r |= varlink_json_set_u64(object, "running", metrics->workers.running);
	r |= varlink_json_set_u64(object, "queued", metrics->workers.queued);
	r |= varlink_json_set_u64(object, "tlbisGranted", metrics->load.budget.granted);
	r |= varlink_json_set_u64(object, "vmsWaiting", metrics->load.budget.waiting);
	r |= varlink_json_set_u64(object, "vmsRetrying", metrics->load.retrying);
	return varlink_json_finish(object, r);
}

static json_object *connections_to_json(const struct varlink_server *server)
{
	const struct varlink_server_stats *stats = varlink_server_stats(server);
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "current", varlink_server_n_connections(server));
	r |= varlink_json_set_u64(object, "accepted", stats->accepted);
	r |= varlink_json_set_u64(object, "refused", stats->refused);
	r |= varlink_json_set_u64(object, "dropped", stats->dropped);
	return varlink_json_finish(object, r);
}

static json_object *method_to_json(const struct varlink_method_stats *stats)
{
	json_object *object = json_object_new_object();
	char name[128];
	int r;

	snprintf(name, sizeof(name), "%s.%s", stats->interface->name, stats->method->name);
	r = varlink_json_set_string(object, "method", name);
	r |= varlink_json_set_u64(object, "calls", stats->calls);
	r |= varlink_json_set_u64(object, "errors", stats->errors);
	return varlink_json_finish(object, r);
}

static json_object *methods_to_json(const struct varlink_server_stats *stats)
{
	json_object *array = json_object_new_array();
	int r = 0;

	for (size_t i = 0; i < stats->n_methods; i++)
		r |= varlink_json_append(array, method_to_json(&stats->methods[i]));
	return varlink_json_finish(array, r);
}

static json_object *refusals_to_json(const struct varlink_server_stats *stats)
{
	json_object *array = json_object_new_array();
	int r = 0;

	for (size_t i = 0; i < stats->n_errors; i++)
		r |= varlink_json_append(array, count_to_json("error", stats->errors[i].error,
							      stats->errors[i].count));
	return varlink_json_finish(array, r);
}

json_object *control_metrics_to_json(const struct manager_metrics *metrics,
				     const struct varlink_server *server)
{
	const struct varlink_server_stats *stats = varlink_server_stats(server);
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "startedUSec", metrics->started_usec);
	r |= varlink_json_set_u64(object, "vms", metrics->vms);
	r |= varlink_json_set_u64(object, "vmsRegistered", metrics->vms_registered);
	r |= varlink_json_set_u64(object, "vmsNotKept", metrics->vms_unsaved);
	r |= varlink_json_set_u64(object, "blocksSplit", metrics->splitter->blocks_split);
	r |= varlink_json_set_u64(object, "blocksRecovered", metrics->splitter->blocks_recovered);
	r |= varlink_json_set(object, "tlbis", tlbis_to_json(metrics->splitter));
	r |= varlink_json_set(object, "calls", calls_to_json(metrics->splitter));
	r |= varlink_json_set(object, "holds", holds_to_json(&metrics->splitter->holds));
	r |= varlink_json_set(object, "migrations", migrations_to_json(metrics->history));
	r |= varlink_json_set_u64(object, "deadlinesMissed", metrics->history->deadlines_missed);
	r |= varlink_json_set(object, "lead", lead_to_json(metrics->history));
	r |= varlink_json_set(object, "stalls", stalls_to_json(metrics->history));
	r |= varlink_json_set(object, "queue", queue_to_json(metrics));
	r |= varlink_json_set(object, "connections", connections_to_json(server));
	r |= varlink_json_set(object, "methods", methods_to_json(stats));
	r |= varlink_json_set(object, "refusals", refusals_to_json(stats));
	r |= varlink_json_set_u64(object, "reloads", metrics->reloads);
	r |= varlink_json_set_u64(object, "reloadsFailed", metrics->reloads_failed);
	return varlink_json_finish(object, r);
}
