/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Anonymous inodes: files of the kernel's without a place, known by a name that nobody else can give. */
#ifndef EAGERSPLITD_ANON_INODE_H
#define EAGERSPLITD_ANON_INODE_H

#include <stdbool.h>

/*
 * Whether what is behind @fd is one that the kernel calls @name. Nothing is asked of the file
 * itself, whoever made it.
 */
bool anon_inode_is(int fd, const char *name);

#endif /* EAGERSPLITD_ANON_INODE_H */
