/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CONTROL_METRICS_H
#define EAGERSPLITD_CONTROL_METRICS_H

#include <json-c/json.h>

#include "manager/manager.h"
#include "varlink/server.h"

/* The figures as org.eagersplit.Metrics writes them. NULL: no memory. */
json_object *control_metrics_to_json(const struct manager_metrics *metrics,
				     const struct varlink_server *server);

#endif /* EAGERSPLITD_CONTROL_METRICS_H */
