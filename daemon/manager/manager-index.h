/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VMs are in which of the manager's lists, and where, by what the host calls them and by process. */
#ifndef EAGERSPLITD_MANAGER_INDEX_H
#define EAGERSPLITD_MANAGER_INDEX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/vm.h"

struct manager;

/* Moves @vm to the end of @list, one of the manager's; NULL: to none. */
void manager_move_vm(struct manager *m, struct vm *vm, struct vm_list *list);

/* The VM of @list (NULL: of any) with the id that the host gave it, or NULL. */
struct vm *manager_find_in(const struct manager *m, const struct vm_list *list, uint64_t id);

/* The VM registered with that id, or NULL. */
struct vm *manager_find_host_vm(struct manager *m, uint64_t id);

/* Whether it is known, be it that it is not wanted. */
bool manager_knows(const struct manager *m, uint64_t id);

/*
 * Whether the id of @vm's process is another's by now, which started at @start_time, as
 * process_find_start() says it.
 */
bool vm_has_lost_pid(const struct vm *vm, uint64_t start_time);

/*
 * The VM registered of that process after @prev (NULL: any), or NULL. In no order, and also where
 * the id is another process's by now, see vm_has_lost_pid().
 */
struct vm *manager_next_of_pid(const struct manager *m, pid_t pid, const struct vm *prev);

/* The same of those whose it is, which started at @start_time, see process_find_start(). */
struct vm *manager_next_of_process(const struct manager *m, pid_t pid, uint64_t start_time,
				   const struct vm *prev);

/* Whether any VM of the process with that id is known, be it that it is not wanted. */
bool manager_knows_pid(const struct manager *m, pid_t pid);

#endif /* EAGERSPLITD_MANAGER_INDEX_H */
