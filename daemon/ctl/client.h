/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_CLIENT_H
#define EAGERSPLITD_CTL_CLIENT_H

/*
 * A connection to eagersplitd. All calls block, for as long as --timeout= lets them; all
 * failures have been reported on stderr, and in the outcome of the command.
 */

#include <stdbool.h>

#include <json-c/json.h>

#include "base/util.h"
#include "ctl/ctl.h"
#include "varlink/message.h"

struct client;

/* Connects. Returns 0 or a negative errno. */
int client_connect(struct client **ret, const struct ctl *ctl);

/* The same, for some seconds, where nobody listens: while eagersplitd is started anew. Patient. */
int client_connect_patiently(struct client **ret, const struct ctl *ctl);

/* The same as client_connect(), and says nothing. */
int client_try(struct client **ret, const struct ctl *ctl);

/*
 * From now on, a connection that is lost is made again, for as long as a call may take, and what was
 * called last is called again: for what may be called twice, and for watching.
 */
void client_set_patient(struct client *client);

/* Has before() called whenever something is going to be said on stderr about a call. */
void client_set_before_report(struct client *client, void (*before)(void *userdata),
			      void *userdata);

/* Closes the connection. Returns NULL. */
struct client *client_free(struct client *client);
DEFINE_CLEANUP(struct client *, client_free);

/*
 * Calls a method, of org.eagersplit.Manager if the name is without an interface, and takes
 * parameters; NULL: no memory. Replies are got by client_receive(), with more as many
 * as it says, and without a limit of time. Returns 0 or a negative errno.
 */
int client_send(struct client *client, const char *method, json_object *parameters, bool more);

/*
 * Waits for a reply. Returns 0 also for one that is an error, which is not reported yet;
 * a negative errno: the connection is of no use any more.
 */
int client_receive(struct client *client, struct varlink_reply *ret);

/*
 * Calls a method and gets the parameters of its reply, which the caller owns. NULL: it
 * failed. With --json, what came is printed, too.
 */
json_object *client_call(struct client *client, const char *method, json_object *parameters);

/* The same on a connection of its own. */
json_object *client_call_once(const struct ctl *ctl, const char *method, json_object *parameters);

/* The same as client_call(), but prints nothing but what went wrong. */
json_object *client_ask(struct client *client, const char *method, json_object *parameters);

/*
 * Calls a method, and says nothing. Returns 0 and the parameters of its reply, which the
 * caller owns, -EREMOTEIO if that was an error, or another negative errno.
 */
int client_try_ask(struct client *client, const char *method, json_object *parameters,
		   json_object **ret);

/* Says on stderr what a reply that is an error means, and what to do; --json: prints it, too. */
void client_report(struct client *client, const struct varlink_reply *reply);

/* True if the reply is this error of org.eagersplit.Manager. */
bool client_reply_is_error(const struct varlink_reply *reply, const char *error);

#endif /* EAGERSPLITD_CTL_CLIENT_H */
