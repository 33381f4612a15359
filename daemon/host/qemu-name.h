/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a QEMU calls its guest: the option -name. */
#ifndef EAGERSPLITD_QEMU_NAME_H
#define EAGERSPLITD_QEMU_NAME_H

#include <stddef.h>
#include <sys/types.h>

/*
 * The guest's name in a command line as /proc/PID/cmdline has it: arguments of
 * @size bytes in all, each ended by a NUL byte. Follows qemu(1), -name, and
 * its rule that a comma in a value is doubled. 0, and @name is a string;
 * -ENOENT: this is no QEMU, or it has no name; -ENAMETOOLONG. Pure.
 */
int qemu_name_parse(const char *cmdline, size_t size, char *name, size_t name_size);

/* The same for the process with the id @pid; other negative errnos: it cannot be read. */
int qemu_name_of_process(pid_t pid, char *name, size_t name_size);

#endif /* EAGERSPLITD_QEMU_NAME_H */
