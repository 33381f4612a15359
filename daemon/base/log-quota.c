// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log-quota.h"

#include <errno.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/ratelimit.h"

/* A user who has caused a message. */
struct user {
	int64_t uid;
	struct ratelimit limit;
};

/**
 * struct log_quota - by user
 * @others: of those for whom there is no place at @users
 */
struct log_quota {
	struct user users[LOG_QUOTA_USERS];
	size_t n;
	struct ratelimit others;
};

static const struct ratelimit fresh = { .interval = LOG_QUOTA_NSEC, .burst = LOG_QUOTA_MAX };

int log_quota_new(struct log_quota **ret)
{
	struct log_quota *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->others = fresh;
	*ret = q;
	return 0;
}

struct log_quota *log_quota_free(struct log_quota *q)
{
	free(q);
	return NULL;
}

/* The place of one who has caused none for long, and of whom there is nothing left to be said. */
static struct user *find_idle(struct log_quota *q, uint64_t now)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct ratelimit *limit = &q->users[i].limit;

		if (now - limit->begin >= limit->interval && limit->n <= limit->burst)
			return &q->users[i];
	}
	return NULL;
}

static struct ratelimit *find_limit(struct log_quota *q, int64_t uid, uint64_t now)
{
	struct user *user = NULL;

	for (size_t i = 0; i < q->n; i++)
		if (q->users[i].uid == uid)
			return &q->users[i].limit;
	user = q->n < LOG_QUOTA_USERS ? &q->users[q->n++] : find_idle(q, now);
	if (!user)
		return &q->others;
	*user = (struct user){ .uid = uid, .limit = fresh };
	return &user->limit;
}

bool log_quota_allow(struct log_quota *q, int64_t uid, uint64_t now, uint64_t *ret_missed)
{
	return ratelimit_allow(find_limit(q, uid, now), now, ret_missed);
}

bool log_quota_ask(struct log_quota *q, int64_t uid)
{
	uint64_t missed;

	if (!q)
		return true;
	if (!log_quota_allow(q, uid, now_nsec(CLOCK_MONOTONIC), &missed))
		return false;
	if (missed)
		log_info("%" PRIu64 " message%s about VMs of user %" PRIi64 " left out", missed,
			 plural(missed), uid);
	return true;
}
