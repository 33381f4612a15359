// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded: valgrind knows no pidfds. As one of a process that does not end while a figure is taken.
 * Nor does it know processes that share descriptors (strangers.c): one has a copy, and what clients
 * have sent stays open.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

int pidfd_open(pid_t pid, unsigned int flags);
long syscall(long number, ...);

int pidfd_open(pid_t pid, unsigned int flags)
{
	(void)pid;
	(void)flags;
	return eventfd(0, EFD_CLOEXEC);
}

long syscall(long number, ...)
{
	long (*real)(long number, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number != SYS_clone)
		return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	/* flags, stack, pidfd */
	*(int *)a[2] = pidfd_open(0, 0);
	return fork();
}
