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

/* The folder in @dir that has those of VMs of that process and number. */
static void format_folder(char buf[static NAME_SIZE], pid_t pid, int number)
{
	snprintf(buf, NAME_SIZE, PREFIX "%d.%d", (int)pid, number);
}

/* The same, open; or a negative errno. */
static int open_folder(int dir, pid_t pid, int number)
{
	char name[NAME_SIZE];
	int fd;

	format_folder(name, pid, number);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* One of another may come at any time: then it stays. */
static void remove_folder(int dir, pid_t pid, int number)
{
	char name[NAME_SIZE];

	format_folder(name, pid, number);
	(void)unlinkat(dir, name, AT_REMOVEDIR);
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

static int make_folder(int dir, pid_t pid, int number)
{
	char name[NAME_SIZE];

	format_folder(name, pid, number);
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return errno == ENOENT ? -ENODEV : -errno;
	return open_folder(dir, pid, number);
}

int sim_splitter_make(int dir, const struct sim_splitter_name *name)
{
	static atomic_uint made;
	char start[NAME_SIZE], path[2 * NAME_SIZE];
	int fd;

	format_start(start, name);
	do {
		_cleanup_close_ int folder = make_folder(dir, name->pid, name->number);

		snprintf(path, sizeof(path), "%s%d.%u", start, (int)getpid(), made++);
		fd = folder < 0 ? folder : make_open(folder, path);
		/* Who has closed the last one has removed the folder meanwhile. */
	} while (fd == -EEXIST || fd == -ENOENT);
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

static int parse_name(const char *name, struct sim_splitter_name *ret)
{
	int pid;

	if (sscanf(name, PREFIX "%d.%d-%" SCNu64 "-", &pid, &ret->number, &ret->id) != 3)
		return -EINVAL;
	ret->pid = pid;
	return 0;
}

int sim_splitter_parse(int dir, int fd, struct sim_splitter_name *ret)
{
	_cleanup_close_ int folder = -1;
	struct stat here, there;
	char buf[PATH_MAX];
	const char *name;

	name = read_name(fd, buf);
	if (!name || parse_name(name, ret) < 0)
		return -ENOTTY;
	folder = open_folder(dir, ret->pid, ret->number);
	if (folder < 0 || fstat(fd, &there) < 0 ||
	    fstatat(folder, name, &here, AT_SYMLINK_NOFOLLOW) < 0 || here.st_ino != there.st_ino ||
	    here.st_dev != there.st_dev || !S_ISFIFO(here.st_mode))
		return -ENOTTY;
	return 0;
}

/* For writing, which asks for somebody who has it open; -1, and errno ENXIO: there is nobody. */
static int open_others(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENXIO) {
		(void)unlinkat(dir, name, 0);
		errno = ENXIO;
	}
	return fd;
}

void sim_splitter_close(int dir, int fd)
{
	struct sim_splitter_name parsed;
	char buf[PATH_MAX];
	const char *name = read_name(fd, buf);
	int folder, others;

	close(fd);
	if (!name || parse_name(name, &parsed) < 0)
		return;
	folder = open_folder(dir, parsed.pid, parsed.number);
	others = folder < 0 ? -1 : open_others(folder, name);
	closep(&others);
	closep(&folder);
	remove_folder(dir, parsed.pid, parsed.number);
}

int sim_splitter_set_hold(int fd, bool hold)
{
	return flock(fd, hold ? LOCK_EX : LOCK_UN) < 0 ? -errno : 0;
}

/* Whether the splitter of that name holds its VM: 1, 0, or a negative errno. */
static int is_holding(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/*
 * Has @each called for each splitter in the folder @fd, which it takes, whose name begins so, until that
 * returns a negative errno. The sum of what it has, or that.
 */
static int for_all(int fd, const char *start, int (*each)(int folder, const char *name))
{
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = 0, sum = 0;

	if (!folder) {
		r = fd < 0 ? fd : -errno;
		closep(&fd);
		/* Of which there is no folder there is no splitter. */
		return r == -ENOENT ? 0 : r;
	}
	while (r >= 0 && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, start, strlen(start)) != 0)
			continue;
		r = each(fd, entry->d_name);
		sum += r;
	}
	closedir(folder);
	return r < 0 ? r : sum;
}

int sim_splitter_count_holders(int dir, int fd, const struct sim_splitter_name *name, bool *ret_own)
{
	char start[NAME_SIZE], buf[PATH_MAX];
	int folder = open_folder(dir, name->pid, name->number);
	const char *own = read_name(fd, buf);
	int r = own && folder >= 0 ? is_holding(folder, own) : 0;

	if (r < 0) {
		closep(&folder);
		return r;
	}
	*ret_own = r;
	format_start(start, name);
	return for_all(folder, start, is_holding);
}

static int tell(int folder, const char *name)
{
	_cleanup_close_ int fd = open_others(folder, name);

	/* One that nobody has open any more need not be told. */
	if (fd < 0)
		return errno == ENXIO || errno == ENOENT ? 0 : -errno;
	/* One that is full has been told. */
	(void)!write(fd, "!", 1);
	return 0;
}

int sim_splitter_tell_all(int dir, pid_t pid, int number)
{
	return for_all(open_folder(dir, pid, number), PREFIX, tell);
}

static int clean(int folder, const char *name)
{
	int fd = open_others(folder, name);

	closep(&fd);
	return 0;
}

void sim_splitter_clean(int dir, const char *name)
{
	int pid, number;

	if (sscanf(name, PREFIX "%d.%d", &pid, &number) != 2)
		return;
	(void)for_all(open_folder(dir, pid, number), PREFIX, clean);
	remove_folder(dir, pid, number);
}

void sim_splitter_drain(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}
