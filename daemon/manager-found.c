// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-found.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "closing.h"
#include "finder.h"
#include "manager-history.h"
#include "manager-migration.h"
#include "manager-names.h"
#include "manager-private.h"
#include "manager-table.h"
#include "manager-tell.h"
#include "vm-record.h"
#include "work.h"

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
	manager_note_course(m, vm);
	manager_resume_names(m, vm, record);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Known from before, process %d, migration %s",
		    (int)vm->pid,
		    vm_migration_to_string(vm_state_get_migration(vm->migration.state)));
	/* What had come to its end need not be done again. */
	if (goal == VM_GOAL_SPLIT || record->stage != VM_STAGE_WHOLE)
		work_resume(vm->work, goal);
}

/* Takes the record of the VM with that id out of those that are left. */
static bool manager_take_record(struct manager *m, uint64_t id, struct vm_record *ret)
{
	for (size_t i = 0; i < m->n_records; i++) {
		if (m->records[i].vm_id != id)
			continue;
		*ret = m->records[i];
		m->records[i] = m->records[--m->n_records];
		return true;
	}
	return false;
}

int manager_take_vm(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number, bool kept)
{
	struct vm_record record;
	struct vm *vm;
	int r;

	if (!manager_take_record(m, host_vm->id, &record)) {
		r = manager_add_vm(m, host_vm, pid, number, kept, &vm);
		if (r < 0)
			return r;
		manager_look_for_name(m, vm);
		log_vm_info(vm, MESSAGE_VM_REGISTERED, "Found, process %d", (int)pid);
		manager_save_vm(m, vm);
		return 0;
	}
	if (record.unwanted)
		return manager_add_unwanted(m, host_vm, record.pid, record.number);
	r = manager_add_vm(m, host_vm, record.pid, record.number, kept, &vm);
	if (r == 0)
		manager_resume_vm(m, vm, &record);
	return r;
}

int manager_take_wanted(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
			struct vm **ret)
{
	struct vm_record record;
	int r;

	r = manager_add_vm(m, host_vm, pid, number, false, ret);
	if (r < 0 || !manager_take_record(m, host_vm->id, &record) || record.unwanted)
		return r;
	manager_resume_vm(m, *ret, &record);
	manager_arm_timeout(m);
	return 0;
}

int manager_take_look(struct manager *m, struct look *look)
{
	int r, found = 0;

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
		closing_add(m->closing, host_vm);
		log_warning("Cannot look after VM %d.%d: %s", (int)look->pid, look->numbers[i],
			    strerror(-r));
	}
	return look->n < 0 ? look->n : found;
}

void manager_drop_look(struct manager *m, struct look *look)
{
	for (int i = 0; i < look->n; i++)
		closing_add(m->closing, TAKE_PTR(look->vms[i]));
}
