// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-table.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "service/closing.h"
#include "conf/conf.h"
#include "store/fd-store.h"
#include "manager/finder.h"
#include "manager/manager-history.h"
#include "manager/manager-index.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-settle.h"
#include "manager/manager-store.h"
#include "manager/manager-tell.h"
#include "splitting/splitter.h"
#include "store/vm-store.h"
#include "splitting/work.h"

struct vm *manager_next_vm(struct manager *m, struct vm *prev)
{
	return prev ? TAILQ_NEXT(prev, link) : TAILQ_FIRST(&m->vms);
}

/*
 * Coming and going
 */

static void on_tells(struct vm *vm, unsigned int what)
{
	struct manager *m = vm->owner;

	vm->table.gone = what & VM_TELLS_GONE;
	/* Letting go of one that is leaving goes on by itself. */
	if (vm->table.leaving)
		return;
	if (!vm->table.gone) {
		if (vm->work)
			work_look(vm->work);
		return;
	}
	if (!vm->work) {
		manager_move_vm(m, vm, NULL);
		manager_forget_vm(m, vm);
		return;
	}
	log_vm_info(vm, MESSAGE_VM_GONE, "The VM is gone");
	manager_remove_vm(m, vm, true);
}

void manager_forget_vm(struct manager *m, struct vm *vm)
{
	uint64_t id = vm->host_vm->id;

	/* Once registered again it is another one's. */
	if (!m->stopped && !manager_knows(m, id)) {
		fd_store_remove(m->notify, id);
		if (m->store)
			vm_store_remove(m->store, id);
	}
	closing_add(m->closing, vm_take_host_vm(vm));
	if (!manager_depart(m, vm))
		vm_free(vm);
}

void manager_remove_vm(struct manager *m, struct vm *vm, bool gone)
{
	vm->table.gone |= gone;
	/* The next daemon goes on with it. */
	if (!m->stopped)
		manager_end_course(m, vm);
	/* Also as one that is not wanted, and on stopping as it is. */
	if (!gone)
		manager_save_vm(m, vm);
	manager_forget_names(vm);
	manager_move_vm(m, vm, &m->leaving);
	m->n_vms--;
	/* There is room for one of those that there was none for. */
	if (m->left_out && !m->stopped)
		finder_scan_all(m->finder);
	m->left_out = false;
	if (m->observer)
		m->observer->vm_removed(m->observer_userdata, vm);
	vm->table.leaving = true;
	/* On stopping it stays its own, for the next daemon. */
	if (!m->stopped)
		manager_pass_names_on(m, vm);
	manager_notify_status(m);
	work_leave(vm->work, vm->table.unwanted);
}

/* A VM that is in no list yet, and for which there is nothing to do. See manager_add_vm(). */
static int manager_make_vm(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
			   struct vm **ret)
{
	struct vm *vm;
	int r;

	r = vm_new(&vm, host_vm, pid, number, m);
	if (r < 0)
		return r;
	vm->log_quota = m->log_quota;
	vm->start_time = host_vm->start_time;
	r = vm_watch(vm, m->event, on_tells);
	if (r < 0) {
		(void)vm_take_host_vm(vm);
		vm_free(vm);
		return r;
	}
	*ret = vm;
	return 0;
}

bool manager_has_room(const struct manager *m, int64_t uid, enum manager_reason reason)
{
	const struct vm *vm;
	size_t n = 0;

	if (reason != MANAGER_FOUND || config_trusts(m->config, uid))
		return m->n_vms < MANAGER_VMS_MAX;
	if (m->n_vms < MANAGER_VMS_USER_MAX)
		return true;
	TAILQ_FOREACH(vm, &m->vms, link)
		n += vm->host_vm->uid == uid;
	return n < MANAGER_VMS_USER_MAX && m->n_vms < MANAGER_VMS_FOUND_MAX;
}

/* What it was held by before this daemon, if that could not be taken up. */
static void manager_drop_kept(struct manager *m, uint64_t id)
{
	if (m->splitters_left)
		fd_store_remove(m->notify, id);
}

/* One that was not wanted is again, and is added as another one. */
static void manager_forgive(struct manager *m, uint64_t id)
{
	struct vm *leaving = manager_find_in(m, &m->leaving, id);
	struct vm *unwanted = manager_find_in(m, &m->unwanted, id);

	/* Its own splitter lets go of it; and what is kept is of the other one. */
	if (leaving) {
		fd_store_remove(m->notify, id);
		leaving->table.unwanted = false;
		leaving->table.replaced = true;
	}
	if (!unwanted)
		return;
	manager_move_vm(m, unwanted, NULL);
	closing_add(m->closing, vm_take_host_vm(unwanted));
	vm_free(unwanted);
}

int manager_add_vm(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
		   enum manager_reason reason, struct vm **ret)
{
	struct vm *vm;
	int r;

	if (!manager_has_room(m, host_vm->uid, reason))
		return -EUSERS;
	r = manager_make_vm(m, host_vm, pid, number, &vm);
	if (r < 0)
		return r;
	r = work_new(&vm->work, &m->splitter->group, vm);
	if (r < 0) {
		(void)vm_take_host_vm(vm);
		vm_free(vm);
		return r;
	}
	/* Not before: where it cannot be added it stays what it was. */
	manager_forgive(m, host_vm->id);
	manager_move_vm(m, vm, &m->vms);
	m->n_vms++;
	vm->table.order = m->vms_registered++;
	if (reason != MANAGER_KEPT) {
		manager_drop_kept(m, host_vm->id);
		fd_store_add(m->notify, host_vm->id, host_vm->fd);
	}
	manager_notify_status(m);
	*ret = vm;
	return 0;
}

int manager_add_unwanted(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number)
{
	struct vm *vm;
	int r;

	r = manager_make_vm(m, host_vm, pid, number, &vm);
	if (r < 0)
		return r;
	vm->table.unwanted = true;
	manager_move_vm(m, vm, &m->unwanted);
	manager_drop_kept(m, host_vm->id);
	manager_save_resumed(m, vm);
	return 0;
}
