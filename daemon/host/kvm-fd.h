/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMMs' file descriptors of their VMs, fetched from outside. */
#ifndef EAGERSPLITD_KVM_FD_H
#define EAGERSPLITD_KVM_FD_H

#include <stddef.h>
#include <sys/types.h>

/* The most VMs of one process that are looked after. */
#define KVM_FD_MAX 64

/*
 * The most descriptors of one process that are looked at, those with the lowest
 * numbers: a process may have as many as it likes, and each takes some ten
 * microseconds. VMMs open the VM among the first, and have not nearly so many.
 */
#define KVM_FD_LOOK_MAX 16384

/*
 * Told of a VM: the descriptor @number over there, of which @vm is a duplicate that is closed when this
 * returns. 0: go on; 1: that is enough; or a negative errno, which ends it.
 */
typedef int (*kvm_fd_found_fn)(void *userdata, int vm, int number);

/*
 * Tells @found of the VMs of the process that @pidfd stands for and that has the id
 * @pid, by the lowest of the descriptors of each, in order: the first KVM_FD_MAX among its first
 * KVM_FD_LOOK_MAX descriptors; that there are more of those is logged. One that changes its descriptors
 * meanwhile may be told to have a VM twice. May hang: what else has to be duplicated to be seen is a
 * stranger's, and so is the closing of it; no VM is open here then. 0; what @found has been told of counts
 * for nothing on error.
 *
 * -ENOTTY: it has none, or is this one; -ESRCH: it is gone; -EPERM, -EACCES: not permitted
 * (CAP_SYS_PTRACE, or the same user, is what it takes).
 */
int kvm_fd_list(int pidfd, pid_t pid, kvm_fd_found_fn found, void *userdata);

/*
 * Duplicates the VM that descriptor @number of that process is; owned by the
 * caller. -ENXIO: it is none (any more); others as above.
 */
int kvm_fd_get(int pidfd, int number);

#endif /* EAGERSPLITD_KVM_FD_H */
