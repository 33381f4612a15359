// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded into the daemon: as long as the file $FAKE_FAULTS begins with an errno (32 bits, 0: none),
 * calls that could fail by that do; where 32 bits that are not 0 follow, only those in which a splitter
 * of the simulated host runs, or surveys. Its own are those of the simulated host and of the records. And
 * files whose paths, as they are opened by, begin with $FAKE_SLOW are opened as long as nobody has locked
 * the file $FAKE_GATE, and else once that is over.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* As the file begins. */
static const struct {
	atomic_int error;
	atomic_int only_runs;
} * fault;

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAKE_FAULTS");
	int fd = path ? NEXT(open)(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = NEXT(mmap)(NULL, sizeof(*fault), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		fault = map;
}

/* What a call can want that there is too little of. */
enum wants {
	WANTS_DESCRIPTOR = 1 << 0,
	WANTS_TO_WRITE = 1 << 1,
	WANTS_A_VM = 1 << 2,
};

/* Whether the call fails, and errno is why. */
static bool fails(unsigned int wants)
{
	int error = fault ? fault->error : 0;

	if (!error || (fault->only_runs && !(wants & WANTS_A_VM)))
		return false;
	if ((error == EMFILE || error == ENFILE) && !(wants & WANTS_DESCRIPTOR))
		return false;
	if ((error == ENOSPC || error == EROFS) && !(wants & WANTS_TO_WRITE))
		return false;
	errno = error;
	return true;
}

/* Of a file that is open: what it is by then is what will be read. */
static int wait_at_gate(int opened, const char *path)
{
	const char *slow = getenv("FAKE_SLOW"), *gate = getenv("FAKE_GATE");
	int error = errno, fd;

	if (!slow || !gate || strncmp(path, slow, strlen(slow)) != 0)
		return opened;
	fd = NEXT(open)(gate, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && NEXT(flock)(fd, LOCK_SH) < 0 && errno == EINTR)
		;
	close(fd);
	errno = error;
	return opened;
}

static unsigned int wants_of(int flags)
{
	return WANTS_DESCRIPTOR | (flags & O_CREAT ? WANTS_TO_WRITE : 0);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(wants_of(flags)) ? -1 : wait_at_gate(NEXT(open)(path, flags, mode), path);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (fails(wants_of(flags)))
		return -1;
	return wait_at_gate(NEXT(openat)(dir, path, flags, mode), path);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	return fails(WANTS_TO_WRITE) ? -1 : NEXT(mkdirat)(dir, path, mode);
}

int mkfifoat(int dir, const char *path, mode_t mode)
{
	return fails(WANTS_TO_WRITE) ? -1 : NEXT(mkfifoat)(dir, path, mode);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return fails(WANTS_TO_WRITE) ? -1 : NEXT(renameat)(from_dir, from, to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags)
{
	return fails(WANTS_TO_WRITE) ? -1 : NEXT(renameat2)(from_dir, from, to_dir, to, flags);
}

/* Nothing can be removed only from what is read-only. */
int unlinkat(int dir, const char *path, int flags)
{
	if (fault && fault->error == EROFS) {
		errno = EROFS;
		return -1;
	}
	return NEXT(unlinkat)(dir, path, flags);
}

int faccessat(int dir, const char *path, int mode, int flags)
{
	if (mode & W_OK && fault && fault->error == EROFS) {
		errno = EROFS;
		return -1;
	}
	return NEXT(faccessat)(dir, path, mode, flags);
}

int flock(int fd, int operation)
{
	/* Who looks whether another one has a lock is told by EAGAIN that it has. */
	if (!(operation & LOCK_NB) && fails(0))
		return -1;
	return NEXT(flock)(fd, operation);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	/* Memory of the process's own is another matter. */
	if (fd >= 0 && fails(WANTS_A_VM))
		return MAP_FAILED;
	return NEXT(mmap)(address, size, protection, flags, fd, offset);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	if (fault && fault->error != EAGAIN && fails(WANTS_DESCRIPTOR))
		return -1;
	return NEXT(accept4)(fd, address, size, flags);
}

int pidfd_open(pid_t pid, unsigned int flags);

int pidfd_open(pid_t pid, unsigned int flags)
{
	return fails(WANTS_DESCRIPTOR) ? -1 : NEXT(pidfd_open)(pid, flags);
}
