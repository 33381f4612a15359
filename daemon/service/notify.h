/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service manager is told, see sd_notify(3): that the daemon is ready, what goes on, that
 * its loop turns, and which descriptors to keep. It may be slow to listen, or not listen at all, and
 * is never waited for: what it has not taken waits here until it does, and of that only the last of
 * what says the same. Without a service manager nobody is told.
 */
#ifndef EAGERSPLITD_NOTIFY_H
#define EAGERSPLITD_NOTIFY_H

#include <systemd/sd-event.h>

#include "base/util.h"

struct notify;

/* What there is to say, in the order in which what waits is said. */
enum notify_what {
	NOTIFY_RELOADING,
	NOTIFY_READY, /* of a reload, too */
	NOTIFY_STATUS,
	NOTIFY_STOPPING,
	NOTIFY_WATCHDOG,
	NOTIFY_MAX_
};

/* For the service manager that $NOTIFY_SOCKET names. 0 or a negative errno. */
int notify_new(struct notify **ret, sd_event *event);

/* Tells what waits, if that takes no longer than a second in all, and frees @n. Returns NULL. */
struct notify *notify_free(struct notify *n);
DEFINE_CLEANUP(struct notify *, notify_free);

/* Says @text, "NAME=VALUE" lines, in place of what of that kind still waits. */
void notify_say(struct notify *n, enum notify_what what, const char *format, ...) _printf_(3, 4);

/* Has @fd, which stays the caller's, kept under that name, under which nothing is kept by then. */
void notify_keep(struct notify *n, const char *name, int fd);

/* Has what is kept under that name kept no longer. */
void notify_forget(struct notify *n, const char *name);

/*
 * Says that the loop turns, as often as the service manager asks for. 1, 0: it does not ask, or a
 * negative errno.
 */
int notify_set_watchdog(struct notify *n);

#endif /* EAGERSPLITD_NOTIFY_H */
