/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_SERVICE_H
#define EAGERSPLITD_VARLINK_SERVICE_H

/* org.varlink.service: what the server tells of itself. Its handlers get the server as userdata. */

#include "varlink/server.h"

extern const struct varlink_interface varlink_service_interface;

#endif /* EAGERSPLITD_VARLINK_SERVICE_H */
