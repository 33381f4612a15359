// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/course.h"

#include "vm/vm.h"

static bool is_under_way(const struct vm *vm)
{
	return vm_state_get_goal(vm->migration.state) == VM_GOAL_SPLIT;
}

/* By the last survey: one is made when dirty logging begins, and when it ends. */
static struct course_stall get_stall(const struct vm *vm)
{
	const struct vm_counters *counters = &vm->progress.survey.counters;

	return (struct course_stall){ .count = counters->stalls, .nsec = counters->stall_nsec };
}

static void course_begin(struct course *course, const struct vm *vm, uint64_t now_usec)
{
	*course = (struct course){
		.announced = vm->migration.state != VM_STATE_ACTIVE_SEEN,
		.begun_usec = now_usec,
		.blocks_before = vm->progress.blocks_split,
		.tlbis_before = vm->progress.tlbis,
		.tlbi_nsec_before = vm->progress.tlbi_nsec,
		.stall_begun = get_stall(vm),
	};
}

/* What a migration that is under way has come to. */
static void course_go_on(struct course *course, const struct vm *vm, uint64_t now_usec)
{
	bool logging = vm->migration.state != VM_STATE_SCHEDULED && vm->migration.dirty_logging;
	uint64_t deadline = vm->migration.deadline_usec;

	course->deadline_usec = deadline == UINT64_MAX ? 0 : deadline;
	/* Before it is active, what is logged is not for it; nor what it was, if it begins anew. */
	if (logging && (!course->logging_usec || course->logging_paused)) {
		course->logging_usec = now_usec;
		course->blocks_left = vm_count_blocks(vm);
		course->stall_logging = get_stall(vm);
	}
	course->logging_paused = course->logging_usec && !logging;
	if (!course->split_usec && vm->progress.stage == VM_STAGE_SPLIT)
		course->split_usec = now_usec;
}

/* Once, as it may be told later how. */
static void course_stop(struct course *course, const struct vm *vm, struct course_time now)
{
	if (course->ended_usec)
		return;
	course->ended_usec = now.realtime_usec;
	course->ended_boottime_usec = now.boottime_usec;
	course->stall_ended = get_stall(vm);
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
		.stall_max_nsec = vm->progress.survey.counters.stall_max_nsec,
		.outcome = outcome,
		.sharer = -1,
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

bool course_note(struct course *course, const struct vm *vm, struct course_time now,
		 struct passage *ret)
{
	bool ended = false;

	/* Of one that is gone there is nothing new but how it ended. */
	if (vm->table.gone && is_under_way(vm))
		return false;
	/* Another one has begun before anybody has said how that one ended. */
	if (course->ended_usec && is_under_way(vm))
		ended = course_end(course, vm, COURSE_CANCELLED, ret);
	if (is_under_way(vm)) {
		if (!course->begun_usec)
			course_begin(course, vm, now.realtime_usec);
		course_go_on(course, vm, now.realtime_usec);
		return ended;
	}
	if (!course->begun_usec)
		return false;
	course_stop(course, vm, now);
	if (vm->migration.state == VM_STATE_CANCELLED_SEEN && course->logging_usec)
		return false;
	return course_end(course, vm, outcome_of(vm->migration.state), ret);
}

bool course_leave(struct course *course, const struct vm *vm, struct course_time now,
		  struct passage *ret)
{
	if (!course->begun_usec)
		return false;
	course_stop(course, vm, now);
	if (course->announced && vm->table.gone)
		return false;
	return course_end(course, vm, COURSE_GONE, ret);
}

void course_resume(struct course *course, uint64_t boottime_usec)
{
	/* What is not there, as of an older daemon, or yet to come is no moment of this boot. */
	if (!course->ended_boottime_usec || course->ended_boottime_usec > boottime_usec)
		course->ended_boottime_usec = course->ended_usec ? boottime_usec : 0;
}

uint64_t course_get_settling(const struct course *course)
{
	return course->ended_usec ? course->ended_boottime_usec + COURSE_SETTLE_USEC : UINT64_MAX;
}

bool course_settle(struct course *course, const struct vm *vm, uint64_t boottime_usec,
		   struct passage *ret)
{
	return course->ended_usec && course_get_settling(course) <= boottime_usec &&
	       course_end(course, vm, vm->table.gone ? COURSE_GONE : COURSE_CANCELLED, ret);
}
