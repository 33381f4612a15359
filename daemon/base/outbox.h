/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is to be told to somebody who may be slow to listen, or not listen at all: the journal,
 * say. Letters are sent in order by a thread of the outbox's own, so that who posts one never
 * waits; where too many are waiting, another one is dropped, and counted.
 */
#ifndef EAGERSPLITD_OUTBOX_H
#define EAGERSPLITD_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/util.h"

/**
 * struct letter - one of them; the head of what is to be told
 * @send: tells it, in the outbox's thread; may block, in a system call that can be cancelled
 * @free: frees it, sent or not, in any thread
 * @link, @dropped: owned by the outbox: how many were dropped that would have come next
 */
struct letter {
	void (*send)(struct letter *letter);
	void (*free)(struct letter *letter);
	TAILQ_ENTRY(letter) link;
	uint64_t dropped;
};

struct outbox;

/*
 * Creates one in which @max letters may wait, at least 1. @gap is called in its thread in place of
 * letters that were dropped, with their number. 0 or a negative errno.
 */
int outbox_new(struct outbox **ret, size_t max, void (*gap)(uint64_t dropped));

/*
 * Frees @o: what waits is sent if that takes no longer than a second in all, and given up
 * otherwise, with the one at hand. Returns NULL.
 */
struct outbox *outbox_free(struct outbox *o);
DEFINE_CLEANUP(struct outbox *, outbox_free);

/* Takes @letter, and sends it later. False: it is dropped, and freed. */
bool outbox_post(struct outbox *o, struct letter *letter);

#endif /* EAGERSPLITD_OUTBOX_H */
