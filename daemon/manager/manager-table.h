/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of VMs: who is in it, and how they leave it. */
#ifndef EAGERSPLITD_MANAGER_TABLE_H
#define EAGERSPLITD_MANAGER_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/vm.h"

/* The most VMs that can be registered at once. */
#define MANAGER_VMS_MAX 4096

/* Behind so many nobody gets a place but a trusted user's VMs, and who is told to be registered, or was. */
#define MANAGER_VMS_FOUND_MAX (MANAGER_VMS_MAX - 128)

/* And behind so many no other user who has as many himself. */
#define MANAGER_VMS_USER_MAX (MANAGER_VMS_MAX - 256)

struct backend_vm;
struct manager;

/* The VM registered next after @prev (NULL: the first), or NULL. */
struct vm *manager_next_vm(struct manager *m, struct vm *prev);

/* Why a VM is to be in the table. */
enum manager_reason {
	MANAGER_FOUND, /* it is there */
	MANAGER_WANTED, /* who may change something says so, or it was before */
	MANAGER_KEPT, /* the same, and the service manager has its splitter */
};

/* Whether there is room for another one of user @uid, -1: not known. */
bool manager_has_room(const struct manager *m, int64_t uid, enum manager_reason reason);

/*
 * Adds a VM, to begin with a survey, be it one that was not wanted. Takes @host_vm, but not on
 * error. 0, -EUSERS: the table is full, or what its user may have of it, or another negative errno.
 */
int manager_add_vm(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
		   enum manager_reason reason, struct vm **ret);

/* Remembers that the VM is not wanted. Takes @host_vm, but not on error. */
int manager_add_unwanted(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number);

/* Takes @vm out of the table, and lets go of it; @gone: there is nothing to let go of. */
void manager_remove_vm(struct manager *m, struct vm *vm, bool gone);

/* Frees one that is in no list any more, or has it departed, and closes its splitter. */
void manager_forget_vm(struct manager *m, struct vm *vm);

#endif /* EAGERSPLITD_MANAGER_TABLE_H */
