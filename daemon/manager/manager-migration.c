// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-migration.h"

#include <errno.h>

#include "conf/conf.h"
#include "manager/dirty-log.h"
#include "manager/manager-history.h"
#include "manager/manager-private.h"
#include "manager/manager-store.h"
#include "manager/manager-tell.h"
#include "manager/migration.h"
#include "splitting/work.h"

/* How often those are looked at that nobody has followed up. */
#define TIMEOUT_PAUSE_USEC (USEC_PER_SEC / 5)

static uint64_t manager_get_timeout(const struct manager *m, const struct vm *vm)
{
	return migration_get_timeout(vm, m->config->scheduled_timeout_sec * USEC_PER_SEC,
				     clock_usec(CLOCK_BOOTTIME), clock_usec(CLOCK_REALTIME));
}

static void manager_set_timeout(struct manager *m, uint64_t usec)
{
	m->timeout_usec = usec;
	/* The calls below fail in a forked child only. */
	(void)sd_event_source_set_time(m->timeout, usec);
	(void)sd_event_source_set_enabled(m->timeout,
					  usec == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

void manager_arm_timeout(struct manager *m)
{
	uint64_t next = UINT64_MAX;
	const struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
		next = min_u64(next, manager_get_timeout(m, vm));
	manager_set_timeout(m, next);
}

void manager_arm_timeout_of(struct manager *m, const struct vm *vm)
{
	uint64_t next = manager_get_timeout(m, vm);

	/* Where it was this one's, and is later now, that is seen then. */
	if (next < m->timeout_usec)
		manager_set_timeout(m, next);
}

/* Has @event happen to @vm's migration. 0, or -EPROTO: it cannot. */
static int manager_handle(struct manager *m, struct vm *vm, enum vm_event event,
			  const struct migration_terms *terms)
{
	switch (migration_handle(vm, event, terms, clock_usec(CLOCK_BOOTTIME))) {
	case VM_STEP_REFUSE:
		return -EPROTO;
	case VM_STEP_KEEP:
		return 0;
	default:
		manager_arm_timeout_of(m, vm);
		manager_tell(m, vm, VM_CHANGE_STATE);
		return 0;
	}
}

int manager_on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
		if (manager_get_timeout(m, vm) <= usec)
			(void)manager_handle(m, vm, VM_EVENT_TIMEOUT, NULL);
	manager_arm_timeout(m);
	/* A look at all VMs for those of a moment, not for each. */
	if (m->timeout_usec != UINT64_MAX)
		manager_set_timeout(m, max_u64(m->timeout_usec, usec + TIMEOUT_PAUSE_USEC));
	return 0;
}

/*
 * It was seen too early, and counts when what VMs tell is looked at: of this we may not have been told.
 * But where it begins anew until then, behind a migration that has ended, it is another one's.
 */
static void manager_put_off_log(struct manager *m, struct vm *vm, bool on)
{
	work_look(vm->work);
	if (on || !vm->migration.dirty_logging ||
	    vm_state_get_goal(vm->migration.state) == VM_GOAL_SPLIT)
		return;
	vm->migration.dirty_logging = false;
	vm->migration.log_ended = true;
	manager_save_vm(m, vm);
}

void manager_look_at_log(struct manager *m, struct vm *vm)
{
	bool split = m->config->on_dirty_log == CONFIG_ON_DIRTY_LOG_SPLIT;
	bool on = dirty_log_get(&vm->progress.survey) == DIRTY_LOG_MEMORY;

	if (!vm->progress.surveyed ||
	    (on == vm->migration.dirty_logging && !vm->migration.log_ended))
		return;
	if (vm->progress.early) {
		manager_put_off_log(m, vm, on);
		return;
	}
	vm->migration.dirty_logging = on;
	vm->migration.log_ended = false;
	if (!on)
		(void)manager_handle(m, vm, VM_EVENT_LOG_OFF, NULL);
	else
		(void)manager_handle(m, vm, split ? VM_EVENT_LOG_ON : VM_EVENT_LOG_ON_IGNORED,
				     NULL);
	manager_note_course(m, vm);
	/*
	 * Also where nothing follows from it, or the next daemon would not know that what it
	 * finds ended has ever begun. And not before: what it knows of has been dealt with.
	 */
	manager_save_vm(m, vm);
}

int manager_set_migration(struct manager *m, struct vm *vm, enum vm_migration to,
			  const uint64_t *deadline_usec, const uint64_t *tlbi_rate)
{
	const struct migration_terms terms = {
		.deadline_usec = deadline_usec,
		.tlbi_rate = tlbi_rate,
	};
	bool is_first = vm->migration.state == VM_STATE_NONE;
	int r = manager_check_record(m, vm->host_vm->id);

	if (r < 0)
		return r;
	r = manager_handle(m, vm, (enum vm_event)(VM_EVENT_TOLD + to), &terms);
	/*
	 * It may have been said late: what was ignored is what it means, and will not be seen
	 * to begin again. Behind another migration what is logged may be that one's.
	 */
	if (r == 0 && is_first && vm->migration.state == VM_STATE_SCHEDULED &&
	    vm->migration.dirty_logging)
		r = manager_handle(m, vm, VM_EVENT_LOG_ON, NULL);
	return r;
}
