/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a QEMU calls its guest: the options -name and -uuid. */
#ifndef EAGERSPLITD_QEMU_NAME_H
#define EAGERSPLITD_QEMU_NAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The longest name of a guest, and a UUID, each with its NUL. */
#define GUEST_NAME_SIZE 256
#define UUID_SIZE	37

/**
 * struct guest_names - what a process says of its guest
 * @uid: whose process that is, -1: not known
 * @name: empty: none
 * @uuid: in lower case; empty: none
 */
struct guest_names {
	int64_t uid;
	char name[GUEST_NAME_SIZE];
	char uuid[UUID_SIZE];
};

/*
 * The guest's name in a command line as /proc/PID/cmdline has it: arguments of
 * @size bytes in all, each ended by a NUL byte. Follows qemu(1), -name, and
 * its rule that a comma in a value is doubled. 0, and @name is a string;
 * -ENOENT: this is no QEMU, or it has no name; -ENAMETOOLONG. Pure.
 */
int qemu_name_parse(const char *cmdline, size_t size, char *name, size_t name_size);

/* The same of the UUID. 0 or -ENOENT: it has none, or what is given is none. Pure. */
int qemu_uuid_parse(const char *cmdline, size_t size, char ret[static UUID_SIZE]);

/* A UUID as it is written, and to @ret in lower case. 0 or -EINVAL. Pure. */
int uuid_parse(const char *text, char ret[static UUID_SIZE]);

/*
 * Both, and nothing for its user, of the process with the id @pid: -ENOENT: it has neither; another
 * negative errno: it cannot be read.
 */
int qemu_names_of_process(pid_t pid, struct guest_names *ret);

#endif /* EAGERSPLITD_QEMU_NAME_H */
