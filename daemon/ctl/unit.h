/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_UNIT_H
#define EAGERSPLITD_CTL_UNIT_H

/* What the service manager says of a unit. */

#include <stdbool.h>

/* The states that it has, such as "loaded" and "active". */
struct unit_state {
	char load[32];
	char active[32];
};

/* Asks for them. Returns 0, or a negative errno: there is no service manager to ask. */
int unit_get_state(const char *name, struct unit_state *ret);

/* Whether the unit is there and does not run, nor is about to. */
bool unit_is_stopped(const char *name);

#endif /* EAGERSPLITD_CTL_UNIT_H */
