// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The folder /proc/PID/fd would name the file behind each descriptor, but it
 * is closed to other users even with CAP_SYS_PTRACE. /proc/PID/fdinfo is open
 * to it and lists the same numbers. What is behind one is seen after it has
 * been duplicated, in our own /proc/self/fd, which leaves no room for races: a
 * process that took over the pid fails the duplication, and what the number
 * stood for before does not matter.
 */
#include "host/kvm-fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/util.h"
#include "host/anon-inode.h"
#include "host/proc-parse.h"

#define KVM_VM "kvm-vm"

/* Reads the file @name of /proc in @dir as a string, as far as @size goes. */
static bool read_file(int dir, const char *name, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

/*
 * Whether the fdinfo file @name in @dir could be that of a VM: on the mount of
 * anonymous inodes, and with no line beyond those that every file has. It keeps
 * from duplicating what is none of our business; where in doubt it is true.
 */
static bool fdinfo_is_plausible(int dir, const char *name, int anon_mount)
{
	char text[1024];

	return !read_file(dir, name, text, sizeof(text)) || proc_fdinfo_is_plain(text, anon_mount);
}

/* The mount that anonymous inodes are on, seen at one of our own; -1: not known. */
static int anon_mount_id(void)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);
	char path[64], text[1024];

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return read_file(AT_FDCWD, path, text, sizeof(text)) ? proc_parse_mount(text) : -1;
}

static int compare_numbers(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int numbers_add(int **numbers, size_t *n, int number)
{
	int *more;

	/* Grown by doubling: whenever it is full at a power of two. */
	if ((*n & (*n - 1)) == 0) {
		more = reallocarray(*numbers, *n ? *n * 2 : 1, sizeof(**numbers));
		if (!more)
			return -ENOMEM;
		*numbers = more;
	}
	(*numbers)[(*n)++] = number;
	return 0;
}

/*
 * The numbers, in order, that could be a VM's: *@ret is the caller's also on error.
 * The kernel lists the lowest first, so they are the ones where it is cut short.
 */
static int list_candidates(pid_t pid, int anon_mount, int **ret, size_t *ret_n)
{
	struct dirent *entry;
	uint64_t number;
	char path[64];
	size_t n = 0;
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && (errno = 0, entry = readdir(dir))) {
		if (parse_u64(entry->d_name, &number) < 0 || number > INT_MAX)
			continue;
		if (n++ == KVM_FD_LOOK_MAX) {
			log_info("Process %d has more than %d descriptors: no VM is looked for "
				 "behind the others",
				 (int)pid, KVM_FD_LOOK_MAX);
			errno = 0;
			break;
		}
		if (fdinfo_is_plausible(dirfd(dir), entry->d_name, anon_mount))
			r = numbers_add(ret, ret_n, (int)number);
	}
	if (r == 0 && errno)
		r = errno == ENOENT ? -ESRCH : -errno;
	closedir(dir);
	if (*ret_n)
		qsort(*ret, *ret_n, sizeof(**ret), compare_numbers);
	return r;
}

static bool candidate_is_plausible(pid_t pid, int number, int anon_mount)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, number);
	return fdinfo_is_plausible(AT_FDCWD, path, anon_mount);
}

/**
 * struct look - one at a process
 * @numbers: of the VMs that were found, their descriptors over there
 */
struct look {
	int pidfd;
	pid_t pid;
	int anon_mount;
	kvm_fd_found_fn found;
	void *userdata;
	int numbers[KVM_FD_MAX];
	size_t n;
};

/*
 * Whether the VM behind descriptor @number over there is known. The process is asked, as we have none
 * to compare with; it may lie, which is to its own harm, or the kernel cannot tell: then it is told
 * of twice.
 */
static bool look_knows(const struct look *look, int number)
{
	for (size_t i = 0; i < look->n; i++)
		if (syscall(SYS_kcmp, look->pid, look->pid, KCMP_FILE, look->numbers[i], number) ==
		    0)
			return true;
	return false;
}

/*
 * Tells of the VM behind descriptor @number over there, if there is one, and a new one. It is closed
 * before the next one is fetched, which may hang: whoever looks at us then finds none.
 */
static int look_behind(struct look *look, int number)
{
	_cleanup_close_ int fd = -1;

	/* Once more, as late as possible: what is none of ours is better left alone. */
	if (!candidate_is_plausible(look->pid, number, look->anon_mount) ||
	    look_knows(look, number))
		return 0;
	fd = kvm_fd_get(look->pidfd, number);
	if (fd < 0)
		return fd == -ENXIO ? 0 : fd;
	look->numbers[look->n++] = number;
	return look->found(look->userdata, fd, number);
}

int kvm_fd_list(int pidfd, pid_t pid, kvm_fd_found_fn found, void *userdata)
{
	struct pollfd process = { .fd = pidfd, .events = POLLIN };
	struct look look = { .pidfd = pidfd,
			     .pid = pid,
			     .anon_mount = anon_mount_id(),
			     .found = found,
			     .userdata = userdata };
	_cleanup_free_ int *numbers = NULL;
	size_t n = 0;
	int r;

	/* What we have is others', fetched for a moment. */
	if (pid == getpid())
		return -ENOTTY;
	r = list_candidates(pid, look.anon_mount, &numbers, &n);
	for (size_t i = 0; i < n && r == 0 && look.n < KVM_FD_MAX; i++)
		r = look_behind(&look, numbers[i]);
	/* What has no descriptors left is no answer about the process that was meant. */
	if (r >= 0 && poll(&process, 1, 0) > 0)
		r = -ESRCH;
	if (r < 0)
		return r;
	return look.n ? 0 : -ENOTTY;
}

int kvm_fd_get(int pidfd, int number)
{
	_cleanup_close_ int fd = pidfd_getfd(pidfd, number, 0);

	if (fd < 0)
		return errno == EBADF ? -ENXIO : -errno;
	return anon_inode_is(fd, KVM_VM) ? take_fd(&fd) : -ENXIO;
}
