/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How VMs come from the daemon before. */
#ifndef EAGERSPLITD_MANAGER_RESUME_H
#define EAGERSPLITD_MANAGER_RESUME_H

struct manager;

/*
 * Takes over what the daemon before left in the store, and the splitters that were kept, once, as
 * soon as the host can split.
 */
void manager_load(struct manager *m);

#endif /* EAGERSPLITD_MANAGER_RESUME_H */
