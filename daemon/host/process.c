// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/proc-parse.h"

int process_open(pid_t pid)
{
	int fd;

	if (pid <= 0)
		return -EINVAL;
	fd = pidfd_open(pid, 0);
	if (fd >= 0)
		return fd;
	/* The id of a thread that does not lead its process: EINVAL, or ENOENT. */
	return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

bool process_is_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Reads a small file of /proc as a string. Its length, or a negative errno; -ESRCH: not there. */
static int read_proc(const char *path, char *buffer, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, buffer, size - 1);
	if (n < 0)
		return -errno;
	buffer[n] = '\0';
	return (int)n;
}

pid_t process_get_pid(int pidfd)
{
	char path[64], text[1024];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = read_proc(path, text, sizeof(text));
	return r < 0 ? r : proc_parse_pid(text, "Pid:");
}

int process_get_start_time(pid_t pid, uint64_t *ret)
{
	char path[64], text[1024];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = read_proc(path, text, sizeof(text));
	if (r < 0)
		return r;
	return proc_parse_start_time(text, ret);
}

uint64_t process_find_start(pid_t pid)
{
	uint64_t start;

	return process_get_start_time(pid, &start) < 0 ? PROCESS_NEVER_STARTED : start;
}

int64_t process_get_uid(pid_t pid)
{
	char path[64], text[4096];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	r = read_proc(path, text, sizeof(text));
	return r < 0 ? r : proc_parse_uid(text);
}

int process_get_program(pid_t pid, struct program *ret)
{
	struct statx st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &st) < 0)
		return -errno;
	*ret = (struct program){ st.stx_dev_major, st.stx_dev_minor, st.stx_ino };
	return 0;
}

pid_t process_of_thread(pid_t tid)
{
	char path[64], text[4096];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	r = read_proc(path, text, sizeof(text));
	return r < 0 ? r : proc_parse_pid(text, "Tgid:");
}
