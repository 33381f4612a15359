// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sim-splitter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/util.h"

#define PREFIX "splitter-"

/* Room for a name of this kind, whatever the numbers. */
#define NAME_SIZE 128

/* All but the last part: what the splitters of a VM begin with. */
static void format_start(char buf[static NAME_SIZE], const struct sim_splitter_name *name)
{
	snprintf(buf, NAME_SIZE, PREFIX "%d.%d-%" PRIu64 "-", (int)name->pid, name->number,
		 name->id);
}

/*
 * It has its name once it is open: one that nobody has open is left over, to whoever looks, and
 * removed.
 */
static int make_open(int dir, const char *path)
{
	char hidden[2 * NAME_SIZE + 1];
	_cleanup_close_ int fd = -1;
	int r;

	snprintf(hidden, sizeof(hidden), ".%s", path);
	if (mkfifoat(dir, hidden, 0600) < 0 && errno != EEXIST)
		return -errno;
	/* For both, so that it is never at its end. */
	fd = openat(dir, hidden, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && renameat2(dir, hidden, dir, path, RENAME_NOREPLACE) == 0)
		return take_fd(&fd);
	r = -errno;
	(void)unlinkat(dir, hidden, 0);
	return r;
}

int sim_splitter_make(int dir, const struct sim_splitter_name *name)
{
	static atomic_uint made;
	char start[NAME_SIZE], path[2 * NAME_SIZE];
	int fd;

	format_start(start, name);
	do {
		snprintf(path, sizeof(path), "%s%d.%u", start, (int)getpid(), made++);
		fd = make_open(dir, path);
	} while (fd == -EEXIST);
	return fd;
}

/* What the descriptor is called, without the folder; NULL: not as a splitter is. */
static const char *read_name(int fd, char buf[static PATH_MAX])
{
	char path[64];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buf, PATH_MAX - 1);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (!slash || strncmp(slash + 1, PREFIX, strlen(PREFIX)) != 0)
		return NULL;
	return slash + 1;
}

bool sim_splitter_looks_like_one(int fd)
{
	char buf[PATH_MAX];

	return read_name(fd, buf) != NULL;
}

int sim_splitter_parse(int dir, int fd, struct sim_splitter_name *ret)
{
	struct stat here, there;
	char buf[PATH_MAX];
	const char *name;
	int pid;

	name = read_name(fd, buf);
	if (!name || sscanf(name, PREFIX "%d.%d-%" SCNu64 "-", &pid, &ret->number, &ret->id) != 3)
		return -ENOTTY;
	ret->pid = pid;
	if (fstat(fd, &there) < 0 || fstatat(dir, name, &here, AT_SYMLINK_NOFOLLOW) < 0 ||
	    here.st_ino != there.st_ino || here.st_dev != there.st_dev || !S_ISFIFO(here.st_mode))
		return -ENOTTY;
	return 0;
}

/* For writing, which asks for somebody who has it open; -1: there is nobody. */
static int open_others(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENXIO)
		(void)unlinkat(dir, name, 0);
	return fd;
}

void sim_splitter_close(int dir, int fd)
{
	char buf[PATH_MAX];
	const char *name = read_name(fd, buf);
	int others;

	close(fd);
	if (!name)
		return;
	others = open_others(dir, name);
	closep(&others);
}

int sim_splitter_set_hold(int fd, bool hold)
{
	return flock(fd, hold ? LOCK_EX : LOCK_UN) < 0 ? -errno : 0;
}

/* Whether the splitter of that name holds its VM. */
static bool is_holding(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Has @each called for each splitter whose name begins so. */
static void for_all(int dir, const char *start,
		    void (*each)(int dir, const char *name, void *userdata), void *userdata)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!folder) {
		closep(&fd);
		return;
	}
	while ((entry = readdir(folder)))
		if (strncmp(entry->d_name, start, strlen(start)) == 0)
			each(dir, entry->d_name, userdata);
	closedir(folder);
}

static void count_holder(int dir, const char *name, void *userdata)
{
	*(unsigned int *)userdata += is_holding(dir, name);
}

unsigned int sim_splitter_count_holders(int dir, int fd, const struct sim_splitter_name *name,
					bool *ret_own)
{
	unsigned int n = 0;
	char start[NAME_SIZE], buf[PATH_MAX];
	const char *own = read_name(fd, buf);

	format_start(start, name);
	for_all(dir, start, count_holder, &n);
	*ret_own = own && is_holding(dir, own);
	return n;
}

static void tell(int dir, const char *name, void *userdata)
{
	_cleanup_close_ int fd = open_others(dir, name);

	/* One that is full has been told. */
	if (fd >= 0)
		(void)!write(fd, "!", 1);
}

void sim_splitter_tell_all(int dir, pid_t pid, int number)
{
	char start[NAME_SIZE];

	snprintf(start, sizeof(start), PREFIX "%d.%d-", (int)pid, number);
	for_all(dir, start, tell, NULL);
}

void sim_splitter_clean(int dir, const char *name)
{
	_cleanup_close_ int fd = -1;

	if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
		fd = open_others(dir, name);
}

void sim_splitter_drain(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}
