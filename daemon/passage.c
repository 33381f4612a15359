// SPDX-License-Identifier: GPL-2.0-or-later
#include "passage.h"

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
	return varlink_json_finish(object, r);
}
