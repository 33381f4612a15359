// SPDX-License-Identifier: GPL-2.0-or-later
/* Metrics as text: what is written, to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "ctl/openmetrics.h"

struct output {
	struct metric_writer writer;
	char *text;
	size_t size;
};

static void begin(struct output *o, enum metric_format format)
{
	*o = (struct output){ .writer.format = format };
	o->writer.f = open_memstream(&o->text, &o->size);
	assert_non_null(o->writer.f);
}

static void check(struct output *o, const char *expected)
{
	assert_int_equal(fclose(o->writer.f), 0);
	assert_string_equal(o->text, expected);
	free(o->text);
}

static const struct metric_family counter = { "a_blocks", METRIC_COUNTER, NULL, "Blocks." };
static const struct metric_family gauge = { "a_memory_bytes", METRIC_GAUGE, "bytes", "Memory." };
static const struct metric_family info = { "a_build", METRIC_INFO, NULL, "Build." };

static void write_all(struct metric_writer *w)
{
	const struct metric_label labels[] = { { "x", "1" }, { "y", "2" }, { NULL, NULL } };

	metric_begin(w, &counter);
	metric_sample(w, NULL, UINT64_MAX);
	metric_sample(w, labels, 0);
	metric_begin(w, &gauge);
	metric_sample(w, NULL, 4096);
	metric_begin(w, &info);
	metric_sample(w, labels, 1);
	metric_end(w);
}

static void test_openmetrics(void **state)
{
	struct output o;

	begin(&o, METRIC_FORMAT_OPENMETRICS);
	write_all(&o.writer);
	check(&o, "# TYPE a_blocks counter\n"
		  "# HELP a_blocks Blocks.\n"
		  "a_blocks_total 18446744073709551615\n"
		  "a_blocks_total{x=\"1\",y=\"2\"} 0\n"
		  "# TYPE a_memory_bytes gauge\n"
		  "# UNIT a_memory_bytes bytes\n"
		  "# HELP a_memory_bytes Memory.\n"
		  "a_memory_bytes 4096\n"
		  "# TYPE a_build info\n"
		  "# HELP a_build Build.\n"
		  "a_build_info{x=\"1\",y=\"2\"} 1\n"
		  "# EOF\n");
}

/* There, names in the comments are those of the samples. */
static void test_prometheus(void **state)
{
	struct output o;

	begin(&o, METRIC_FORMAT_PROMETHEUS);
	write_all(&o.writer);
	check(&o, "# TYPE a_blocks_total counter\n"
		  "# HELP a_blocks_total Blocks.\n"
		  "a_blocks_total 18446744073709551615\n"
		  "a_blocks_total{x=\"1\",y=\"2\"} 0\n"
		  "# TYPE a_memory_bytes gauge\n"
		  "# HELP a_memory_bytes Memory.\n"
		  "a_memory_bytes 4096\n"
		  "# TYPE a_build_info gauge\n"
		  "# HELP a_build_info Build.\n"
		  "a_build_info{x=\"1\",y=\"2\"} 1\n");
}

static void test_escaping(void **state)
{
	const struct metric_label labels[] = { { "vm", "a\"b\\c\nd\u00fc" }, { NULL, NULL } };
	const struct metric_family family = { "a", METRIC_GAUGE, NULL, "Say \"a\\b\"\nor not." };
	struct output o;

	begin(&o, METRIC_FORMAT_OPENMETRICS);
	metric_begin(&o.writer, &family);
	metric_sample(&o.writer, labels, 1);
	check(&o, "# TYPE a gauge\n"
		  "# HELP a Say \\\"a\\\\b\\\"\\nor not.\n"
		  "a{vm=\"a\\\"b\\\\c\\nd\u00fc\"} 1\n");
	begin(&o, METRIC_FORMAT_PROMETHEUS);
	metric_begin(&o.writer, &family);
	check(&o, "# TYPE a gauge\n"
		  "# HELP a Say \"a\\\\b\"\\nor not.\n");
}

static void test_seconds(void **state)
{
	static const struct {
		uint64_t usec;
		const char *text;
	} cases[] = {
		{ 0, "a 0.0\n" },
		{ 1, "a 1e-06\n" },
		{ 9, "a 9e-06\n" },
		{ 10, "a 1e-05\n" },
		{ 25, "a 2.5e-05\n" },
		{ 99, "a 9.9e-05\n" },
		{ 100, "a 0.0001\n" },
		{ 250, "a 0.00025\n" },
		{ 1000000, "a 1.0\n" },
		{ 2500000, "a 2.5\n" },
		{ 10000000, "a 10.0\n" },
		{ 1795438051356461, "a 1795438051.356461\n" },
		{ UINT64_MAX, "a 18446744073709.551615\n" },
	};
	const struct metric_family family = { "a", METRIC_GAUGE, NULL, "" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct output o;

		begin(&o, METRIC_FORMAT_OPENMETRICS);
		o.writer.family = &family;
		metric_seconds(&o.writer, NULL, cases[i].usec);
		check(&o, cases[i].text);
	}
}

static void test_histogram(void **state)
{
	static const struct metric_bucket buckets[] = { { 10, 1 }, { 1000000, 3 } };
	const struct metric_histogram histogram = { buckets, ARRAY_SIZE(buckets), 4, 12345678 };
	const struct metric_family family = { "a_seconds", METRIC_HISTOGRAM, "seconds", "" };
	const struct metric_label labels[] = { { "x", "1" }, { NULL, NULL } };
	struct output o;

	begin(&o, METRIC_FORMAT_OPENMETRICS);
	o.writer.family = &family;
	metric_histogram(&o.writer, labels, &histogram);
	metric_histogram(&o.writer, NULL, &(struct metric_histogram){ 0 });
	check(&o, "a_seconds_bucket{x=\"1\",le=\"1e-05\"} 1\n"
		  "a_seconds_bucket{x=\"1\",le=\"1.0\"} 3\n"
		  "a_seconds_bucket{x=\"1\",le=\"+Inf\"} 4\n"
		  "a_seconds_count{x=\"1\"} 4\n"
		  "a_seconds_sum{x=\"1\"} 12.345678\n"
		  "a_seconds_bucket{le=\"+Inf\"} 0\n"
		  "a_seconds_count 0\n"
		  "a_seconds_sum 0.0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openmetrics), cmocka_unit_test(test_prometheus),
		cmocka_unit_test(test_escaping),    cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
