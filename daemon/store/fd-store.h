/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Splitters in the service manager's hands while the daemon is replaced, see
 * sd_pid_notify_with_fds(3), FDSTORE=1: what they hold stays held. It drops those whose
 * VM is gone. Without a service manager they are nowhere.
 */
#ifndef EAGERSPLITD_FD_STORE_H
#define EAGERSPLITD_FD_STORE_H

#include <stdbool.h>
#include <stdint.h>

struct notify;

/* Whether a descriptor that was passed under that name is one of them. */
bool fd_store_is_ours(const char *name);

/* Has the splitter @fd of that VM kept, of which none is kept by then; it stays the caller's. */
void fd_store_add(struct notify *notify, uint64_t vm_id, int fd);

/* Has it kept no longer. */
void fd_store_remove(struct notify *notify, uint64_t vm_id);

#endif /* EAGERSPLITD_FD_STORE_H */
