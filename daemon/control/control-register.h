/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The method Register: others look into the process, or at the splitter that was sent
 * with the call, and the answer waits for that.
 */
#ifndef EAGERSPLITD_CONTROL_REGISTER_H
#define EAGERSPLITD_CONTROL_REGISTER_H

#include <stdbool.h>

#include "base/util.h"
#include "varlink/params.h"

struct manager;
struct pending_calls;
struct registrations;
struct strangers;
struct varlink_connection;
struct vm;

/* The parameters of Register, for registrations_begin(). */
extern const struct varlink_field registration_fields[];

/* 0 or -ENOMEM. @pending: where calls wait for the survey that follows. */
int registrations_new(struct registrations **ret, struct manager *manager,
		      struct pending_calls *pending, struct strangers *strangers);

/* Forgets those that are under way, whose ends must not be told any more. Returns NULL. */
struct registrations *registrations_free(struct registrations *r);
DEFINE_CLEANUP(struct registrations *, registrations_free);

/*
 * Answers the call at hand, at once or later. @privileged: who calls may register any VM,
 * otherwise only one of his own that he hands over. See varlink_method_handler.
 */
int registrations_begin(struct registrations *r, struct varlink_connection *connection,
			const void *params, bool privileged);

/* See manager_observer.vm_registered(). */
void registrations_end(struct registrations *r, void *caller, int result, struct vm *vm);

#endif /* EAGERSPLITD_CONTROL_REGISTER_H */
