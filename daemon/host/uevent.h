/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What KVM announces of VMs by uevent. A message is a summary line
 * (ACTION@DEVPATH) and KEY=VALUE strings, each ended by a NUL byte; see
 * kobject_uevent_env() in the kernel's lib/kobject_uevent.c and
 * kvm_uevent_notify_change() in its virt/kvm/kvm_main.c. Pure.
 */
#ifndef EAGERSPLITD_UEVENT_H
#define EAGERSPLITD_UEVENT_H

#include <stddef.h>
#include <sys/types.h>

/* A message that is longer is none of the kernel's: it sends 2 KiB and a header at the most. */
#define UEVENT_MESSAGE_MAX 8192

enum uevent_type {
	UEVENT_VM_CREATED,
	UEVENT_VM_DESTROYED,
};

/**
 * struct uevent - what happened
 * @tid: the thread that created the VM
 */
struct uevent {
	enum uevent_type type;
	pid_t tid;
};

/*
 * Understands a message of @size bytes at @data. 1: it is KVM's, about a VM,
 * and in @ret; 0: it is about something else; -EBADMSG: it is malformed.
 */
int uevent_parse(const void *data, size_t size, struct uevent *ret);

#endif /* EAGERSPLITD_UEVENT_H */
