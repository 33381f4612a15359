// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-private.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "host/machined.h"
#include "host/process.h"
#include "host/qemu-name.h"
#include "work.h"

/*
 * Names
 */

int manager_name_vm(struct manager *m, struct vm *vm, const char *name)
{
	struct vm *other;
	char *copy;

	if (!vm_name_is_valid(name))
		return -EINVAL;
	other = manager_find_vm(m, name);
	if (other)
		return other == vm ? 0 : -EEXIST;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(vm->table.name);
	vm->table.name = copy;
	return 0;
}

/* What its VMM or systemd-machined calls @vm: its name, unless somebody gave it one. */
static void manager_found_name(struct manager *m, struct vm *vm, const char *name)
{
	char *copy = strdup(name);
	int r;

	if (!copy)
		return;
	free(vm->table.found_name);
	vm->table.found_name = copy;
	if (vm->table.registered)
		return;
	r = manager_name_vm(m, vm, name);
	if (r == -EEXIST)
		log_vm_info(vm, NULL, "Its name, %s, is another VM's", name);
	else if (r < 0)
		log_vm_info(vm, NULL, "Its name is none that can be used");
}

void manager_on_machine_name(void *userdata, pid_t pid, const char *name)
{
	struct manager *m = userdata;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link) {
		if (vm->pid != pid || vm->table.found_name || process_is_gone(vm->pidfd))
			continue;
		manager_found_name(m, vm, name);
		manager_save_vm(m, vm);
	}
}

void manager_pass_name_on(struct manager *m, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link) {
		if (vm->table.registered || !vm->table.found_name ||
		    strcmp(vm->table.found_name, name) != 0)
			continue;
		if (manager_name_vm(m, vm, name) < 0)
			continue;
		manager_save_vm(m, vm);
		return;
	}
}

void manager_look_for_name(struct manager *m, struct vm *vm)
{
	char name[VM_NAME_MAX + 1];

	if (qemu_name_of_process(vm->pid, name, sizeof(name)) == 0)
		manager_found_name(m, vm, name);
	else
		machined_ask(m->machined, vm->pid);
}

/*
 * VMs that are found
 */

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

/* finder_ops.seen() */
static int on_seen(void *userdata, const struct look *look)
{
	struct manager *m = userdata;

	if (m->stopped)
		return -ESHUTDOWN;
	/* Once it can, all processes are looked at anyhow. */
	if (manager_check_host(m) < 0)
		return -EOPNOTSUPP;
	if (look->n < 0 && look->n != -ENOTTY)
		return look->n;
	/* Of one that is known the pidfd of its VM tells. */
	if (process_is_gone(look->pidfd))
		return -ESRCH;
	manager_drop_closed(m, look);
	return look->n < 0 ? look->n : manager_take_found(m, look);
}

/*
 * finder_ops.list_known(): those whose VMs are not wanted. The others' are surveyed after
 * that, which tells as well whether they are there.
 */
static void on_list_known(void *userdata, int (*add)(void *add_userdata, pid_t pid),
			  void *add_userdata)
{
	struct manager *m = userdata;
	const struct vm *vm;

	/* Without the memory for it, it is left for the next time. */
	TAILQ_FOREACH(vm, &m->unwanted, link)
		(void)add(add_userdata, vm->pid);
	TAILQ_FOREACH(vm, &m->leaving, link)
		if (vm->table.unwanted)
			(void)add(add_userdata, vm->pid);
}

/* finder_ops.look_again() */
static bool on_look_again(void *userdata, pid_t pid)
{
	struct manager *m = userdata;
	bool known = false;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link) {
		if (vm->pid != pid)
			continue;
		known = true;
		work_look(vm->work);
	}
	TAILQ_FOREACH(vm, &m->leaving, link)
		known = known || vm->pid == pid;
	TAILQ_FOREACH(vm, &m->unwanted, link)
		known = known || vm->pid == pid;
	return known;
}

/* finder_ops.dirty_log() */
static bool on_dirty_log(void *userdata, pid_t pid)
{
	struct manager *m = userdata;
	bool known = !pid;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link) {
		if (pid && vm->pid != pid)
			continue;
		known = true;
		work_look(vm->work);
	}
	return known;
}

const struct finder_ops manager_finder_ops = {
	.seen = on_seen,
	.list_known = on_list_known,
	.look_again = on_look_again,
	.dirty_log = on_dirty_log,
};
