/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child of a test, which ends with it. */
#ifndef CHILD_H
#define CHILD_H

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * For a child to begin with. Of a test that fails nobody ends it: it would keep open what the
 * test writes to, and whoever reads that would wait for ever.
 */
static inline void child_end_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
}

/* fork(). */
static inline pid_t child_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		child_end_with(parent);
	return pid;
}

#endif /* CHILD_H */
