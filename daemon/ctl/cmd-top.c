// SPDX-License-Identifier: GPL-2.0-or-later
/* The command that shows, again and again, what the host is doing. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/client.h"
#include "ctl/cmd-vm.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/screen.h"
#include "ctl/table.h"

/* More often than that nobody can read it. */
#define INTERVAL_USEC (USEC_PER_SEC / 2)

/* Lines that are none of the table's VMs. */
#define HEAD_LINES 5

enum order {
	ORDER_ACTIVITY,
	ORDER_NAME,
	ORDER_BLOCKS,
	ORDER_TLBIS,
	ORDER_DEADLINE,
	ORDER_MAX_,
};

static const struct {
	char key;
	const char *name;
} orders[ORDER_MAX_] = {
	[ORDER_ACTIVITY] = { 'A', "activity" }, [ORDER_NAME] = { 'N', "name" },
	[ORDER_BLOCKS] = { 'B', "blocks" },	[ORDER_TLBIS] = { 'T', "TLBIs" },
	[ORDER_DEADLINE] = { 'D', "deadline" },
};

/* A line of ASCII, cut off where the terminal ends. */
static void put_line(const char *line, const struct term *term, FILE *f)
{
	fprintf(f, "%.*s\n", term->width ? term->width : INT_MAX, line);
}

/* What was asked at once. */
struct sample {
	json_object *host, *vms, *metrics;
	uint64_t nsec; /* CLOCK_MONOTONIC */
};

/**
 * struct top - what is shown
 * @now: the last sample
 * @before: the one before, to tell how fast it goes
 * @order: of the VMs
 * @paused: nothing is asked
 * @screen: that it is shown on, or NULL
 */
struct top {
	const struct ctl *ctl;
	struct client *client;
	struct sample now, before;
	enum order order;
	bool reverse;
	bool paused;
	struct screen *screen;
};

static void sample_done(struct sample *sample)
{
	json_object_put(sample->host);
	json_object_put(sample->vms);
	json_object_put(sample->metrics);
	*sample = (struct sample){ 0 };
}

/* What is said while the screen is up vanishes with it. */
static void leave_screen(void *userdata)
{
	struct top *top = userdata;

	top->screen = screen_free(top->screen);
}

static void top_done(struct top *top)
{
	leave_screen(top);
	client_free(top->client);
	sample_done(&top->now);
	sample_done(&top->before);
}

/* Returns 0 or -1. */
static int ask(struct top *top)
{
	struct sample sample = { .nsec = now_nsec(CLOCK_MONOTONIC) };

	sample.host = client_ask(top->client, "GetHost", json_object_new_object());
	if (sample.host)
		sample.vms = client_ask(top->client, "ListVms", json_object_new_object());
	if (sample.vms)
		sample.metrics = client_ask(top->client, "org.eagersplit.Metrics.GetMetrics",
					    json_object_new_object());
	if (!sample.metrics) {
		sample_done(&sample);
		return -1;
	}
	sample_done(&top->before);
	top->before = top->now;
	top->now = sample;
	return 0;
}

static json_object *get_vms(const struct sample *sample)
{
	return ctl_json_member(sample->vms, "vms");
}

/* How much a count has grown since the sample before, a second; -1: that cannot be told. */
static double get_rate(const struct top *top, uint64_t now, uint64_t before)
{
	uint64_t passed = top->now.nsec - top->before.nsec;

	/* The daemon may have been started anew. */
	if (!top->before.host || passed == 0 || now < before)
		return -1;
	return (double)(now - before) * (double)NSEC_PER_SEC / (double)passed;
}

static double get_host_rate(const struct top *top, const char *member)
{
	return get_rate(top, ctl_json_count(ctl_json_member(top->now.host, "host"), member),
			ctl_json_count(ctl_json_member(top->before.host, "host"), member));
}

static void print_budget(const struct top *top, const struct term *term, FILE *f)
{
	json_object *host = ctl_json_member(top->now.host, "host");
	uint64_t budget = ctl_json_count(host, "tlbiRate");
	uint64_t ppm = ctl_json_count(host, "tlbiLoadPpm");
	double rate = get_host_rate(top, "tlbisTotal"), load = get_host_rate(top, "tlbiUSecTotal");
	char spent[32] = "-", of[64] = "", time[32] = "-", of_time[32] = "", n[FORMAT_SIZE],
	     line[192];

	if (rate >= 0)
		snprintf(spent, sizeof(spent), "%.0f/s", rate);
	if (budget)
		snprintf(of, sizeof(of), " of %s/s", format_count(n, budget));
	/* Microseconds a second. */
	if (load >= 0)
		snprintf(time, sizeof(time), "%.2f%%", load / 10000);
	if (ppm)
		snprintf(of_time, sizeof(of_time), " of %.2f%%", (double)ppm / 10000);
	snprintf(line, sizeof(line), "TLBIs: %s%s; time: %s%s", spent, of, time, of_time);
	put_line(line, term, f);
}

static void print_tally(json_object *vms, const struct term *term, FILE *f)
{
	size_t n = ctl_json_length(vms), splitting = 0, recovering = 0, late = 0, failed = 0;
	char clock[FORMAT_SIZE], line[192];

	for (size_t i = 0; i < n; i++) {
		json_object *vm = json_object_array_get_idx(vms, i);
		const char *stage = ctl_json_string(vm, "stage");

		splitting += strcmp(stage, "splitting") == 0;
		recovering += strcmp(stage, "recovering") == 0;
		failed += strcmp(stage, "failed") == 0;
		late += ctl_json_bool(vm, "late");
	}
	snprintf(line, sizeof(line),
		 "%s  %zu VM%s: %zu splitting, %zu recovering, %zu failed, %zu late",
		 format_clock(clock, now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC), n, plural(n),
		 splitting, recovering, failed, late);
	put_line(line, term, f);
}

static void print_queue(json_object *queue, const struct term *term, FILE *f)
{
	char line[192];

	snprintf(line, sizeof(line),
		 "Calls: %" PRIu64 " running, %" PRIu64 " queued; VMs waiting: %" PRIu64
		 ", retrying: %" PRIu64,
		 ctl_json_count(queue, "running"), ctl_json_count(queue, "queued"),
		 ctl_json_count(queue, "vmsWaiting"), ctl_json_count(queue, "vmsRetrying"));
	put_line(line, term, f);
}

static void print_head(const struct top *top, const struct term *term, FILE *f)
{
	json_object *metrics = ctl_json_member(top->now.metrics, "metrics");

	print_tally(get_vms(&top->now), term, f);
	print_budget(top, term, f);
	print_queue(ctl_json_member(metrics, "queue"), term, f);
}

/* A VM of the list, and the place that it has there. */
struct row {
	json_object *vm;
	size_t place;
};

static int compare_counts(uint64_t a, uint64_t b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

/* What is worked on first, then what is to migrate, then the others. */
static uint64_t get_activity(json_object *vm)
{
	const char *stage = ctl_json_string(vm, "stage");
	const char *migration = ctl_json_string(vm, "migration");

	if (strcmp(stage, "splitting") == 0)
		return 4;
	if (strcmp(stage, "recovering") == 0)
		return 3;
	if (strcmp(stage, "failed") == 0)
		return 2;
	return strcmp(migration, "active") == 0 || strcmp(migration, "scheduled") == 0;
}

static uint64_t get_deadline(json_object *vm)
{
	return ctl_json_member(vm, "deadlineUSec") ? ctl_json_count(vm, "deadlineUSec")
						   : UINT64_MAX;
}

static int compare_rows(const void *pa, const void *pb, void *userdata)
{
	const struct top *top = userdata;
	const struct row *a = pa, *b = pb;
	int r = 0;

	switch (top->order) {
	case ORDER_NAME:
		r = strcmp(ctl_json_string(a->vm, "vm"), ctl_json_string(b->vm, "vm"));
		break;
	case ORDER_BLOCKS:
		r = compare_counts(ctl_json_count(a->vm, "blocks"),
				   ctl_json_count(b->vm, "blocks"));
		break;
	case ORDER_TLBIS:
		r = compare_counts(ctl_json_count(a->vm, "tlbis"), ctl_json_count(b->vm, "tlbis"));
		break;
	case ORDER_DEADLINE:
		r = compare_counts(get_deadline(b->vm), get_deadline(a->vm));
		break;
	default:
		r = compare_counts(get_activity(a->vm), get_activity(b->vm));
	}
	if (r == 0)
		r = a->place < b->place ? -1 : 1;
	return top->reverse ? -r : r;
}

/* Blocks split or back a second. */
static double get_vm_rate(const struct top *top, const struct row *row)
{
	json_object *vms = get_vms(&top->before), *before = NULL;
	const char *name = ctl_json_string(row->vm, "vm");
	bool back = strcmp(ctl_json_string(row->vm, "stage"), "recovering") == 0;
	const char *member = back ? "blocks" : "blocksSplit";

	/* Mostly it has the same place in both. */
	for (size_t i = 0, n = ctl_json_length(vms); i < n; i++) {
		before = json_object_array_get_idx(vms, (row->place + i) % n);
		if (strcmp(ctl_json_string(before, "vm"), name) == 0)
			break;
		before = NULL;
	}
	if (!before)
		return -1;
	return get_rate(top, ctl_json_count(row->vm, member), ctl_json_count(before, member));
}

static void add_row(const struct top *top, struct table *table, const struct row *row)
{
	uint64_t now = now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC;
	double rate = get_vm_rate(top, row);
	char buf[FORMAT_SIZE];
	struct ctl_vm vm;

	ctl_vm_from_json(&vm, row->vm);
	table_add(table, vm.name);
	table_add(table, vm.migration);
	table_add(table, vm.stage);
	table_colour(table, ctl_stage_colour(vm.stage));
	table_add(table, format_bytes(buf, vm.bytes));
	table_add(table, format_bytes(buf, vm.block_bytes));
	if (rate > 0)
		table_addf(table, "%.0f/s", rate);
	else
		table_add(table, "-");
	table_addf(table, "%" PRIu64, vm.tlbis);
	table_add(table, vm.has_eta ? format_span(buf, vm.eta_usec) : "-");
	if (!vm.has_deadline)
		table_add(table, "-");
	else if (vm.deadline_usec <= now)
		table_add(table, "has passed");
	else
		table_addf(table, "in %s", format_span(buf, vm.deadline_usec - now));
	if (vm.late)
		table_colour(table, COLOUR_RED);
}

static int print_rows(const struct top *top, const struct row *rows, size_t n,
		      const struct term *term, FILE *f)
{
	static const struct table_column columns[] = {
		{ .title = "VM", .least = 16 },
		{ .title = "MIGRATION" },
		{ .title = "STAGE" },
		{ .title = "MEMORY", .right = true, .drop = 5 },
		{ .title = "IN BLOCKS", .right = true, .drop = 3 },
		{ .title = "BLOCKS", .right = true, .drop = 2 },
		{ .title = "TLBIS", .right = true, .drop = 4 },
		{ .title = "SPLIT IN" },
		{ .title = "DEADLINE", .drop = 1 },
		{ .title = NULL },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);

	if (!table)
		return -1;
	for (size_t i = 0; i < n; i++)
		add_row(top, table, &rows[i]);
	return table_print(table, term, f);
}

/* At most so many VMs. Returns 0 or -1. */
static int print_vms(struct top *top, size_t room, const struct term *term, FILE *f)
{
	json_object *vms = get_vms(&top->now);
	size_t n = ctl_json_length(vms);
	_cleanup_free_ struct row *rows = calloc(n ? n : 1, sizeof(*rows));

	if (!rows)
		return -1;
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct row){ json_object_array_get_idx(vms, i), i };
	qsort_r(rows, n, sizeof(*rows), compare_rows, top);
	return print_rows(top, rows, n < room ? n : room, term, f);
}

static void print_keys(const struct top *top, const struct term *term, FILE *f)
{
	char line[128];

	snprintf(line, sizeof(line), "By %s%s%s; keys: A N B T D, R, space, q",
		 orders[top->order].name, top->reverse ? ", reversed" : "",
		 top->paused ? ", paused" : "");
	put_line(line, term, f);
}

static int draw(struct top *top)
{
	/* Now: its size may have changed since. */
	struct term term = term_stdout();
	int height = screen_height(top->screen);
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int r;

	if (!f)
		return -1;
	print_head(top, &term, f);
	print_keys(top, &term, f);
	r = print_vms(top, height > HEAD_LINES ? (size_t)(height - HEAD_LINES) : 0, &term, f);
	if (fclose(f) != 0 || r < 0)
		return -1;
	screen_draw(top->screen, text);
	return 0;
}

/* Whether it goes on. */
static bool take_key(struct top *top, int key)
{
	if (key == SCREEN_QUIT || key == 'q' || key == 'Q')
		return false;
	if (key == ' ')
		top->paused = !top->paused;
	else if (key == 'R' || key == 'r')
		top->reverse = !top->reverse;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		if (key == orders[i].key || key == (orders[i].key | 0x20))
			top->order = (enum order)i;
	return true;
}

/* Returns the exit status. */
static int run(struct top *top)
{
	uint64_t next = now_nsec(CLOCK_MONOTONIC);
	int key = SCREEN_NONE;

	if (screen_new(&top->screen) < 0)
		return EXIT_FAILURE;
	client_set_before_report(top->client, leave_screen, top);
	while (take_key(top, key)) {
		uint64_t now = now_nsec(CLOCK_MONOTONIC);

		/* Keys are answered at once, out of what is known. */
		if (now >= next) {
			if (!top->paused && ask(top) < 0)
				return EXIT_FAILURE;
			next = now + INTERVAL_USEC * NSEC_PER_USEC;
		}
		if (draw(top) < 0)
			return EXIT_FAILURE;
		now = now_nsec(CLOCK_MONOTONIC);
		key = screen_wait(top->screen, next > now ? (next - now) / NSEC_PER_USEC : 0);
	}
	return EXIT_SUCCESS;
}

/* Once, for a pipe or a file. */
static int print_once(struct top *top)
{
	print_head(top, &top->ctl->term, stdout);
	return print_vms(top, SIZE_MAX, &top->ctl->term, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int ctl_top(const struct ctl *ctl, char **args)
{
	_cleanup_(top_done) struct top top = { .ctl = ctl };

	if (ctl->json) {
		fprintf(stderr, "top is for people; programs use watch or list with --json.\n");
		return CTL_USAGE;
	}
	if (client_connect_patiently(&top.client, ctl) < 0 || ask(&top) < 0)
		return EXIT_FAILURE;
	if (!ctl->term.redraw || !isatty(STDIN_FILENO))
		return print_once(&top);
	return run(&top);
}
