/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of VMs: who is in it, what they are called, and how they leave it. */
#ifndef EAGERSPLITD_MANAGER_TABLE_H
#define EAGERSPLITD_MANAGER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vm.h"

/* The most VMs that can be registered at once. */
#define MANAGER_VMS_MAX 4096

struct manager;

/* The VM of that name or id, or the only one of the process with that pid; NULL: none. */
struct vm *manager_find_vm(struct manager *m, const char *name);

/* The VM registered next after @prev (NULL: the first), or NULL. */
struct vm *manager_next_vm(struct manager *m, struct vm *prev);

/* The VM @number of the process with the id @pid: of that which has it now. Or NULL. */
struct vm *manager_find_number(struct manager *m, pid_t pid, int number);

/* The same of those that are not wanted. */
struct vm *manager_find_unwanted(struct manager *m, pid_t pid, int number);

/*
 * Adds the VM @number of the process behind @pidfd, which stays the caller's.
 * 0, -EUSERS: the table is full, or another negative errno.
 */
int manager_add_vm(struct manager *m, pid_t pid, int pidfd, int number, struct vm **ret);

/*
 * Remembers that the VM @number of the process behind @pidfd, which stays the caller's,
 * is not wanted; @held: lets go of it first. 0 or a negative errno.
 */
int manager_add_unwanted(struct manager *m, pid_t pid, int pidfd, int number, bool held);

/* Takes @vm out of the table, and lets go of it; @gone: there is nothing to let go of. */
void manager_remove_vm(struct manager *m, struct vm *vm, bool gone);

/* Frees one that is in no list any more. */
void manager_forget_vm(struct manager *m, struct vm *vm);

/* @vm, which was not wanted, is again, as another one. */
void manager_forgive(struct manager *m, struct vm *vm);

/* See machined_new(). */
void manager_on_machine_name(void *userdata, pid_t pid, const char *name);

/* Calls @vm @name. -EINVAL: that is none; -EEXIST: another VM's; -ENOMEM. */
int manager_name_vm(struct manager *m, struct vm *vm, const char *name);

/* Finds out what others call @vm, now or later. */
void manager_look_for_name(struct manager *m, struct vm *vm);

#endif /* EAGERSPLITD_MANAGER_TABLE_H */
