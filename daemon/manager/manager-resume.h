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

/*
 * Of VMs that have not been found by now: they are gone, unless their process is there, which may be one
 * that is not to be looked into, and register its VM yet.
 */
void manager_drop_records(struct manager *m);

#endif /* EAGERSPLITD_MANAGER_RESUME_H */
