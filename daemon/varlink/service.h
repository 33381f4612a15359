/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_SERVICE_H
#define EAGERSPLITD_VARLINK_SERVICE_H

/* org.varlink.service: what a server tells of itself, if this is one of its interfaces. */

#include "varlink/server.h"

extern const struct varlink_interface varlink_service_interface;

#endif /* EAGERSPLITD_VARLINK_SERVICE_H */
