// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-settle.h"

#include <errno.h>

#include "manager/course.h"
#include "manager/manager-history.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-store.h"

/* How often those are looked at of whose migrations nobody has said the end. */
#define SETTLE_PAUSE_USEC (USEC_PER_SEC / 5)

/* Whether it is to be said how the migration of one that is gone ended. */
static bool is_awaited(const struct vm *vm)
{
	return vm->table.gone && course_get_settling(&vm->course) != UINT64_MAX;
}

static void manager_forget_departed(struct manager *m, struct vm *vm)
{
	/* At once, where there is one too many. */
	(void)manager_settle_course(m, vm, UINT64_MAX);
	TAILQ_REMOVE(&m->departed, vm, link);
	m->n_departed--;
	vm_free(vm);
}

bool manager_depart(struct manager *m, struct vm *vm)
{
	if (!is_awaited(vm))
		return false;
	if (m->stopped) {
		(void)manager_settle_course(m, vm, UINT64_MAX);
		return false;
	}
	if (m->n_departed == MANAGER_DEPARTED_MAX)
		manager_forget_departed(m, TAILQ_FIRST(&m->departed));
	TAILQ_INSERT_TAIL(&m->departed, vm, link);
	m->n_departed++;
	manager_arm_settle(m, course_get_settling(&vm->course));
	return true;
}

struct vm *manager_find_departed(struct manager *m, const char *text)
{
	struct vm_list *lists[] = { &m->departed, &m->leaving };
	struct vm *vm, *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		TAILQ_FOREACH(vm, lists[i], link)
			if (is_awaited(vm) && vm_is_meant(vm, text))
				found = vm;
	return found;
}

int manager_end_departed(struct manager *m, struct vm *vm, enum vm_migration to)
{
	enum vm_state state;

	if (to == VM_MIGRATION_SCHEDULED || to == VM_MIGRATION_ACTIVE)
		return -ENODEV;
	if (vm_state_next(vm->migration.state, (enum vm_event)(VM_EVENT_TOLD + to), &state) ==
	    VM_STEP_REFUSE)
		return -EPROTO;
	vm->migration.state = state;
	manager_note_course(m, vm);
	return 0;
}

uint64_t manager_settle_departed(struct manager *m, uint64_t boottime_usec)
{
	struct vm *vm;

	/* They have ended in this order, or nearly so. */
	while ((vm = TAILQ_FIRST(&m->departed))) {
		if (is_awaited(vm) && course_get_settling(&vm->course) > boottime_usec)
			return course_get_settling(&vm->course);
		manager_forget_departed(m, vm);
	}
	return UINT64_MAX;
}

int manager_on_settle(sd_event_source *source, uint64_t usec, void *userdata)
{
	uint64_t next, now = clock_usec(CLOCK_BOOTTIME);
	struct manager *m = userdata;
	struct vm *vm;

	m->settle_usec = UINT64_MAX;
	next = manager_settle_departed(m, now);
	TAILQ_FOREACH(vm, &m->vms, link) {
		if (manager_settle_course(m, vm, now))
			manager_save_vm(m, vm);
		next = min_u64(next, course_get_settling(&vm->course));
	}
	/* A look at all VMs for those of a moment, not for each. */
	manager_arm_settle(m, next == UINT64_MAX ? next : max_u64(next, now + SETTLE_PAUSE_USEC));
	return 0;
}
