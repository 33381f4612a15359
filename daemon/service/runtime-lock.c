// SPDX-License-Identifier: GPL-2.0-or-later
#include "service/runtime-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/util.h"
#include "host/process.h"

/* In the folder; it says who has it locked: a process and when that started. */
#define LOCK_NAME "lock"
/*
 * Locked while that is taken, so for a moment, and by daemons only: the folder itself, as whatever
 * strangers may open, can be locked by them, too.
 */
#define GUARD_NAME "lock.guard"

/*
 * Whether the daemon that has locked it is gone, and only processes that have its descriptors, too,
 * keep it locked: they wait for strangers, see strangers.h.
 */
static bool is_left_over(int fd)
{
	uint64_t start, now;
	char text[64] = "";
	int pid, r;

	if (pread(fd, text, sizeof(text) - 1, 0) < 0 ||
	    sscanf(text, "%d %" SCNu64, &pid, &start) != 2)
		return false;
	r = process_get_start_time(pid, &now);
	return r == -ESRCH || (r == 0 && now != start);
}

static int open_lock(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

/* The guard is locked meanwhile. */
static int take(int folder)
{
	_cleanup_close_ int fd = open_lock(folder, LOCK_NAME);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return take_fd(&fd);
	if (errno != EWOULDBLOCK)
		return -errno;
	if (!is_left_over(fd))
		return -EBUSY;
	if (unlinkat(folder, LOCK_NAME, 0) < 0)
		return -errno;
	close(fd);
	fd = open_lock(folder, LOCK_NAME);
	if (fd < 0)
		return fd;
	return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : take_fd(&fd);
}

int runtime_lock_take(const char *folder)
{
	_cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int guard = -1;
	uint64_t start;
	int fd;

	if (dir < 0)
		return -errno;
	guard = open_lock(dir, GUARD_NAME);
	if (guard < 0)
		return guard;
	if (flock(guard, LOCK_EX) < 0)
		return -errno;
	fd = take(dir);
	/* Where that cannot be said, it cannot be found to be left over, either. */
	if (fd >= 0 && ftruncate(fd, 0) == 0 && process_get_start_time(getpid(), &start) == 0)
		(void)dprintf(fd, "%d %" PRIu64 "\n", (int)getpid(), start);
	return fd;
}
