// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory.h"

#include <errno.h>
#include <linux/mman.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAME (1ull << 30)

/* As large as stage 2 has blocks of above its pages: a table of those maps so much. */
static int block_flags(void)
{
	int page_shift = __builtin_ctz(getpagesize());

	return (2 * page_shift - 3) << MAP_HUGE_SHIFT;
}

static int huge_flags(enum vm_backing backing)
{
	switch (backing) {
	case VM_BACKING_HUGE:
	case VM_BACKING_SHARED:
		return MAP_HUGETLB | block_flags();
	case VM_BACKING_HUGE_1G:
		return MAP_HUGETLB | MAP_HUGE_1GB;
	default:
		return 0;
	}
}

/* Address space only: room for a frame, of which the fitting part is kept. */
static char *reserve(uint64_t gpa, uint64_t bytes)
{
	uint64_t total = bytes + FRAME;
	char *all, *start;

	all = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return NULL;
	start = all + (((gpa - (uintptr_t)all) % FRAME) + FRAME) % FRAME;
	if (start > all)
		munmap(all, start - all);
	if (start + bytes < all + total)
		munmap(start + bytes, all + total - start - bytes);
	return start;
}

/* A file of huge pages, or -1 where there is none to be. */
static int make_file(uint64_t bytes, enum vm_backing backing)
{
	int fd, err;

	if (backing != VM_BACKING_SHARED)
		return -1;
	fd = memfd_create("memory", MFD_CLOEXEC | MFD_HUGETLB | block_flags());
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int memory_map(void **ret, int *fd, uint64_t gpa, uint64_t bytes, enum vm_backing backing)
{
	char *where = reserve(gpa, bytes), *memory;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | huge_flags(backing), err;

	if (!where)
		return -ENOMEM;
	*fd = make_file(bytes, backing);
	if (*fd >= 0)
		flags = MAP_SHARED;
	memory = *fd < -1 ? MAP_FAILED
			  : mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | flags, *fd, 0);
	if (memory == MAP_FAILED) {
		err = *fd < -1 ? *fd : -errno;
		munmap(where, bytes);
		return err;
	}
	if (backing == VM_BACKING_THP)
		madvise(memory, bytes, MADV_HUGEPAGE);
	if (backing == VM_BACKING_4K)
		madvise(memory, bytes, MADV_NOHUGEPAGE);
	*ret = memory;
	return 0;
}

void memory_unmap(void *memory, uint64_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}

int memory_remap(void *memory, int fd, uint64_t offset, uint64_t bytes)
{
	void *where = (char *)memory + offset;

	return mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) ==
			       where
		       ? 0
		       : -errno;
}
