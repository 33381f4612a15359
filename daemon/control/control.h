/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CONTROL_H
#define EAGERSPLITD_CONTROL_H

/* The control interface, org.eagersplit.Manager: what it says is done by the manager. */

#include <systemd/sd-event.h>

#include "base/util.h"

struct control;
struct manager;

/*
 * Serves the manager, which must outlive the control, on a listening socket, and is
 * the manager's observer from now on. Takes listen_fd, also on error. Returns 0 or a
 * negative errno.
 */
int control_new(struct control **ret, sd_event *event, struct manager *manager, int listen_fd);

/* Closes all connections. Returns NULL. */
struct control *control_free(struct control *control);
DEFINE_CLEANUP(struct control *, control_free);

#endif /* EAGERSPLITD_CONTROL_H */
