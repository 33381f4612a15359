/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a VM's migration goes: when what happened, and what preparing it cost. It is fed with
 * what the VM is after each change; in the end it is told as a struct passage. Pure: the
 * clock is the caller's.
 */
#ifndef EAGERSPLITD_COURSE_H
#define EAGERSPLITD_COURSE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/passage.h"

struct vm;

/*
 * Dirty logging that has stopped is the end of a migration, but not how it ended: that is
 * said a moment later, or it was cancelled. The same holds of a VM that is gone, whose VMM
 * may end before whoever announced its migration is told.
 */
#define COURSE_SETTLE_USEC UINT64_C(10000000)

/**
 * struct course_time - what time it is
 * @realtime_usec: CLOCK_REALTIME, for whoever reads when something was
 * @boottime_usec: CLOCK_BOOTTIME, for how long ago that is: the other one may be set meanwhile
 */
struct course_time {
	uint64_t realtime_usec;
	uint64_t boottime_usec;
};

/*
 * Takes note of what @vm is by now. True when a migration has ended by it, which @ret then
 * is; another may have begun.
 */
bool course_note(struct course *course, const struct vm *vm, struct course_time now,
		 struct passage *ret);

/*
 * The same when @vm is gone, or not looked after any more. False also when it is gone and it is
 * yet to be said how its migration ended.
 */
bool course_leave(struct course *course, const struct vm *vm, struct course_time now,
		  struct passage *ret);

/*
 * Goes on with one that another daemon has noted: where it did not say when it ended in terms of this
 * boot's time, that is @boottime_usec, now.
 */
void course_resume(struct course *course, uint64_t boottime_usec);

/* When course_settle() has something to do, CLOCK_BOOTTIME; UINT64_MAX: never. */
uint64_t course_get_settling(const struct course *course);

/* Ends what nobody has said the end of, if it is time (@boottime_usec UINT64_MAX: it is): as course_note(). */
bool course_settle(struct course *course, const struct vm *vm, uint64_t boottime_usec,
		   struct passage *ret);

#endif /* EAGERSPLITD_COURSE_H */
