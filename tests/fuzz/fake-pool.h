/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of the pools of threads (worker.h): jobs begin and end when they are told to, in
 * any order, and none blocks.
 */
#ifndef EAGERSPLITD_FAKE_POOL_H
#define EAGERSPLITD_FAKE_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* Has the job that waits longest begin, if a thread is free for it. False: none does. */
bool pool_begin_job(void);

/* Has one of those that have begun do what it is for. False: there is none. */
bool pool_run_job(size_t which);

/* Tells the loop of a job that has ended. False: there is none. */
bool pool_end_job(void);

/* Whether the job that is running now has been told to end soon. */
bool pool_is_interrupted(void);

#endif /* EAGERSPLITD_FAKE_POOL_H */
