/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host memory behind a memslot. */
#ifndef LAB_MEMORY_H
#define LAB_MEMORY_H

#include <stdint.h>

#include "vm.h"

/*
 * Maps @bytes at an address that lies in a 1 GiB frame as @gpa does, so that
 * blocks of any size fit. Returns 0, or a negative errno; memory_unmap() frees it.
 */
int memory_map(void **ret, uint64_t gpa, uint64_t bytes, enum vm_backing backing);
void memory_unmap(void *memory, uint64_t bytes);

#endif
