/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_OPENMETRICS_H
#define EAGERSPLITD_OPENMETRICS_H

/*
 * Writes figures as text: OpenMetrics 1.0 (https://openmetrics.io), or the older text
 * format of Prometheus (0.0.4), which node_exporter's textfile collector reads.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"

enum metric_format {
	METRIC_FORMAT_OPENMETRICS,
	METRIC_FORMAT_PROMETHEUS,
};

enum metric_type {
	METRIC_GAUGE,
	METRIC_COUNTER, /* its samples get the suffix _total */
	METRIC_HISTOGRAM,
	METRIC_INFO, /* its samples get the suffix _info, and are 1 */
};

/**
 * struct metric_family - samples that differ by their labels
 * @name: without the suffixes of its type
 * @unit: what the name ends in, NULL: none
 */
struct metric_family {
	const char *name;
	enum metric_type type;
	const char *unit;
	const char *help;
};

/* A label; the last of a list has no name. Values are UTF-8, and escaped by the writer. */
struct metric_label {
	const char *name;
	const char *value;
};

/* Calls that took no longer than @le_usec, the shorter ones among them. */
struct metric_bucket {
	uint64_t le_usec;
	uint64_t count;
};

struct metric_histogram {
	const struct metric_bucket *buckets;
	size_t n_buckets;
	uint64_t count;
	uint64_t sum_usec;
};

/* Where to, and of which family the samples are that come next. */
struct metric_writer {
	FILE *f;
	enum metric_format format;
	const struct metric_family *family;
};

/* Begins a family: all its samples come now. labels may be NULL below: there are none. */
void metric_begin(struct metric_writer *w, const struct metric_family *family);

/* A sample of a gauge, a counter or an info. */
void metric_sample(struct metric_writer *w, const struct metric_label *labels, uint64_t value);

/* The same of a time, which is written in seconds. */
void metric_seconds(struct metric_writer *w, const struct metric_label *labels, uint64_t usec);

/* All samples of a histogram of times. */
void metric_histogram(struct metric_writer *w, const struct metric_label *labels,
		      const struct metric_histogram *histogram);

/* Ends the text. */
void metric_end(struct metric_writer *w);

#endif /* EAGERSPLITD_OPENMETRICS_H */
