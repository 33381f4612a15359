/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How migrations went: told when they end. */
#ifndef EAGERSPLITD_MANAGER_HISTORY_H
#define EAGERSPLITD_MANAGER_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

struct history;
struct manager;
struct vm;

/* Keeps the history of migrations in @folder, which it begins to read. 0 or -ENOMEM. */
int manager_keep_history(struct manager *m, const char *folder);

/* Borrowed, valid until the loop runs again. */
const struct history *manager_get_history(const struct manager *m);

/* Takes note of how @vm's migration goes, and tells of its end. */
void manager_note_course(struct manager *m, struct vm *vm);

/* The same when @vm is gone, or not wanted any more. */
void manager_end_course(struct manager *m, struct vm *vm);

/* Ends one that has ended, if nobody has said how and it is time (see course_settle()); whether it did. */
bool manager_settle_course(struct manager *m, struct vm *vm, uint64_t boottime_usec);

/* Has manager_on_settle() called at that time, CLOCK_BOOTTIME, or before; UINT64_MAX: never. */
void manager_arm_settle(struct manager *m, uint64_t usec);

#endif /* EAGERSPLITD_MANAGER_HISTORY_H */
