/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other processes, by pidfd and by what /proc says of them. */
#ifndef EAGERSPLITD_PROCESS_H
#define EAGERSPLITD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A pidfd of the process with the id @pid. -EINVAL: no id; -ESRCH: there is no
 * such process (the ids of threads that do not lead theirs are none).
 */
int process_open(pid_t pid);

/* Whether the process has exited, reaped or not. */
bool process_is_gone(int pidfd);

/* The id that the process behind @pidfd has, -ESRCH when it is gone, or another negative errno. */
pid_t process_get_pid(int pidfd);

/* When a process that is not to be seen started, see process_find_start(): none did. */
#define PROCESS_NEVER_STARTED ((uint64_t)INT64_MAX)

/*
 * When the process with the id @pid started, in clock ticks since boot: with
 * the id it tells processes apart until the next boot (proc(5), starttime).
 * 0, -ESRCH, or another negative errno.
 */
int process_get_start_time(pid_t pid, uint64_t *ret);

/* The same of whatever process that is; PROCESS_NEVER_STARTED: none that is to be seen. */
uint64_t process_find_start(pid_t pid);

/* The user that the process with the id @pid is of, or a negative errno, -ESRCH: it is gone. */
int64_t process_get_uid(pid_t pid);

/* A file that processes execute. */
struct program {
	uint32_t device_major;
	uint32_t device_minor;
	uint64_t inode;
};

/*
 * What the process with the id @pid executes, without asking whoever is behind that file: 0, or a
 * negative errno; -ENOENT: it has ended.
 */
int process_get_program(pid_t pid, struct program *ret);

/* The process that thread @tid belongs to, or -ESRCH. */
pid_t process_of_thread(pid_t tid);

#endif /* EAGERSPLITD_PROCESS_H */
