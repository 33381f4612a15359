// SPDX-License-Identifier: GPL-2.0-or-later
/* Preloaded: valgrind knows no pidfds. As one of a process that does not end while a figure is taken. */
#include <sys/eventfd.h>
#include <sys/types.h>

int pidfd_open(pid_t pid, unsigned int flags);

int pidfd_open(pid_t pid, unsigned int flags)
{
	(void)pid;
	(void)flags;
	return eventfd(0, EFD_CLOEXEC);
}
