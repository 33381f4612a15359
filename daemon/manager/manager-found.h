/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs that were found, and those that are seen to be gone. */
#ifndef EAGERSPLITD_MANAGER_FOUND_H
#define EAGERSPLITD_MANAGER_FOUND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct backend_vm;
struct look;
struct manager;
struct vm;

/*
 * Takes a VM that was found, or whose splitter was @kept by the service manager: it goes
 * on where the daemon before left off, if that knew it. Takes @host_vm, but not on error.
 * 0, -EUSERS: the table is full, or another negative errno, also where what is known of it cannot be
 * read for now.
 */
int manager_take_vm(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
		    bool kept);

/*
 * The same for one that somebody registers, be it before it has been found: as the daemon
 * before left it, unless that was told that it is not wanted. @told: by who may change something.
 */
int manager_take_wanted(struct manager *m, struct backend_vm *host_vm, pid_t pid, int number,
			bool told, struct vm **ret);

/*
 * Takes the VMs of @look that are not known, and closes the other splitters. How many
 * were not known, or @look->n where that is a negative errno, or why one of them could not be
 * taken, if it may be later.
 */
int manager_take_look(struct manager *m, struct look *look);

/* Closes all splitters of @look. */
void manager_drop_look(struct manager *m, struct look *look);

#endif /* EAGERSPLITD_MANAGER_FOUND_H */
