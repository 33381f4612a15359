/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of strangers are closed by a thread of its own: who is behind one can have
 * that wait as long as he likes, and keeps nobody but those like him.
 */
#ifndef EAGERSPLITD_STRANGERS_H
#define EAGERSPLITD_STRANGERS_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "base/util.h"

struct strangers;

/* 0 or a negative errno. */
int strangers_new(struct strangers **ret, sd_event *event);

/* Leaves the thread behind if it waits. Returns NULL. */
struct strangers *strangers_free(struct strangers *s);
DEFINE_CLEANUP(struct strangers *, strangers_free);

/* Whether another may come: there are not too many yet. */
bool strangers_have_room(const struct strangers *s);

/* Takes @fd, and closes it. */
void strangers_close(struct strangers *s, int fd);

#endif /* EAGERSPLITD_STRANGERS_H */
