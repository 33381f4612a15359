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

/**
 * struct kvm_vms - the VMs of a process
 * @numbers: their descriptors over there, the lowest of each, in order
 * @fds: duplicates of those, owned
 */
struct kvm_vms {
	size_t n;
	int numbers[KVM_FD_MAX];
	int fds[KVM_FD_MAX];
};

/* Closes the duplicates. */
void kvm_vms_done(struct kvm_vms *vms);

/*
 * Fetches the VMs of the process that @pidfd stands for and that has the id
 * @pid, the first KVM_FD_MAX among its first KVM_FD_LOOK_MAX descriptors; that
 * there are more of those is logged. May hang: what else has to be duplicated to be seen is a
 * stranger's, and so is the closing of it. 0, and @ret is to be done with, also on error.
 *
 * -ENOTTY: it has none, or is this one; -ESRCH: it is gone; -EPERM, -EACCES: not permitted
 * (CAP_SYS_PTRACE, or the same user, is what it takes).
 */
int kvm_fd_list(int pidfd, pid_t pid, struct kvm_vms *ret);

/*
 * Duplicates the VM that descriptor @number of that process is; owned by the
 * caller. -ENXIO: it is none (any more); others as above.
 */
int kvm_fd_get(int pidfd, int number);

#endif /* EAGERSPLITD_KVM_FD_H */
