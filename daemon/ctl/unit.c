// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/unit.h"

#include <stdio.h>
#include <string.h>

#include <systemd/sd-bus.h>

#include "base/system-bus.h"
#include "base/util.h"

/* A property of a unit, cut off where it is too long. Returns 0 or a negative errno. */
static int get_property(sd_bus *bus, const char *path, const char *property, char *buf, size_t size)
{
	_cleanup_free_ char *value = NULL;
	int r;

	r = sd_bus_get_property_string(bus, "org.freedesktop.systemd1", path,
				       "org.freedesktop.systemd1.Unit", property, NULL, &value);
	if (r < 0)
		return r;
	snprintf(buf, size, "%s", value);
	return 0;
}

/* systemd itself, where there is no message bus, or none that can be reached: for root alone. */
static int open_private(sd_bus **ret)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, "unix:path=/run/systemd/private");
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		*ret = TAKE_PTR(bus);
	return r;
}

int unit_get_state(const char *name, struct unit_state *ret)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *path;
	int r;

	r = system_bus_open(&bus);
	if (r < 0)
		r = open_private(&bus);
	if (r < 0)
		return r;
	r = sd_bus_call_method(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
			       "org.freedesktop.systemd1.Manager", "LoadUnit", NULL, &reply, "s",
			       name);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = get_property(bus, path, "LoadState", ret->load, sizeof(ret->load));
	if (r >= 0)
		r = get_property(bus, path, "ActiveState", ret->active, sizeof(ret->active));
	return r < 0 ? r : 0;
}

bool unit_is_stopped(const char *name)
{
	struct unit_state state;

	return unit_get_state(name, &state) == 0 && strcmp(state.load, "loaded") == 0 &&
	       (strcmp(state.active, "inactive") == 0 || strcmp(state.active, "failed") == 0);
}
