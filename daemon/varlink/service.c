// SPDX-License-Identifier: GPL-2.0-or-later
#include "varlink/service.h"

#include <errno.h>
#include <string.h>

#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/message.h"

static const char service_description[] = ""
#include "varlink/org.varlink.service.varlink.h"
	;

static json_object *interface_names(const struct varlink_server *server)
{
	json_object *names = json_object_new_array();
	const struct varlink_interface *interface;
	int r = 0;

	for (size_t i = 0; (interface = varlink_server_interface(server, i)); i++)
		r |= varlink_json_append(names, json_object_new_string(interface->name));
	return varlink_json_finish(names, r);
}

static int get_info(struct varlink_connection *connection, const void *params, void *userdata)
{
	_cleanup_json_ json_object *info = json_object_new_object();
	int r;

	r = varlink_json_set_string(info, "vendor", PACKAGE_NAME);
	r |= varlink_json_set_string(info, "product", PACKAGE_NAME);
	r |= varlink_json_set_string(info, "version", PACKAGE_VERSION);
	r |= varlink_json_set_string(info, "url", PACKAGE_URL);
	r |= varlink_json_set(info, "interfaces", interface_names(userdata));
	if (r != 0)
		return -ENOMEM;
	return varlink_connection_reply(connection, json_object_get(info));
}

struct description_params {
	const char *interface;
};

static int get_interface_description(struct varlink_connection *connection, const void *params,
				     void *userdata)
{
	const struct description_params *p = params;
	const struct varlink_server *server = userdata;
	const struct varlink_interface *interface;
	json_object *reply;

	for (size_t i = 0; (interface = varlink_server_interface(server, i)); i++)
		if (strcmp(interface->name, p->interface) == 0)
			break;
	if (!interface)
		return varlink_connection_error_string(
			connection, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", p->interface);

	reply = json_object_new_object();
	if (varlink_json_set_string(reply, "description", interface->description) < 0) {
		json_object_put(reply);
		return -ENOMEM;
	}
	return varlink_connection_reply(connection, reply);
}

static const struct varlink_field description_fields[] = {
	VARLINK_FIELD("interface", VARLINK_STRING, struct description_params, interface),
	{ 0 },
};

static const struct varlink_method service_methods[] = {
	{ "GetInfo", VARLINK_METHOD_SERVER, NULL, get_info },
	{ "GetInterfaceDescription", VARLINK_METHOD_SERVER, description_fields,
	  get_interface_description },
	{ 0 }
};

const struct varlink_interface varlink_service_interface = {
	.name = "org.varlink.service",
	.description = service_description,
	.methods = service_methods,
};
