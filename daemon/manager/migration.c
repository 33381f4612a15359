// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/migration.h"

#include "base/log.h"
#include "vm/vm.h"
#include "splitting/work.h"

static bool is_under_way(enum vm_state state)
{
	return vm_state_get_goal(state) == VM_GOAL_SPLIT;
}

static void migration_set_terms(struct vm *vm, const struct migration_terms *terms)
{
	if (terms && terms->deadline_usec)
		vm_set_deadline(vm, *terms->deadline_usec);
	if (terms && terms->tlbi_rate)
		vm->migration.tlbi_rate = *terms->tlbi_rate;
	work_update_ceiling(vm->work);
}

static void migration_log(const struct vm *vm, enum vm_state from, enum vm_event event)
{
	switch (event) {
	case VM_EVENT_LOG_ON:
	case VM_EVENT_LOG_ON_IGNORED:
		if (from == VM_STATE_SCHEDULED)
			log_vm_info(vm, MESSAGE_VM_MIGRATION,
				    "Dirty logging has started: migration active");
		else
			log_vm_info(vm, MESSAGE_VM_MIGRATION,
				    "Dirty logging has started unannounced: migration active");
		break;
	case VM_EVENT_LOG_OFF:
		log_vm_info(vm, MESSAGE_VM_MIGRATION, "Dirty logging has stopped: migration %s",
			    from == VM_STATE_SCHEDULED_SEEN ? "still scheduled" : "cancelled");
		break;
	case VM_EVENT_TIMEOUT:
		log_vm_warning(vm, MESSAGE_VM_MIGRATION, "%s: migration cancelled",
			       from == VM_STATE_ACTIVE ? "Active, and nothing is logged"
						       : "Scheduled, and nobody followed it up");
		break;
	default:
		log_vm_info(vm, MESSAGE_VM_MIGRATION, "Migration %s",
			    vm_migration_to_string(vm_state_get_migration(vm->migration.state)));
	}
}

static void migration_go(struct vm *vm, enum vm_state to, enum vm_event event,
			 const struct migration_terms *terms)
{
	enum vm_state from = vm->migration.state;

	vm->migration.state = to;
	/* A new migration, and what was said of the last one no longer holds. */
	if (!is_under_way(from)) {
		vm_set_deadline(vm, UINT64_MAX);
		vm->migration.tlbi_rate = 0;
	}
	/* Of which it is no end that the log of the one before has ended. */
	if (is_under_way(to))
		vm->migration.log_ended = false;
	migration_set_terms(vm, terms);
	migration_log(vm, from, event);
	work_set_goal(vm->work, vm_state_get_goal(to));
}

/* The same once more: with other terms, to take up what failed, or what was out of reach. */
static void migration_repeat(struct vm *vm, enum vm_event event,
			     const struct migration_terms *terms)
{
	migration_set_terms(vm, terms);
	if (event == VM_EVENT_LOG_OFF)
		work_repeat(vm->work);
	else if (vm->progress.stage == VM_STAGE_FAILED && vm->migration.state != VM_STATE_NONE)
		work_set_goal(vm->work, vm_state_get_goal(vm->migration.state));
}

enum vm_step migration_handle(struct vm *vm, enum vm_event event,
			      const struct migration_terms *terms, uint64_t boottime_usec)
{
	enum vm_step step;
	enum vm_state to;

	step = vm_state_next(vm->migration.state, event, &to);
	if (step == VM_STEP_GO)
		migration_go(vm, to, event, terms);
	else if (step == VM_STEP_AGAIN)
		migration_repeat(vm, event, terms);
	else
		return step;
	if (event == VM_EVENT_TOLD + VM_MIGRATION_SCHEDULED ||
	    event == VM_EVENT_TOLD + VM_MIGRATION_ACTIVE)
		vm->migration.told_usec = boottime_usec;
	return step;
}

/* @realtime_usec as a time of the clock that says @boottime_usec when that one says @now_usec. */
static uint64_t to_boottime(uint64_t realtime_usec, uint64_t boottime_usec, uint64_t now_usec)
{
	if (realtime_usec > now_usec)
		return boottime_usec + min_u64(realtime_usec - now_usec, INT64_MAX);
	return boottime_usec - min_u64(now_usec - realtime_usec, boottime_usec);
}

uint64_t migration_get_timeout(const struct vm *vm, uint64_t timeout_usec, uint64_t boottime_usec,
			       uint64_t realtime_usec)
{
	uint64_t from = vm->migration.told_usec, deadline = vm->migration.deadline_usec;

	if (!timeout_usec)
		return UINT64_MAX;
	switch (vm->migration.state) {
	case VM_STATE_SCHEDULED:
		if (deadline != UINT64_MAX)
			from = max_u64(from, to_boottime(deadline, boottime_usec, realtime_usec));
		return from + timeout_usec;
	case VM_STATE_ACTIVE:
		return vm->migration.dirty_logging ? UINT64_MAX : from + timeout_usec;
	default:
		return UINT64_MAX;
	}
}
