// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/system-bus.h"

#include <stdlib.h>

#include "base/util.h"

#define DEFAULT_ADDRESS "unix:path=/run/dbus/system_bus_socket"

/*
 * sd_bus_open_system() tells the bus that descriptors are welcome, and whoever reads a message that
 * came with one closes it: that waits, for as long as he likes, for who is behind the file. A bus that
 * was told nothing of the kind delivers no such message.
 */
int system_bus_open(sd_bus **ret)
{
	const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, address ?: DEFAULT_ADDRESS);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, false);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(bus);
	return 0;
}
