/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Splitters that are done with are closed by a thread: it may fall to whoever closes
 * one to destroy the VM, which takes as long as that has memory.
 */
#ifndef EAGERSPLITD_CLOSING_H
#define EAGERSPLITD_CLOSING_H

#include "base/util.h"
#include "host/backend.h"

struct closing;
struct worker_pool;

/* @pool: whose threads do it. 0 or -ENOMEM. */
int closing_new(struct closing **ret, struct worker_pool *pool);

/* The pool is freed: what is left, and what is added, waits for closing_free(). */
void closing_stop(struct closing *c);

/* After closing_stop(); closes what is left itself. Returns NULL. */
struct closing *closing_free(struct closing *c);
DEFINE_CLEANUP(struct closing *, closing_free);

/* Takes @vm, which no call is in flight on, and closes it in a moment. NULL: there is none. */
void closing_add(struct closing *c, struct backend_vm *vm);

#endif /* EAGERSPLITD_CLOSING_H */
