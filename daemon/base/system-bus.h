/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system bus, over which every user of the host may send something to whoever is on it, unasked.
 */
#ifndef EAGERSPLITD_SYSTEM_BUS_H
#define EAGERSPLITD_SYSTEM_BUS_H

#include <systemd/sd-bus.h>

/*
 * Connects to it, as sd_bus_open_system() does, but for descriptors: none of them comes along with
 * what others send. 0 or a negative errno.
 */
int system_bus_open(sd_bus **ret);

#endif /* EAGERSPLITD_SYSTEM_BUS_H */
