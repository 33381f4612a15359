/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder for a test's files, which is removed with all that is in it. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_TEMPLATE "/tmp/eagersplitd-unit.XXXXXX"

static inline int scratch_remove_one(const char *path, const struct stat *st, int flag,
				     struct FTW *ftw)
{
	return remove(path);
}

static inline void scratch_remove(const char *dir)
{
	(void)nftw(dir, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif /* SCRATCH_H */
