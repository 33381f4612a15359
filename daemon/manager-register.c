// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-register.h"

#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "host/backend.h"
#include "host/process.h"
#include "manager.h"
#include "manager-private.h"
#include "manager-table.h"
#include "manager-tell.h"

/* What can be told without looking at the process. */
static int manager_check_registration(struct manager *m, pid_t pid, const char *name)
{
	const struct vm *vm;
	int r;

	if (name && !vm_name_is_valid(name))
		return -EINVAL;
	if (m->stopped)
		return -ESHUTDOWN;
	r = manager_check_host(m);
	if (r < 0)
		return r;
	/* It may be called that already, for a reason of its own. */
	vm = name ? manager_find_vm(m, name) : NULL;
	return vm && (vm->pid != pid || vm->table.registered) ? -EEXIST : 0;
}

/* The first VM of the process that nobody has registered yet; it is added if need be. */
static int manager_get_unregistered(struct manager *m, pid_t pid, struct vm **ret)
{
	int numbers[BACKEND_VMS_MAX], n;
	_cleanup_close_ int pidfd = -1;
	struct vm *vm;

	pidfd = process_open(pid);
	if (pidfd < 0)
		return pidfd;
	if (process_is_gone(pidfd))
		return -ESRCH;
	n = m->backend->ops->adopt ? m->backend->ops->adopt(m->backend, pid) : 0;
	if (n < 0)
		return n;
	n = m->backend->ops->list_vms(m->backend, pidfd, pid, numbers);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		vm = manager_find_number(m, pid, numbers[i]);
		if (!vm)
			return manager_add_vm(m, pid, pidfd, numbers[i], ret);
		if (!vm->table.registered) {
			*ret = vm;
			return 0;
		}
	}
	return -EEXIST;
}

int manager_register(struct manager *m, pid_t pid, const char *name, struct vm **ret)
{
	struct vm *vm, *unwanted;
	int r;

	r = manager_check_registration(m, pid, name);
	if (r < 0)
		return r;
	/* One that is called that already is the one that is meant. */
	vm = name ? manager_find_vm(m, name) : NULL;
	r = vm && !process_is_gone(vm->pidfd) ? 0 : manager_get_unregistered(m, pid, &vm);
	if (r < 0)
		return r;
	r = name ? manager_name_vm(m, vm, name) : 0;
	if (r < 0)
		return r;
	unwanted = manager_find_unwanted(m, vm->pid, vm->number);
	if (unwanted)
		manager_forgive(m, unwanted);
	vm->table.registered = true;
	manager_save_vm(m, vm);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Registered, process %d", (int)pid);
	/* One that was known before may be called otherwise now. */
	if (vm->progress.surveyed)
		manager_tell(m, vm, VM_CHANGE_STATE);
	*ret = vm;
	return 0;
}

int manager_unregister(struct manager *m, const char *name)
{
	struct vm *vm;

	vm = manager_find_vm(m, name);
	if (!vm)
		return -ENOENT;
	log_vm_info(vm, MESSAGE_VM_GONE, "Unregistered");
	vm->table.unwanted = true;
	manager_remove_vm(m, vm, false);
	return 0;
}
