// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-found.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/transient.h"
#include "service/closing.h"
#include "manager/course.h"
#include "host/process.h"
#include "manager/finder.h"
#include "base/log-quota.h"
#include "manager/manager-history.h"
#include "manager/manager-index.h"
#include "manager/manager-migration.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-records.h"
#include "manager/manager-store.h"
#include "manager/manager-table.h"
#include "store/vm-record.h"
#include "splitting/work.h"

static void manager_resume_vm(struct manager *m, struct vm *vm, const struct vm_record *record)
{
	enum vm_goal goal = vm_state_get_goal(record->state);

	vm->table.registered = record->registered;
	vm->migration.state = record->state;
	vm->migration.dirty_logging = record->dirty_logging;
	vm->migration.told_usec = record->told_usec;
	/* Whether it has been logged meanwhile, nobody has seen. */
	if (record->state == VM_STATE_ACTIVE)
		vm->migration.told_usec = clock_usec(CLOCK_BOOTTIME);
	vm->migration.tlbi_rate = record->tlbi_rate;
	vm->progress.blocks_split = record->blocks_split;
	vm->progress.tlbis = record->tlbis;
	vm->progress.tlbi_nsec = record->tlbi_nsec;
	vm_set_deadline(vm, record->deadline_usec);
	work_update_ceiling(vm->work);
	vm->course = record->course;
	course_resume(&vm->course, clock_usec(CLOCK_BOOTTIME));
	manager_note_course(m, vm);
	manager_resume_names(m, vm, record);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Known from before, process %d, migration %s",
		    (int)vm->pid,
		    vm_migration_to_string(vm_state_get_migration(vm->migration.state)));
	if (record->start_time)
		manager_save_resumed(m, vm);
	else
		manager_save_vm(m, vm);
	manager_arm_timeout_of(m, vm);
	/* What had come to its end need not be done again. */
	if (goal == VM_GOAL_SPLIT || record->stage != VM_STAGE_WHOLE)
		work_resume(vm->work, goal);
}

/* An older daemon did not keep that: from now on it is no other process's than whose it is by now. */
static uint64_t record_start_time(const struct vm_record *record)
{
	return record->start_time ?: process_find_start(record->pid);
}

int manager_take_vm(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number, bool kept)
{
	const struct vm_record *record;
	struct kept_record *known;
	struct vm *vm;
	int r;

	r = manager_find_record(m, host_vm->id, &known);
	if (r < 0)
		return r;
	if (!known) {
		r = manager_add_vm(m, host_vm, pid, number, MANAGER_FOUND, &vm);
		if (r < 0)
			return r;
		manager_look_for_name(m, vm);
		log_vm_info(vm, MESSAGE_VM_REGISTERED, "Found, process %d", (int)pid);
		manager_save_vm(m, vm);
		return 0;
	}
	record = &known->record;
	host_vm->start_time = record_start_time(record);
	if (record->unwanted)
		r = manager_add_unwanted(m, host_vm, record->pid, record->number);
	else
		r = manager_add_vm(m, host_vm, record->pid, record->number,
				   kept ? MANAGER_KEPT : MANAGER_WANTED, &vm);
	/* What is known of it is there for the next look. */
	if (r < 0)
		return r;
	known->taken = true;
	if (record->unwanted)
		return 0;
	manager_resume_vm(m, vm, record);
	manager_look_for_name(m, vm);
	return 0;
}

int manager_take_wanted(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
			bool told, struct vm **ret)
{
	enum manager_reason reason = MANAGER_FOUND;
	struct kept_record *known;
	int r;

	r = manager_find_record(m, host_vm->id, &known);
	if (r < 0)
		return r;
	if (told || known)
		reason = MANAGER_WANTED;
	r = manager_add_vm(m, host_vm, pid, number, reason, ret);
	if (r < 0)
		return r;
	if (known) {
		known->taken = true;
		if (!known->record.unwanted)
			manager_resume_vm(m, *ret, &known->record);
	}
	/* It has a UUID, whatever it is going to be called. */
	manager_look_for_name(m, *ret);
	return 0;
}

int manager_take_look(struct manager *m, struct look *look)
{
	int r, found = 0, error = 0;

	for (int i = 0; i < look->n; i++) {
		struct backend_vm *host_vm = TAKE_PTR(look->vms[i]);

		if (!host_vm)
			continue;
		/* It may have two descriptors of it, or we have one that was handed over. */
		if (manager_knows(m, host_vm->id)) {
			closing_add(m->closing, host_vm);
			continue;
		}
		found++;
		r = manager_take_vm(m, host_vm, look->pid, look->numbers[i], false);
		if (r == 0)
			continue;
		m->left_out |= r == -EUSERS;
		if (error_is_transient(r))
			error = r;
		if (log_quota_ask(m->log_quota, host_vm->uid))
			log_warning("Cannot look after VM %d.%d: %s", (int)look->pid,
				    look->numbers[i], strerror(-r));
		closing_add(m->closing, host_vm);
	}
	if (look->n < 0)
		return look->n;
	return error ?: found;
}

void manager_drop_look(struct manager *m, struct look *look)
{
	for (int i = 0; i < look->n; i++)
		closing_add(m->closing, TAKE_PTR(look->vms[i]));
}
