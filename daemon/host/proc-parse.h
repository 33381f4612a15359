/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What files of /proc say, as strings. Pure. See proc(5). */
#ifndef EAGERSPLITD_PROC_PARSE_H
#define EAGERSPLITD_PROC_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The process id in a line of /proc/PID/status or fdinfo that begins with @name, as in
 * "Tgid:". -ESRCH: there is none, or it is that of no process.
 */
pid_t proc_parse_pid(const char *text, const char *name);

/* The user in /proc/PID/status that the process is of; -ESRCH: it does not say. */
int64_t proc_parse_uid(const char *text);

/* The start time in /proc/PID/stat, in clock ticks since boot. 0 or -EBADMSG. */
int proc_parse_start_time(const char *text, uint64_t *ret);

/* The mount in /proc/PID/fdinfo/FD, -1: it does not say. */
int proc_parse_mount(const char *text);

/*
 * Whether /proc/PID/fdinfo/FD could be that of a VM: on @mount (-1: on any), and with no
 * line beyond those that every file has, as far as @text goes: locks can be many.
 */
bool proc_fdinfo_is_plain(const char *text, int mount);

#endif /* EAGERSPLITD_PROC_PARSE_H */
