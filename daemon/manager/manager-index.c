// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-index.h"

#include "base/hash.h"
#include "host/process.h"
#include "manager/manager-private.h"

void manager_move_vm(struct manager *m, struct vm *vm, struct vm_list *list)
{
	if (vm->table.list)
		TAILQ_REMOVE(vm->table.list, vm, link);
	hash_remove(&vm->table.by_id);
	hash_remove(&vm->table.by_pid);
	vm->table.list = list;
	if (!list)
		return;
	TAILQ_INSERT_TAIL(list, vm, link);
	hash_add(&m->by_id, &vm->table.by_id, hash_of_number(vm->host_vm->id));
	hash_add(&m->by_pid, &vm->table.by_pid, hash_of_number((uint64_t)vm->pid));
}

struct vm *manager_find_in(const struct manager *m, const struct vm_list *list, uint64_t id)
{
	struct hash_node *node;

	for (node = hash_first(&m->by_id, hash_of_number(id)); node; node = hash_next(node)) {
		struct vm *vm = container_of(node, struct vm, table.by_id);

		if (vm->host_vm->id == id && (!list || vm->table.list == list))
			return vm;
	}
	return NULL;
}

struct vm *manager_find_host_vm(struct manager *m, uint64_t id)
{
	return manager_find_in(m, &m->vms, id);
}

bool manager_knows(const struct manager *m, uint64_t id)
{
	return manager_find_in(m, NULL, id) != NULL;
}

/* The next of that process; @list: NULL: of any */
static struct vm *manager_next_pid(const struct manager *m, const struct vm_list *list, pid_t pid,
				   const struct vm *prev)
{
	struct hash_node *node = prev ? hash_next(&prev->table.by_pid)
				      : hash_first(&m->by_pid, hash_of_number((uint64_t)pid));

	for (; node; node = hash_next(node)) {
		struct vm *vm = container_of(node, struct vm, table.by_pid);

		if (vm->pid == pid && (!list || vm->table.list == list))
			return vm;
	}
	return NULL;
}

struct vm *manager_next_of_pid(const struct manager *m, pid_t pid, const struct vm *prev)
{
	return manager_next_pid(m, &m->vms, pid, prev);
}

bool vm_has_lost_pid(const struct vm *vm, uint64_t start_time)
{
	return vm->start_time && start_time != PROCESS_NEVER_STARTED &&
	       vm->start_time != start_time;
}

struct vm *manager_next_of_process(const struct manager *m, pid_t pid, uint64_t start_time,
				   const struct vm *prev)
{
	struct vm *vm = manager_next_of_pid(m, pid, prev);

	while (vm && vm_has_lost_pid(vm, start_time))
		vm = manager_next_of_pid(m, pid, vm);
	return vm;
}

bool manager_knows_pid(const struct manager *m, pid_t pid)
{
	const struct vm *vm = manager_next_pid(m, NULL, pid, NULL);
	uint64_t start_time = vm ? process_find_start(pid) : 0;

	while (vm && vm_has_lost_pid(vm, start_time))
		vm = manager_next_pid(m, NULL, pid, vm);
	return vm != NULL;
}
