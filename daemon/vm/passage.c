// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/passage.h"

#include "base/util.h"
#include "varlink/json.h"

enum course_preparation course_get_preparation(const struct course *course)
{
	if (!course->logging_usec)
		return COURSE_UNUSED;
	if (!course->announced)
		return COURSE_FOUND;
	return course->blocks_left ? COURSE_PARTLY : COURSE_AHEAD;
}

int course_met_deadline(const struct course *course)
{
	if (!course->deadline_usec)
		return -1;
	if (course->split_usec)
		return course->split_usec <= course->deadline_usec;
	return course->ended_usec > course->deadline_usec ? 0 : -1;
}

/* Counters of the host do not fall, but a VM's may be another's by then. */
static uint64_t get_growth(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

uint64_t course_get_stall(const struct course *course)
{
	return get_growth(course->stall_logging.nsec, course->stall_ended.nsec);
}

const char *course_outcome_to_string(enum course_outcome outcome)
{
	static const char *const names[COURSE_OUTCOME_MAX_] = {
		[COURSE_COMPLETED] = "completed",
		[COURSE_CANCELLED] = "cancelled",
		[COURSE_FAILED] = "failed",
		[COURSE_GONE] = "gone",
	};

	return names[outcome];
}

const char *course_preparation_to_string(enum course_preparation preparation)
{
	static const char *const names[COURSE_PREPARATION_MAX_] = {
		[COURSE_AHEAD] = "ahead",
		[COURSE_PARTLY] = "partly",
		[COURSE_FOUND] = "found",
		[COURSE_UNUSED] = "unused",
	};

	return names[preparation];
}

/* Where it is not 0. */
static int set_time(json_object *object, const char *name, uint64_t usec)
{
	return usec ? varlink_json_set_u64(object, name, usec) : 0;
}

/* What there is only if dirty logging has begun. */
static int set_logging(json_object *object, const struct course *c)
{
	int r;

	if (!c->logging_usec)
		return 0;
	r = set_time(object, "loggingUSec", c->logging_usec);
	/* Clocks may be set back. */
	if (c->announced)
		r |= varlink_json_set_u64(object, "leadUSec",
					  c->logging_usec -
						  min_u64(c->begun_usec, c->logging_usec));
	r |= varlink_json_set_u64(object, "blocksLeft", c->blocks_left);
	return r;
}

static json_object *stall_to_json(const struct course_stall *from, const struct course_stall *to)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set_u64(object, "count", get_growth(from->count, to->count));
	r |= varlink_json_set_u64(object, "sumUSec",
				  get_growth(from->nsec, to->nsec) / NSEC_PER_USEC);
	return varlink_json_finish(object, r);
}

/* Before it was announced, or noticed; from then on; and from when dirty logging began on. */
static int set_stalls(json_object *object, const struct passage *passage)
{
	static const struct course_stall none;
	const struct course *c = &passage->course;
	const struct course_stall *logging = c->logging_usec ? &c->stall_logging : &c->stall_ended;
	int r;

	r = varlink_json_set(object, "stallBefore", stall_to_json(&none, &c->stall_begun));
	r |= varlink_json_set(object, "stallPreparing", stall_to_json(&c->stall_begun, logging));
	if (c->logging_usec)
		r |= varlink_json_set(object, "stallMigrating",
				      stall_to_json(logging, &c->stall_ended));
	r |= varlink_json_set_u64(object, "stallMaxUSec", passage->stall_max_nsec / NSEC_PER_USEC);
	return r;
}

json_object *passage_to_json(const struct passage *passage)
{
	const struct course *c = &passage->course;
	json_object *object = json_object_new_object();
	int met = course_met_deadline(c), r;

	r = varlink_json_set_string(object, "vm", passage->vm);
	r |= varlink_json_set(object, "pid", json_object_new_int64(passage->pid));
	r |= varlink_json_set_string(object, "outcome", course_outcome_to_string(passage->outcome));
	r |= varlink_json_set_string(object, "prepared",
				     course_preparation_to_string(course_get_preparation(c)));
	r |= set_time(object, "begunUSec", c->begun_usec);
	r |= set_time(object, "splitUSec", c->split_usec);
	r |= set_logging(object, c);
	r |= set_time(object, "endedUSec", c->ended_usec);
	r |= set_time(object, "deadlineUSec", c->deadline_usec);
	if (met >= 0)
		r |= varlink_json_set_bool(object, "deadlineMet", met);
	r |= varlink_json_set_u64(object, "blocksSplit", passage->blocks_split);
	r |= varlink_json_set_u64(object, "tlbis", passage->tlbis);
	r |= varlink_json_set_u64(object, "tlbiUSec", passage->tlbi_nsec / NSEC_PER_USEC);
	r |= set_stalls(object, passage);
	if (passage->sharer >= 0)
		r |= varlink_json_set_u64(object, "sharer", (uint64_t)passage->sharer);
	return varlink_json_finish(object, r);
}
