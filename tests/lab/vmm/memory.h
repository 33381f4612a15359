/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host memory behind a memslot. */
#ifndef LAB_MEMORY_H
#define LAB_MEMORY_H

#include <stdint.h>

#include "vm.h"

/*
 * Maps @bytes at an address that lies in a 1 GiB frame as @gpa does, so that
 * blocks of any size fit. @fd: what is mapped, for the caller to close, -1 if it has
 * no file. Returns 0, or a negative errno; memory_unmap() frees it.
 */
int memory_map(void **ret, int *fd, uint64_t gpa, uint64_t bytes, enum vm_backing backing);
void memory_unmap(void *memory, uint64_t bytes);

/*
 * Unmaps a part of what has a file, and maps it again, in one step. Returns 0 or a
 * negative errno.
 */
int memory_remap(void *memory, int fd, uint64_t offset, uint64_t bytes);

#endif
