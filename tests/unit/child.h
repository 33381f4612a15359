/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child of a test, which ends with it. */
#ifndef CHILD_H
#define CHILD_H

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * fork(). Of a test that fails nobody ends the child: that would keep open what the test
 * writes to, and whoever reads it would wait for ever.
 */
static inline pid_t child_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(1);
	return pid;
}

#endif /* CHILD_H */
