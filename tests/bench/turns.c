// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded: how much CPU each turn of the program's event loop takes, between two waits of its first
 * thread. Those of a millisecond and more are lines of $BENCH_TURNS, in microseconds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long began;

static long cpu_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int is_first(void)
{
	return syscall(SYS_gettid) == getpid();
}

static void end_turn(void)
{
	const char *path = getenv("BENCH_TURNS");
	long took = cpu_usec() - began;
	FILE *file;

	if (!path || !is_first() || !began || took < 1000)
		return;
	file = fopen(path, "ae");
	if (!file)
		return;
	fprintf(file, "%ld\n", took);
	fclose(file);
}

static void begin_turn(void)
{
	if (is_first())
		began = cpu_usec();
}

#define WAIT(name, parameters, arguments)                        \
	int name parameters;                                     \
	int name parameters                                      \
	{                                                        \
		int(*wait) parameters = dlsym(RTLD_NEXT, #name); \
		int r;                                           \
                                                                 \
		end_turn();                                      \
		r = wait arguments;                              \
		begin_turn();                                    \
		return r;                                        \
	}

WAIT(epoll_wait, (int fd, struct epoll_event *events, int n, int msec), (fd, events, n, msec))
WAIT(epoll_pwait, (int fd, struct epoll_event *events, int n, int msec, const sigset_t *mask),
     (fd, events, n, msec, mask))
WAIT(epoll_pwait2,
     (int fd, struct epoll_event *events, int n, const struct timespec *time, const sigset_t *mask),
     (fd, events, n, time, mask))
