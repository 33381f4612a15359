/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VMM's file descriptor of its VM, fetched from outside. */
#ifndef EAGERSPLITD_KVM_FD_H
#define EAGERSPLITD_KVM_FD_H

#include <sys/types.h>

/*
 * Duplicates the lowest-numbered KVM VM descriptor of the process that @pidfd
 * stands for and that had the id @pid. Returns the duplicate, owned by the
 * caller, and in @ret_number the number it has over there.
 *
 * -ENOTTY: it has none; -ESRCH: it is gone; -EPERM, -EACCES: not permitted
 * (CAP_SYS_PTRACE, or the same user, is what it takes).
 */
int kvm_fd_get(int pidfd, pid_t pid, int *ret_number);

#endif /* EAGERSPLITD_KVM_FD_H */
