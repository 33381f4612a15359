/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many messages users can cause by VMs that nobody has announced anything of: the journal
 * takes so many of a service and drops the rest, and these are not to be others'.
 */
#ifndef EAGERSPLITD_LOG_QUOTA_H
#define EAGERSPLITD_LOG_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

/* A user's messages in that time. journald drops what is more than 10000 of a service in 30 s. */
#define LOG_QUOTA_MAX  500
#define LOG_QUOTA_NSEC (30 * NSEC_PER_SEC)

/* Users that are told from each other; all others have a quota together. */
#define LOG_QUOTA_USERS 16

struct log_quota;

/* 0 or -ENOMEM. */
int log_quota_new(struct log_quota **ret);

/* Returns NULL. */
struct log_quota *log_quota_free(struct log_quota *q);
DEFINE_CLEANUP(struct log_quota *, log_quota_free);

/*
 * Whether user @uid (-1: not known) may cause one more at @now (CLOCK_MONOTONIC, nanoseconds).
 * @ret_missed: how many he might not since the last that he might; 0 unless that is to be said.
 */
bool log_quota_allow(struct log_quota *q, int64_t uid, uint64_t now, uint64_t *ret_missed);

/* The same now, and says how many. NULL: there is no limit. */
bool log_quota_ask(struct log_quota *q, int64_t uid);

#endif /* EAGERSPLITD_LOG_QUOTA_H */
