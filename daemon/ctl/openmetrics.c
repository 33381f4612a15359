// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/openmetrics.h"

#include <inttypes.h>
#include <string.h>

#define SECONDS_SIZE 40

static const char *type_suffix(enum metric_type type)
{
	switch (type) {
	case METRIC_COUNTER:
		return "_total";
	case METRIC_INFO:
		return "_info";
	default:
		return "";
	}
}

/* Prometheus' older format knows no info. */
static const char *type_to_string(enum metric_type type, enum metric_format format)
{
	switch (type) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_HISTOGRAM:
		return "histogram";
	case METRIC_INFO:
		return format == METRIC_FORMAT_OPENMETRICS ? "info" : "gauge";
	default:
		return "gauge";
	}
}

static void put_escaped(FILE *f, const char *text, bool quotes)
{
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\\\", f);
		else if (*text == '\n')
			fputs("\\n", f);
		else if (*text == '"' && quotes)
			fputs("\\\"", f);
		else
			fputc(*text, f);
	}
}

void metric_begin(struct metric_writer *w, const struct metric_family *family)
{
	bool open = w->format == METRIC_FORMAT_OPENMETRICS;
	/* There, a family is called as its samples are. */
	const char *suffix = open ? "" : type_suffix(family->type);

	w->family = family;
	fprintf(w->f, "# TYPE %s%s %s\n", family->name, suffix,
		type_to_string(family->type, w->format));
	if (open && family->unit)
		fprintf(w->f, "# UNIT %s %s\n", family->name, family->unit);
	fprintf(w->f, "# HELP %s%s ", family->name, suffix);
	/* Quotes need none of it in the older format, and would keep the backslash. */
	put_escaped(w->f, family->help, open);
	fputc('\n', w->f);
}

/* The name and the labels, and another label behind them if le is not NULL. */
static void put_series(const struct metric_writer *w, const char *suffix,
		       const struct metric_label *labels, const char *le)
{
	const char *before = "{";

	fprintf(w->f, "%s%s", w->family->name, suffix);
	for (; labels && labels->name; labels++) {
		fprintf(w->f, "%s%s=\"", before, labels->name);
		put_escaped(w->f, labels->value, true);
		fputc('"', w->f);
		before = ",";
	}
	if (le)
		fprintf(w->f, "%sle=\"%s\"", before, le);
	fputs(le || *before == ',' ? "} " : " ", w->f);
}

void metric_sample(struct metric_writer *w, const struct metric_label *labels, uint64_t value)
{
	put_series(w, type_suffix(w->family->type), labels, NULL);
	fprintf(w->f, "%" PRIu64 "\n", value);
}

/*
 * The shortest decimal that is exact, as OpenMetrics wants limits of buckets to be:
 * "1e-05", "0.001", "1.0". Limits are less than 10^6 seconds, times may be more.
 */
static void format_seconds(char buf[static SECONDS_SIZE], uint64_t usec)
{
	uint64_t fraction = usec % USEC_PER_SEC;
	char *end;

	if (usec > 0 && usec < 10) {
		snprintf(buf, SECONDS_SIZE, "%" PRIu64 "e-06", usec);
	} else if (usec >= 10 && usec < 100) {
		snprintf(buf, SECONDS_SIZE, "%" PRIu64 "%.*s%.*se-05", usec / 10, usec % 10 != 0,
			 ".", usec % 10 != 0, &"0123456789"[usec % 10]);
	} else {
		snprintf(buf, SECONDS_SIZE, "%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC,
			 fraction);
		end = buf + strlen(buf) - 1;
		while (*end == '0' && end[-1] != '.')
			*end-- = '\0';
	}
}

void metric_seconds(struct metric_writer *w, const struct metric_label *labels, uint64_t usec)
{
	char seconds[SECONDS_SIZE];

	format_seconds(seconds, usec);
	put_series(w, type_suffix(w->family->type), labels, NULL);
	fprintf(w->f, "%s\n", seconds);
}

void metric_histogram(struct metric_writer *w, const struct metric_label *labels,
		      const struct metric_histogram *histogram)
{
	char seconds[SECONDS_SIZE];

	for (size_t i = 0; i < histogram->n_buckets; i++) {
		format_seconds(seconds, histogram->buckets[i].le_usec);
		put_series(w, "_bucket", labels, seconds);
		fprintf(w->f, "%" PRIu64 "\n", histogram->buckets[i].count);
	}
	put_series(w, "_bucket", labels, "+Inf");
	fprintf(w->f, "%" PRIu64 "\n", histogram->count);
	put_series(w, "_count", labels, NULL);
	fprintf(w->f, "%" PRIu64 "\n", histogram->count);
	format_seconds(seconds, histogram->sum_usec);
	put_series(w, "_sum", labels, NULL);
	fprintf(w->f, "%s\n", seconds);
}

void metric_end(struct metric_writer *w)
{
	if (w->format == METRIC_FORMAT_OPENMETRICS)
		fputs("# EOF\n", w->f);
}
