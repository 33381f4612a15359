/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of VMs, for the next daemon: files in a folder, named by the VMs' ids, each
 * written whole or not at all.
 */
#ifndef EAGERSPLITD_VM_STORE_H
#define EAGERSPLITD_VM_STORE_H

#include "base/util.h"
#include "store/vm-record.h"

struct vm_store;

/* For the folder "vms" of @folder, which is opened if that is possible by now. 0 or -ENOMEM. */
int vm_store_new(struct vm_store **ret, const char *folder);

/* Returns NULL. */
struct vm_store *vm_store_free(struct vm_store *s);
DEFINE_CLEANUP(struct vm_store *, vm_store_free);

/*
 * Opens the folder, made if it is not there, in place of one that is there no longer. 0: it is the
 * one that was open, 1: another, in which nothing may be, or a negative errno: there is none.
 */
int vm_store_open(struct vm_store *s);

/* Whether the record of a VM will stay as it is whatever is said: the folder is read-only. */
bool vm_store_contradicts(const struct vm_store *s, uint64_t vm_id);

/*
 * Writes @record in place of what there was of that VM, which is removed also on error. 0 or a
 * negative errno.
 */
int vm_store_save(struct vm_store *s, const struct vm_record *record);

/* Removes a VM's record, if there is one. */
void vm_store_remove(struct vm_store *s, uint64_t vm_id);

/*
 * Reads the record of a VM. 0, -ENOENT: there is none, -EBADMSG: it cannot be understood, or another
 * negative errno.
 */
int vm_store_read(struct vm_store *s, uint64_t vm_id, struct vm_record *ret);

/*
 * Has @found called for each record. One for which it returns false, and all
 * that cannot be understood, are removed. 0 or a negative errno, also where it is only some that cannot
 * be read for now: these stay.
 */
int vm_store_load(struct vm_store *s, bool (*found)(void *userdata, const struct vm_record *record),
		  void *userdata);

#endif /* EAGERSPLITD_VM_STORE_H */
