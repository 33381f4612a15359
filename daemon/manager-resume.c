// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-resume.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "fd-store.h"
#include "host/process.h"
#include "manager-history.h"
#include "manager-migration.h"
#include "manager-private.h"
#include "manager-table.h"
#include "vm-store.h"
#include "work.h"

/* See manager_begin(). */
struct resume {
	struct manager *manager;
	int *pidfds;
	size_t n_pidfds;
};

/* The process that @record is of, if it is still there. */
static int manager_open_recorded(struct resume *resume, const struct vm_record *record)
{
	uint64_t start_time;
	int pidfd, r;

	pidfd = fd_store_take(resume->pidfds, resume->n_pidfds, record->pid);
	if (pidfd < 0)
		pidfd = process_open(record->pid);
	if (pidfd < 0)
		return pidfd;
	r = process_get_start_time(record->pid, &start_time);
	/* In this order: as long as it is not gone, the id is its own. */
	if (r == 0 && (process_is_gone(pidfd) || start_time != record->start_time))
		r = -ESRCH;
	if (r == 0)
		return pidfd;
	close(pidfd);
	return r;
}

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
	if (record->name[0])
		(void)manager_name_vm(m, vm, record->name);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Known from before, process %d, migration %s",
		    (int)vm->pid,
		    vm_migration_to_string(vm_state_get_migration(vm->migration.state)));
	/* What had come to its end need not be done again. */
	if (goal == VM_GOAL_SPLIT || record->stage != VM_STAGE_WHOLE)
		work_resume(vm->work, goal);
}

/* It may have been unregistered, and the daemon before us have ended, before it was let go of. */
static int manager_resume_unwanted(struct manager *m, const struct vm_record *record, int pidfd)
{
	bool held = record->stage != VM_STAGE_WHOLE;

	return manager_add_unwanted(m, record->pid, pidfd, record->number, held);
}

/* The record of one that cannot be taken over is removed; if there, it is found as any other. */
static bool on_record(void *userdata, const struct vm_record *record)
{
	struct resume *resume = userdata;
	struct manager *m = resume->manager;
	_cleanup_close_ int pidfd = -1;
	struct vm *vm;
	int r;

	pidfd = manager_open_recorded(resume, record);
	if (pidfd < 0)
		return false;
	if (record->unwanted)
		return manager_resume_unwanted(m, record, pidfd) == 0;
	r = manager_add_vm(m, record->pid, pidfd, record->number, &vm);
	if (r < 0)
		return false;
	manager_resume_vm(m, vm, record);
	return true;
}

void manager_load(struct manager *m, int *pidfds, size_t n_pidfds)
{
	struct resume resume = { .manager = m, .pidfds = pidfds, .n_pidfds = n_pidfds };
	struct vm *vm;
	int r;

	/* On a host that cannot split, what there is to know stays until it can. */
	if (!m->store || m->store_loaded || !m->host.supported)
		return;
	m->store_loaded = true;
	r = vm_store_load(m->store, on_record, &resume);
	if (r < 0)
		log_warning("What was kept for a restart cannot be read: %s", strerror(-r));
	/* Not before: what others call one VM may be the name that another has had. */
	TAILQ_FOREACH(vm, &m->vms, link)
		manager_look_for_name(m, vm);
	manager_arm_timeout(m);
}
