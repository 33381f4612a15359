/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of Reload, which are answered once the configuration has been read. */
#ifndef EAGERSPLITD_CONTROL_RELOAD_H
#define EAGERSPLITD_CONTROL_RELOAD_H

#include <stdint.h>

#include "base/util.h"

struct manager;
struct reloads;
struct varlink_connection;

/* Begins without any. 0 or -ENOMEM. */
int reloads_new(struct reloads **ret, struct manager *manager);

/* Forgets all calls. Returns NULL. */
struct reloads *reloads_free(struct reloads *r);
DEFINE_CLEANUP(struct reloads *, reloads_free);

/* Begins what the call at hand of @connection asks for. 0 or -ENOMEM. */
int reloads_begin(struct reloads *r, struct varlink_connection *connection);

/* What the manager tells its observer: answers the calls up to that number. */
void reloads_end(struct reloads *r, uint64_t number, int result, const char *error);

#endif /* EAGERSPLITD_CONTROL_RELOAD_H */
