/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pidfds of VMMs in the service manager's hands while the daemon is replaced,
 * see sd_pid_notify_with_fds(3), FDSTORE=1. Without one they are nowhere.
 */
#ifndef EAGERSPLITD_FD_STORE_H
#define EAGERSPLITD_FD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Whether a descriptor that was passed under that name is ours. Then it is kept
 * no longer: whoever has a use for it adds it anew.
 */
bool fd_store_claim(const char *name);

/* Has @pidfd, of the process with the id @pid, kept; it stays the caller's. */
void fd_store_add(pid_t pid, int pidfd);

/* Has it kept no longer. */
void fd_store_remove(pid_t pid);

/*
 * Takes the pidfd of the process with the id @pid from the @n at @pidfds,
 * where it becomes -1. -1: there is none.
 */
int fd_store_take(int *pidfds, size_t n, pid_t pid);

#endif /* EAGERSPLITD_FD_STORE_H */
