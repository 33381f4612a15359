/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Only one daemon is at work in a runtime folder: two would each spend the budget. */
#ifndef EAGERSPLITD_RUNTIME_LOCK_H
#define EAGERSPLITD_RUNTIME_LOCK_H

/*
 * A descriptor that has @folder locked, until it is closed or the daemon ends, the caller's; or
 * -EBUSY: another daemon has; or another negative errno, as where there is no such folder.
 */
int runtime_lock_take(const char *folder);

#endif /* EAGERSPLITD_RUNTIME_LOCK_H */
