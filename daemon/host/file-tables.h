/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of open files that have been seen. Any number of processes can share one
 * (CLONE_FILES), and looking through it once is enough.
 */
#ifndef EAGERSPLITD_FILE_TABLES_H
#define EAGERSPLITD_FILE_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"

struct file_tables;

/* 0 or -ENOMEM. */
int file_tables_new(struct file_tables **ret);

/* Returns NULL. */
struct file_tables *file_tables_free(struct file_tables *t);
DEFINE_CLEANUP(struct file_tables *, file_tables_free);

/*
 * Takes note of the table of process @pid, which is user @uid's. False: it has been seen, in another
 * process of that user. Where that cannot be told, it has not. May hang, because of that user: what
 * others have is not compared with it.
 */
bool file_tables_add(struct file_tables *t, pid_t pid, int64_t uid);

#endif /* EAGERSPLITD_FILE_TABLES_H */
