// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "fd-store.h"
#include "host/machined.h"
#include "host/process.h"
#include "host/qemu-name.h"
#include "manager-history.h"
#include "manager-private.h"
#include "manager-tell.h"
#include "splitter.h"
#include "vm-store.h"
#include "work.h"

/* The VM of that process, if it has one, and no more. */
static struct vm *manager_find_pid(struct manager *m, const char *text)
{
	struct vm *vm, *found = NULL;
	uint64_t pid;

	if (parse_u64(text, &pid) < 0)
		return NULL;
	TAILQ_FOREACH(vm, &m->vms, link) {
		if ((uint64_t)vm->pid != pid)
			continue;
		if (found)
			return NULL;
		found = vm;
	}
	return found;
}

struct vm *manager_find_vm(struct manager *m, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
		if (strcmp(vm->table.name, name) == 0)
			return vm;
	TAILQ_FOREACH(vm, &m->vms, link)
		if (strcmp(vm->id, name) == 0)
			return vm;
	return manager_find_pid(m, name);
}

struct vm *manager_find_number(struct manager *m, pid_t pid, int number)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
		if (vm->pid == pid && vm->number == number && !process_is_gone(vm->pidfd))
			return vm;
	return NULL;
}

struct vm *manager_find_unwanted(struct manager *m, pid_t pid, int number)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->unwanted, link)
		if (vm->pid == pid && vm->number == number && !process_is_gone(vm->pidfd))
			return vm;
	TAILQ_FOREACH(vm, &m->leaving, link)
		if (vm->pid == pid && vm->number == number && vm->table.unwanted)
			return vm;
	return NULL;
}

struct vm *manager_next_vm(struct manager *m, struct vm *prev)
{
	return prev ? TAILQ_NEXT(prev, link) : TAILQ_FIRST(&m->vms);
}

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

/* The VM that was called @name is gone: another that was to be called so may be now. */
static void manager_pass_name_on(struct manager *m, const char *name)
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
 * Coming and going
 */

static void on_vmm_gone(struct vm *vm)
{
	struct manager *m = vm->owner;

	/* Letting go of one that is leaving goes on by itself. */
	if (vm->table.leaving)
		return;
	if (!vm->work) {
		TAILQ_REMOVE(&m->unwanted, vm, link);
		manager_forget_vm(m, vm);
		return;
	}
	log_vm_info(vm, MESSAGE_VM_GONE, "The VMM, process %d, is gone", (int)vm->pid);
	manager_remove_vm(m, vm, true);
}

/* The service manager need keep the pidfd no longer, unless for another VM of the process. */
static void manager_drop_pidfd(struct manager *m, const struct vm *vm)
{
	const struct vm *o;

	TAILQ_FOREACH(o, &m->vms, link)
		if (o->pid == vm->pid && o != vm)
			return;
	fd_store_remove(vm->pid);
}

void manager_forget_vm(struct manager *m, struct vm *vm)
{
	bool gone = process_is_gone(vm->pidfd);

	if (gone && !vm->table.replaced && m->backend->ops->forget_vm)
		m->backend->ops->forget_vm(m->backend, vm->pid, vm->number);
	if (m->store && (gone || !m->stopped) && !vm->table.replaced)
		vm_store_remove(m->store, vm->pid, vm->number);
	if (!m->stopped)
		manager_drop_pidfd(m, vm);
	vm_free(vm);
}

void manager_forgive(struct manager *m, struct vm *vm)
{
	vm->table.unwanted = false;
	if (vm->table.leaving)
		return;
	TAILQ_REMOVE(&m->unwanted, vm, link);
	vm_free(vm);
}

void manager_remove_vm(struct manager *m, struct vm *vm, bool gone)
{
	/* The next daemon goes on with it. */
	if (!m->stopped)
		manager_end_course(m, vm);
	/* Also as one that is not wanted, and on stopping as it is. */
	if (!gone)
		manager_save_vm(m, vm);
	TAILQ_REMOVE(&m->vms, vm, link);
	m->n_vms--;
	if (m->observer)
		m->observer->vm_removed(m->observer_userdata, vm);
	vm->table.leaving = true;
	TAILQ_INSERT_TAIL(&m->leaving, vm, link);
	/* On stopping it stays its own, for the next daemon. */
	if (!m->stopped)
		manager_pass_name_on(m, vm->table.name);
	manager_notify_status(m);
	work_leave(vm->work, gone);
}

/* A VM that is in no list yet, and for which there is nothing to do. See manager_add_vm(). */
static int manager_make_vm(struct manager *m, pid_t pid, int pidfd, int number, struct vm **ret)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	int fd, r;

	fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = vm_new(&vm, m->backend, pid, fd, number, m);
	if (r < 0)
		return r;
	vm->table.known_nsec = now_nsec(CLOCK_MONOTONIC);
	r = process_get_start_time(pid, &vm->start_time);
	if (r < 0)
		return r;
	r = vm_watch(vm, m->event, on_vmm_gone);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(vm);
	return 0;
}

static void vm_list_replace(struct vm_list *list, pid_t pid, int number)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, list, link)
		if (vm->pid == pid && vm->number == number)
			vm->table.replaced = true;
}

/* Those that have had that number, and are not quite gone yet. */
static void manager_replace(struct manager *m, pid_t pid, int number)
{
	vm_list_replace(&m->vms, pid, number);
	vm_list_replace(&m->leaving, pid, number);
	vm_list_replace(&m->unwanted, pid, number);
}

int manager_add_vm(struct manager *m, pid_t pid, int pidfd, int number, struct vm **ret)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	int r;

	if (m->n_vms >= MANAGER_VMS_MAX)
		return -EUSERS;
	r = manager_make_vm(m, pid, pidfd, number, &vm);
	if (r < 0)
		return r;
	r = work_new(&vm->work, &m->splitter->group, vm);
	if (r < 0)
		return r;
	manager_replace(m, pid, number);
	TAILQ_INSERT_TAIL(&m->vms, vm, link);
	m->n_vms++;
	m->vms_registered++;
	fd_store_add(pid, vm->pidfd);
	manager_notify_status(m);
	*ret = TAKE_PTR(vm);
	return 0;
}

int manager_add_unwanted(struct manager *m, pid_t pid, int pidfd, int number, bool held)
{
	_cleanup_(vm_freep) struct vm *made = NULL;
	struct vm *vm;
	int r;

	r = manager_make_vm(m, pid, pidfd, number, &made);
	if (r == 0 && held)
		r = work_new(&made->work, &m->splitter->group, made);
	if (r < 0)
		return r;
	vm = TAKE_PTR(made);
	vm->table.unwanted = true;
	if (!held) {
		TAILQ_INSERT_TAIL(&m->unwanted, vm, link);
		return 0;
	}
	vm->table.leaving = true;
	TAILQ_INSERT_TAIL(&m->leaving, vm, link);
	/* That it is not surveyed has the hold released. */
	work_leave(vm->work, false);
	return 0;
}
