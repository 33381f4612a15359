// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-found.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "finder.h"
#include "host/process.h"
#include "manager-private.h"
#include "manager-table.h"
#include "manager-tell.h"
#include "work.h"

/* Returns how many of them were not known. */
static int manager_take_found(struct manager *m, const struct look *look)
{
	struct vm *vm;
	int r, found = 0;

	for (int i = 0; i < look->n; i++) {
		if (manager_find_number(m, look->pid, look->numbers[i]) ||
		    manager_find_unwanted(m, look->pid, look->numbers[i]))
			continue;
		found++;
		r = manager_add_vm(m, look->pid, look->pidfd, look->numbers[i], &vm);
		if (r < 0) {
			log_warning("Cannot look after VM %d.%d: %s", (int)look->pid,
				    look->numbers[i], strerror(-r));
			continue;
		}
		manager_look_for_name(m, vm);
		log_vm_info(vm, MESSAGE_VM_REGISTERED, "Found, process %d", (int)look->pid);
		manager_save_vm(m, vm);
	}
	return found;
}

/* Whether the process has closed it since. */
static bool is_closed(const struct vm *vm, const struct look *look)
{
	/* Known since the look: it may not have been there yet. */
	if (vm->pid != look->pid || vm->table.known_nsec >= look->began_nsec)
		return false;
	for (int i = 0; i < look->n; i++)
		if (look->numbers[i] == vm->number)
			return false;
	return true;
}

/* What has the number of one that was not wanted next is another VM. */
static void manager_drop_unwanted(struct manager *m, const struct look *look)
{
	struct vm *vm = TAILQ_FIRST(&m->unwanted), *next;

	for (; vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		if (!is_closed(vm, look))
			continue;
		TAILQ_REMOVE(&m->unwanted, vm, link);
		manager_forget_vm(m, vm);
	}
	TAILQ_FOREACH(vm, &m->leaving, link)
		if (is_closed(vm, look))
			vm->table.unwanted = false;
}

/* VMs of the process that it has closed, while it lives on. */
static void manager_drop_closed(struct manager *m, const struct look *look)
{
	struct vm *vm = TAILQ_FIRST(&m->vms), *next;

	for (; vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		if (!is_closed(vm, look))
			continue;
		log_vm_info(vm, MESSAGE_VM_GONE, "The VM is gone");
		manager_remove_vm(m, vm, true);
	}
	manager_drop_unwanted(m, look);
}

int manager_take_look(struct manager *m, const struct look *look)
{
	manager_drop_closed(m, look);
	return look->n < 0 ? look->n : manager_take_found(m, look);
}
