/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's side: other processes are looked into by a helper, which has the capability that
 * takes, and which a stranger can make hang. Then it is left behind, and the next call has
 * another one; but what else is that user's is left alone until it has ended. All calls block, for
 * a few seconds at most a process, and can be made by any thread; they take turns.
 */
#ifndef EAGERSPLITD_FETCHER_H
#define EAGERSPLITD_FETCHER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"
#include "host/fetch-protocol.h"

struct fetcher;

/**
 * struct fetched - the VMs of a process
 * @numbers: their descriptors over there
 * @splitters: of them, owned by whoever has this
 * @uid: whose process it is
 */
struct fetched {
	size_t n;
	int64_t uid;
	int numbers[FETCH_VMS_MAX];
	int splitters[FETCH_VMS_MAX];
};

/* Closes what was fetched. */
void fetched_done(struct fetched *fetched);

/*
 * @socket: where systemd starts the helper; NULL: @program is started instead, with no more
 * rights than ours. Both are copied. @timeout_msec: what a process may hold it up for; its
 * start may take longer. 0 or -ENOMEM; the helper is started by the first call.
 */
int fetcher_new(struct fetcher **ret, const char *socket, const char *program,
		unsigned int timeout_msec);

/* Returns NULL. The helper ends by itself. */
struct fetcher *fetcher_free(struct fetcher *f);
DEFINE_CLEANUP(struct fetcher *, fetcher_free);

/*
 * Makes splitters of the VMs of process @pid. 0, @ret->n at least 1. -ENOTTY: it has none; -ESRCH:
 * it is gone; -EPERM, -EACCES: not permitted; -ETIMEDOUT: it makes the helper hang; -EBUSY: one
 * hangs because of its user, or too many do, or there is none to be had, for whatever reason.
 */
int fetcher_look(struct fetcher *f, pid_t pid, struct fetched *ret);

/* What QEMU calls the guest of process @pid. 0, -ENOENT: nothing, or as above. */
int fetcher_names(struct fetcher *f, pid_t pid, struct guest_names *ret);

/*
 * Has @found called for each process with a VM until that returns other than 0, which is
 * returned. Goes on behind a process that makes the helper hang, or end, or that is one of many of
 * its user's that take their time, and leaves out what else is that user's. 0, -EBUSY: of some it is
 * not known whether they have one, for that or for want of something; or as above.
 */
int fetcher_scan(struct fetcher *f, int (*found)(void *userdata, pid_t pid), void *userdata);

#endif /* EAGERSPLITD_FETCHER_H */
