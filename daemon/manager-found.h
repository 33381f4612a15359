/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs that were found, and those that are seen to be gone. */
#ifndef EAGERSPLITD_MANAGER_FOUND_H
#define EAGERSPLITD_MANAGER_FOUND_H

struct look;
struct manager;

/*
 * Takes the VMs that are new in @look, and lets go of those that are not there any more.
 * Returns how many are new, or @look->n where that is a negative errno.
 */
int manager_take_look(struct manager *m, const struct look *look);

#endif /* EAGERSPLITD_MANAGER_FOUND_H */
