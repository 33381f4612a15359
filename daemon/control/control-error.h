/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The errors that calls of the control interface get, and what they have in common. */
#ifndef EAGERSPLITD_CONTROL_ERROR_H
#define EAGERSPLITD_CONTROL_ERROR_H

#include <sys/types.h>

#include <json-c/json.h>

struct manager;
struct varlink_connection;

/* { name: value }, taking value. NULL: no memory. */
json_object *control_parameter(const char *name, json_object *value);

/* Each ends the call at hand, and returns what varlink_connection_error() does. */
int control_error_no_such_vm(struct varlink_connection *connection, const char *name);
/* Of a process. */
int control_error_pid(struct varlink_connection *connection, const char *error, pid_t pid);
int control_error_unsupported(struct varlink_connection *connection, const char *reason);
/* What would be said of that VM would be contradicted by the record of it; r: a negative errno. */
int control_error_not_kept(struct varlink_connection *connection, const char *vm, int r);
/* Unsupported, because the host is; or else because of the errno r. */
int control_error_host(struct manager *manager, struct varlink_connection *connection, int r);

#endif /* EAGERSPLITD_CONTROL_ERROR_H */
