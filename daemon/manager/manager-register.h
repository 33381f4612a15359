/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registering VMs, and unregistering them. */
#ifndef EAGERSPLITD_MANAGER_REGISTER_H
#define EAGERSPLITD_MANAGER_REGISTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct manager;
struct vm;

/* The word of who may change something, see below. */
#define REGISTER_TOLD (-1)

/*
 * How many may be under way, as each has a descriptor and goes on without whoever has begun it: of
 * one user, and of all; the last ones are for who may change something. As many as he may have
 * connections, so that nobody who waits for the answer meets them.
 */
#define REGISTRATIONS_MAX      256
#define REGISTRATIONS_TOLD_MIN 16
#define REGISTRATIONS_UID_MAX  64

/*
 * Takes a VM of process @pid that is not registered yet, whether it was found
 * before or not, and calls it @name, unless that is NULL. @teller: REGISTER_TOLD, or the user who
 * registers his own, and whose it is: the name is no more than a claim, see manager-names.h.
 * @splitter is one of that VM, which is taken, but not on error; -1: the process is looked into. A
 * survey starts at once; the observer hears of its end as VM_CHANGE_PROGRESS. @ret is
 * owned by the manager.
 *
 * 1: it is registered; 0: it is going to be, and the observer hears of that, with @caller.
 * -EINVAL: bad pid or name; -ESRCH: no such process; -ENOTTY: not a VMM, or no splitter;
 * -ENODEV: the VM is gone; -EEXIST: name or VM taken; -EUSERS: the table is full;
 * -EOPNOTSUPP: the kernel lacks the ioctls (host_info tells why); -EPERM, -EACCES: may not
 * look into that process; -EAGAIN: as many as may be are under way.
 */
int manager_register(struct manager *m, pid_t pid, const char *name, int64_t teller, int splitter,
		     void *caller, struct vm **ret);

/*
 * Whether @fd, which others gave us, may be a splitter, and is one to be had a look at
 * without harm; that does nothing to it.
 */
bool manager_looks_like_splitter(const struct manager *m, int fd);

/*
 * Forgets the VM: it is gone from the table on return (vm_removed has been
 * called); its hold is released as soon as the call in flight has stopped. It
 * is left alone until it is registered again.
 * -ENOENT: no VM of that name; -EROFS: see manager_check_record().
 */
int manager_unregister(struct manager *m, const char *name);

#endif /* EAGERSPLITD_MANAGER_REGISTER_H */
