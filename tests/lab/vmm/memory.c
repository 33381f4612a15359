// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory.h"

#include <errno.h>
#include <linux/mman.h>
#include <stddef.h>
#include <sys/mman.h>

#define FRAME (1ull << 30)

static int huge_flags(enum vm_backing backing)
{
	switch (backing) {
	case VM_BACKING_HUGE_2M:
		return MAP_HUGETLB | MAP_HUGE_2MB;
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

int memory_map(void **ret, uint64_t gpa, uint64_t bytes, enum vm_backing backing)
{
	char *where = reserve(gpa, bytes), *memory;
	int err;

	if (!where)
		return -ENOMEM;
	memory = mmap(where, bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | huge_flags(backing), -1, 0);
	if (memory == MAP_FAILED) {
		err = -errno;
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
