/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a call about a VM has come to, and what follows from that for the next one. */
#ifndef EAGERSPLITD_WORK_RESULT_H
#define EAGERSPLITD_WORK_RESULT_H

#include <errno.h>
#include <stdbool.h>

#include "splitting/work-group.h"

struct work;

/* Whether a call that returned @r has found no VM any more. */
static inline bool error_means_gone(int r)
{
	return r == -ENODEV;
}

/*
 * Takes what the call of @work for @step, which returned @r, has changed, before anything follows from
 * it. Whether that is news.
 */
bool work_take_result(struct work *work, enum step step, int r);

/* What follows from it: where the walk goes on, what is tried again, what has failed. */
void work_handle_result(struct work *work, enum step step, int r);

/* The same where nothing was wanted but to let go. */
void work_after_release(struct work *work, int r);

#endif /* EAGERSPLITD_WORK_RESULT_H */
