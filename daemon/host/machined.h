/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names that systemd-machined knows VMs by, org.freedesktop.machine1(5).
 * It is asked on the system bus, where there is one, and only while it runs; who has no question
 * is not there.
 */
#ifndef EAGERSPLITD_MACHINED_H
#define EAGERSPLITD_MACHINED_H

#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/util.h"

struct machined;

/* Told of the machine that process @pid belongs to. */
typedef void (*machined_name_fn)(void *userdata, pid_t pid, const char *name);

/* Connects to nothing yet. 0 or a negative errno. */
int machined_new(struct machined **ret, sd_event *event, machined_name_fn named, void *userdata);

/* Nobody is told of anything any more. Returns NULL. */
struct machined *machined_free(struct machined *m);
DEFINE_CLEANUP(struct machined *, machined_free);

/* Asks for @pid's machine. Where there is no answer, or none to ask, nobody is told. */
void machined_ask(struct machined *m, pid_t pid);

#endif /* EAGERSPLITD_MACHINED_H */
