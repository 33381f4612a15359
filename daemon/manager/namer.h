/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VMMs call their guests. To find that out means to look into another process, which may take
 * as long as that likes: so it is done in a thread, one process after the other.
 */
#ifndef EAGERSPLITD_NAMER_H
#define EAGERSPLITD_NAMER_H

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/util.h"

struct backend;
struct guest_names;
struct namer;
struct worker_pool;

/* @names: what it calls its guest, NULL: nothing, or that cannot be found out. From the event loop. */
typedef void (*namer_found_fn)(void *userdata, pid_t pid, const struct guest_names *names);

/* Asks the host of @backend, which outlives it, as does @pool. 0 or -ENOMEM, or as sd_event_add_time(). */
int namer_new(struct namer **ret, sd_event *event, struct backend *backend,
	      struct worker_pool *pool, namer_found_fn found, void *userdata);

/* Once no job of the pool runs any more. Returns NULL. */
struct namer *namer_free(struct namer *n);
DEFINE_CLEANUP(struct namer *, namer_free);

/*
 * Asks for what process @pid calls its guest; each question has an answer. One that failed for want
 * of something, or of time, is asked again, for as long as that is so. 0; -ENOBUFS: too many wait
 * for theirs; -ENOMEM.
 */
int namer_ask(struct namer *n, pid_t pid);

#endif /* EAGERSPLITD_NAMER_H */
