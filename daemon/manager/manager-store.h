/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the next daemon is to know of VMs, as it is written, and where that cannot be. */
#ifndef EAGERSPLITD_MANAGER_STORE_H
#define EAGERSPLITD_MANAGER_STORE_H

#include <stddef.h>
#include <stdint.h>

struct manager;
struct vm;

/*
 * Writes @vm's record. Where that fails there is none of it, which would be out of date, and it is
 * tried again until it is written.
 */
void manager_save_vm(struct manager *m, struct vm *vm);

/*
 * Whether what is said of the VM with that id may be answered: 0, or -EROFS: it could not be
 * written, nor could the record be removed that says otherwise.
 */
int manager_check_record(struct manager *m, uint64_t id);

/* @vm is what its record said, which is written again where that has been lost since. */
void manager_save_resumed(struct manager *m, struct vm *vm);

/* Sees whether records are still where the next daemon looks for them, at most once a second. */
void manager_check_store(struct manager *m);

/* Tries to write what could not be written. */
void manager_save_unsaved(struct manager *m);

/* How many VMs have no record that holds. */
size_t manager_count_unsaved(const struct manager *m);

#endif /* EAGERSPLITD_MANAGER_STORE_H */
