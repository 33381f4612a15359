// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/anon-inode.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool anon_inode_is(int fd, const char *name)
{
	char path[64], link[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(link, sizeof(link), "anon_inode:%s", name);
	n = readlink(path, target, sizeof(target));
	return n == (ssize_t)strlen(link) && memcmp(target, link, (size_t)n) == 0;
}
