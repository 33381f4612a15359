// SPDX-License-Identifier: GPL-2.0-or-later
#include "course.h"

#include "base/util.h"
#include "varlink/json.h"
#include "vm.h"

static bool is_under_way(const struct vm *vm)
{
	return vm_state_get_goal(vm->migration.state) == VM_GOAL_SPLIT;
}

static void course_begin(struct course *course, const struct vm *vm, uint64_t now_usec)
{
	*course = (struct course){
		.announced = vm->migration.state != VM_STATE_ACTIVE_SEEN,
		.begun_usec = now_usec,
		.blocks_before = vm->progress.blocks_split,
		.tlbis_before = vm->progress.tlbis,
		.tlbi_nsec_before = vm->progress.tlbi_nsec,
	};
}

/* What a migration that is under way has come to. */
static void course_go_on(struct course *course, const struct vm *vm, uint64_t now_usec)
{
	uint64_t deadline = vm->migration.deadline_usec;

	course->deadline_usec = deadline == UINT64_MAX ? 0 : deadline;
	/* Before it is active, what is logged is not for it. */
	if (!course->logging_usec && vm->migration.state != VM_STATE_SCHEDULED &&
	    vm->migration.dirty_logging) {
		course->logging_usec = now_usec;
		course->blocks_left = vm_count_blocks(vm);
	}
	if (!course->split_usec && vm->progress.stage == VM_STAGE_SPLIT)
		course->split_usec = now_usec;
}

static bool course_end(struct course *course, const struct vm *vm, enum course_outcome outcome,
		       struct passage *ret)
{
	*ret = (struct passage){
		.vm = vm->table.name,
		.pid = vm->pid,
		.course = *course,
		.blocks_split = vm->progress.blocks_split - course->blocks_before,
		.tlbis = vm->progress.tlbis - course->tlbis_before,
		.tlbi_nsec = vm->progress.tlbi_nsec - course->tlbi_nsec_before,
		.outcome = outcome,
	};
	*course = (struct course){ 0 };
	return true;
}

static enum course_outcome outcome_of(enum vm_state state)
{
	switch (state) {
	case VM_STATE_COMPLETED:
		return COURSE_COMPLETED;
	case VM_STATE_FAILED:
		return COURSE_FAILED;
	default:
		return COURSE_CANCELLED;
	}
}

bool course_note(struct course *course, const struct vm *vm, uint64_t now_usec, struct passage *ret)
{
	bool ended = false;

	/* Another one has begun before anybody has said how that one ended. */
	if (course->ended_usec && is_under_way(vm))
		ended = course_end(course, vm, COURSE_CANCELLED, ret);
	if (is_under_way(vm)) {
		if (!course->begun_usec)
			course_begin(course, vm, now_usec);
		course_go_on(course, vm, now_usec);
		return ended;
	}
	if (!course->begun_usec)
		return false;
	if (!course->ended_usec)
		course->ended_usec = now_usec;
	if (vm->migration.state == VM_STATE_CANCELLED_SEEN && course->logging_usec)
		return false;
	return course_end(course, vm, outcome_of(vm->migration.state), ret);
}

bool course_leave(struct course *course, const struct vm *vm, uint64_t now_usec,
		  struct passage *ret)
{
	if (!course->begun_usec)
		return false;
	if (!course->ended_usec)
		course->ended_usec = now_usec;
	return course_end(course, vm, COURSE_GONE, ret);
}

uint64_t course_get_settling(const struct course *course)
{
	return course->ended_usec ? course->ended_usec + COURSE_SETTLE_USEC : UINT64_MAX;
}

bool course_settle(struct course *course, const struct vm *vm, uint64_t now_usec,
		   struct passage *ret)
{
	return course_get_settling(course) <= now_usec &&
	       course_end(course, vm, COURSE_CANCELLED, ret);
}

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

static int set_string(json_object *object, const char *name, const char *value)
{
	return varlink_json_set(object, name, json_object_new_string(value));
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

	r = set_string(object, "vm", passage->vm);
	r |= varlink_json_set(object, "pid", json_object_new_int64(passage->pid));
	r |= set_string(object, "outcome", course_outcome_to_string(passage->outcome));
	r |= set_string(object, "prepared",
			course_preparation_to_string(course_get_preparation(c)));
	r |= set_time(object, "begunUSec", c->begun_usec);
	r |= set_time(object, "splitUSec", c->split_usec);
	r |= set_logging(object, c);
	r |= set_time(object, "endedUSec", c->ended_usec);
	r |= set_time(object, "deadlineUSec", c->deadline_usec);
	if (met >= 0)
		r |= varlink_json_set(object, "deadlineMet", json_object_new_boolean(met));
	r |= varlink_json_set_u64(object, "blocksSplit", passage->blocks_split);
	r |= varlink_json_set_u64(object, "tlbis", passage->tlbis);
	r |= varlink_json_set_u64(object, "tlbiUSec", passage->tlbi_nsec / NSEC_PER_USEC);
	return varlink_json_finish(object, r);
}
