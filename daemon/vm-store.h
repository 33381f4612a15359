/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of VMs, for the next daemon: files in a folder, named by the VMs' ids, each
 * written whole or not at all.
 */
#ifndef EAGERSPLITD_VM_STORE_H
#define EAGERSPLITD_VM_STORE_H

#include "base/util.h"
#include "vm-record.h"

struct vm_store;

/* The folder "vms" of @folder, made if it is not there. 0 or a negative errno. */
int vm_store_new(struct vm_store **ret, const char *folder);

/* Returns NULL. */
struct vm_store *vm_store_free(struct vm_store *s);
DEFINE_CLEANUP(struct vm_store *, vm_store_free);

/* Writes @record in place of what there was of that VM. 0 or a negative errno. */
int vm_store_save(struct vm_store *s, const struct vm_record *record);

/* Removes a VM's record, if there is one. */
void vm_store_remove(struct vm_store *s, uint64_t vm_id);

/*
 * Has @found called for each record. One for which it returns false, and all
 * that cannot be understood, are removed. 0 or a negative errno.
 */
int vm_store_load(struct vm_store *s, bool (*found)(void *userdata, const struct vm_record *record),
		  void *userdata);

#endif /* EAGERSPLITD_VM_STORE_H */
