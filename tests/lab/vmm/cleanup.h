/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ownership of file descriptors and memory, freed at the end of a scope. */
#ifndef LAB_CLEANUP_H
#define LAB_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

#define auto_fd	  __attribute__((cleanup(cleanup_fd))) int
#define auto_free __attribute__((cleanup(cleanup_free)))

#endif
