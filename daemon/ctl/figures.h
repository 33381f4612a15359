/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_FIGURES_H
#define EAGERSPLITD_CTL_FIGURES_H

/* What eagersplitd tells, as metrics. */

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include "ctl/openmetrics.h"

/**
 * struct figures - what was told
 * @host: org.eagersplit.Manager's Host
 * @vms: an array of its Vm
 * @metrics: org.eagersplit.Metrics' Metrics
 */
struct figures {
	json_object *host;
	json_object *vms;
	json_object *metrics;
};

/*
 * Writes that eagersplitd runs, or does not, and that this is of @now_usec, CLOCK_REALTIME:
 * whoever reads it later knows how old it is.
 */
void figures_write_up(bool up, uint64_t now_usec, struct metric_writer *writer);

/* Writes all of it. Returns 0 or -ENOMEM. */
int figures_write(const struct figures *figures, struct metric_writer *writer);

#endif /* EAGERSPLITD_CTL_FIGURES_H */
