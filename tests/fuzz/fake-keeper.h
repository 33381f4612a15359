/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of what outlives the daemon: the folder of records (vm-store.h) and the service
 * manager's store of splitters (fd-store.h).
 */
#ifndef EAGERSPLITD_FAKE_KEEPER_H
#define EAGERSPLITD_FAKE_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a daemon says from now on is not heard: it is being killed. */
void keeper_set_deaf(bool deaf);

/* Records cannot be written from now on, for that reason, -EROFS: nor be removed; 0: they can. */
void keeper_set_error(int error);

/* Why they could not, be it that there is no folder; 0: they could. */
int keeper_get_error(void);

/* What is kept of a VM, NULL: nothing. */
const struct vm_record *keeper_find_record(uint64_t vm_id);

/* The folder of records is removed, with what is in it. */
void keeper_remove_folder(void);

/*
 * The splitters that are kept, up to @max: numbers of files (fake-host.h), the caller's. They stay
 * kept, but for those of VMs that are gone.
 */
size_t keeper_give_splitters(int *files, size_t max);

/* Forgets all. */
void keeper_clear(void);

#endif /* EAGERSPLITD_FAKE_KEEPER_H */
