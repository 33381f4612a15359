/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registering VMs, and unregistering them. */
#ifndef EAGERSPLITD_MANAGER_REGISTER_H
#define EAGERSPLITD_MANAGER_REGISTER_H

#include <sys/types.h>

struct manager;
struct vm;

/*
 * Takes a VM of process @pid that is not registered yet, whether it was found
 * before or not, and calls it @name, unless that is NULL. A survey starts at
 * once; the observer hears of its end as VM_CHANGE_PROGRESS. @ret is owned by
 * the manager.
 *
 * -EINVAL: bad pid or name; -ESRCH: no such process; -ENOTTY: not a VMM;
 * -EEXIST: name or VM taken; -EUSERS: the table is full; -EOPNOTSUPP: the
 * kernel lacks the ioctls (host_info tells why); -EPERM, -EACCES: may not
 * look into that process.
 */
int manager_register(struct manager *m, pid_t pid, const char *name, struct vm **ret);

/*
 * Forgets the VM: it is gone from the table on return (vm_removed has been
 * called); its hold is released as soon as the call in flight has stopped. It
 * is left alone until it is registered again.
 * -ENOENT: no VM of that name.
 */
int manager_unregister(struct manager *m, const char *name);

#endif /* EAGERSPLITD_MANAGER_REGISTER_H */
