// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-error.h"

#include <errno.h>
#include <string.h>

#include "base/control-names.h"
#include "base/transient.h"
#include "manager/manager.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/message.h"

json_object *control_parameter(const char *name, json_object *value)
{
	json_object *parameters = json_object_new_object();

	return varlink_json_finish(parameters, varlink_json_set(parameters, name, value));
}

int control_error_no_such_vm(struct varlink_connection *connection, const char *name)
{
	return varlink_connection_error_string(connection, CONTROL_ERROR_NO_SUCH_VM, "vm", name);
}

int control_error_pid(struct varlink_connection *connection, const char *error, pid_t pid)
{
	return varlink_connection_error(connection, error,
					control_parameter("pid", json_object_new_int64(pid)));
}

int control_error_unsupported(struct varlink_connection *connection, const char *reason)
{
	return varlink_connection_error_string(connection, CONTROL_ERROR_UNSUPPORTED, "reason",
					       reason);
}

int control_error_not_kept(struct varlink_connection *connection, const char *vm, int r)
{
	json_object *parameters = json_object_new_object();
	int e;

	e = varlink_json_set_string(parameters, "vm", vm);
	e |= varlink_json_set_string(parameters, "reason", strerror(-r));
	return varlink_connection_error(connection, CONTROL_ERROR_NOT_KEPT,
					varlink_json_finish(parameters, e));
}

int control_error_host(struct manager *manager, struct varlink_connection *connection, int r)
{
	struct host_info info;

	manager_get_host(manager, &info);
	if (error_is_transient(r))
		return varlink_connection_error_string(connection, CONTROL_ERROR_TRY_AGAIN,
						       "reason", strerror(-r));
	if (r == -EOPNOTSUPP && info.unsupported_reason)
		return control_error_unsupported(connection, info.unsupported_reason);
	return control_error_unsupported(connection, strerror(-r));
}
