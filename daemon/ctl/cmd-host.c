// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that show the host, alone or with its VMs in short. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/cmd-vm.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/table.h"
#include "varlink/json.h"

static void print_support(json_object *host)
{
	if (!ctl_json_bool(host, "supported"))
		printf("not possible; \"eagersplitctl doctor\" says why\n");
	else if (strcmp(ctl_json_string(host, "method"), "pause") == 0)
		printf("by pauses of each VM\n");
	else if (ctl_json_int(host, "bbmLevel") >= 2)
		printf("without break-before-make (FEAT_BBM level 2)\n");
	else
		printf("by break-before-make\n");
}

/* "1% of the time, 1,000/s, at most 16 at once": as far as there are limits. */
static void print_budget(json_object *host)
{
	uint64_t rate = ctl_json_count(host, "tlbiRate");
	uint64_t ppm = ctl_json_count(host, "tlbiLoadPpm");
	char n[FORMAT_SIZE], burst[FORMAT_SIZE];

	if (!ctl_json_bool(host, "throttled")) {
		printf("not needed\n");
		return;
	}
	if (ppm)
		printf("%.4g%% of the time", (double)ppm / 10000);
	if (rate)
		printf("%s%s/s, at most %s at once", ppm ? ", " : "", format_count(n, rate),
		       format_count(burst, ctl_json_count(host, "tlbiBurst")));
	printf("%s\n", ppm || rate ? "" : "no limit");
}

static void print_host(json_object *host)
{
	const char *backend = ctl_json_string(host, "backend");
	uint64_t tlbis = ctl_json_count(host, "tlbisTotal");
	char n[FORMAT_SIZE];

	printf("Version:       %s\n", ctl_json_string(host, "version"));
	printf("Backend:       %s%s\n", backend,
	       strcmp(backend, "sim") == 0 ? " (a simulated host)" : "");
	printf("Splitting:     ");
	print_support(host);
	printf("TLBI budget:   ");
	print_budget(host);
	printf("TLBIs issued:  %s", format_count(n, tlbis));
	if (tlbis)
		printf(", %.1f us each",
		       (double)ctl_json_count(host, "tlbiUSecTotal") / (double)tlbis);
	printf("\n");
	printf("Blocks split:  %s\n", format_count(n, ctl_json_count(host, "blocksTotal")));
	if (*ctl_json_string(host, "notKept"))
		printf("Restart:       cannot be prepared for: %s\n",
		       ctl_json_string(host, "notKept"));
}

int ctl_host(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply =
		client_call_once(ctl, "GetHost", json_object_new_object());

	if (!reply)
		return EXIT_FAILURE;
	if (!ctl->json)
		print_host(ctl_json_member(reply, "host"));
	return EXIT_SUCCESS;
}

/* What stands out among the VMs. */
struct tally {
	size_t splitting, split, recovering, failed, late;
	size_t to_be_late; /* of those that are late: while something can be done about it */
};

static void count_vm(struct tally *tally, const struct ctl_vm *vm, uint64_t now_usec)
{
	tally->splitting += strcmp(vm->stage, "splitting") == 0;
	tally->split += strcmp(vm->stage, "split") == 0;
	tally->recovering += strcmp(vm->stage, "recovering") == 0;
	tally->failed += strcmp(vm->stage, "failed") == 0;
	tally->late += vm->late;
	tally->to_be_late += vm->late && vm->deadline_usec > now_usec;
}

static void print_tally_part(const char *what, size_t n, const struct term *term,
			     enum colour colour)
{
	if (n)
		printf(", %s%zu %s%s", term_on(term, colour), n, what, term_off(term, colour));
}

static void print_tally(const struct tally *tally, size_t n_vms, const struct term *term)
{
	printf("         VMs: %zu", n_vms);
	print_tally_part("splitting", tally->splitting, term, COLOUR_CYAN);
	print_tally_part("split", tally->split, term, COLOUR_GREEN);
	print_tally_part("recovering", tally->recovering, term, COLOUR_YELLOW);
	print_tally_part("failed", tally->failed, term, COLOUR_RED);
	print_tally_part("late", tally->late, term, COLOUR_RED);
	printf("\n");
}

static void print_head(const struct term *term, json_object *host, const struct tally *tally)
{
	uint64_t tlbis = ctl_json_count(host, "tlbisTotal");
	uint64_t blocks = ctl_json_count(host, "blocksTotal");
	enum colour colour = COLOUR_GREEN;
	char n[FORMAT_SIZE];

	if (tally->failed || tally->late || !ctl_json_bool(host, "supported"))
		colour = COLOUR_RED;
	printf("%s%s%s eagersplitd %s%s\n", term_on(term, colour), term->utf8 ? "\u25cf" : "*",
	       term_off(term, colour), ctl_json_string(host, "version"),
	       strcmp(ctl_json_string(host, "backend"), "sim") == 0 ? ", a simulated host" : "");
	printf("   Splitting: ");
	print_support(host);
	printf(" TLBI budget: ");
	print_budget(host);
	printf("  Since start: %s TLBI%s", format_count(n, tlbis), plural(tlbis));
	printf(", %s block%s split\n", format_count(n, blocks), plural(blocks));
}

/* "in 2min 5s": what is left until then. */
static void add_deadline(struct table *table, const struct ctl *ctl, const struct ctl_vm *vm)
{
	char span[FORMAT_SIZE];

	/* Of no interest where nothing is to be split any more. */
	if (!vm->has_deadline || strcmp(vm->stage, "split") == 0 ||
	    (strcmp(vm->migration, "scheduled") != 0 && strcmp(vm->migration, "active") != 0))
		table_add(table, "-");
	else if (vm->deadline_usec <= ctl->now_usec)
		table_add(table, "has passed");
	else
		table_addf(table, "in %s", format_span(span, vm->deadline_usec - ctl->now_usec));
	if (vm->late)
		table_colour(table, COLOUR_RED);
}

static void add_vm(struct table *table, const struct ctl *ctl, const struct ctl_vm *vm)
{
	char buf[FORMAT_SIZE];

	table_add(table, vm->name);
	table_add(table, vm->migration);
	table_add(table, vm->stage);
	table_colour(table, ctl_stage_colour(vm->stage));
	table_add(table, format_bytes(buf, vm->bytes));
	table_add(table, format_bytes(buf, vm->block_bytes));
	table_add(table, vm->has_eta ? format_span(buf, vm->eta_usec) : "-");
	add_deadline(table, ctl, vm);
}

static int print_vms(const struct ctl *ctl, json_object *vms)
{
	static const struct table_column columns[] = {
		{ .title = "VM", .least = 16 },
		{ .title = "MIGRATION" },
		{ .title = "STAGE" },
		{ .title = "MEMORY", .right = true, .drop = 2 },
		{ .title = "IN BLOCKS", .right = true, .drop = 1 },
		{ .title = "SPLIT IN" },
		{ .title = "DEADLINE" },
		{ .title = NULL },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);

	if (!table)
		return -1;
	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		struct ctl_vm vm;

		ctl_vm_from_json(&vm, json_object_array_get_idx(vms, i));
		add_vm(table, ctl, &vm);
	}
	return table_print(table, &ctl->term, stdout);
}

/* Why what failed has failed, and what can be done about what is late. */
static void print_troubles(const struct ctl *ctl, json_object *vms, const struct tally *tally)
{
	const struct term *term = &ctl->term;

	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		struct ctl_vm vm;

		ctl_vm_from_json(&vm, json_object_array_get_idx(vms, i));
		if (*vm.error)
			printf("%s%s: %s%s\n", term_on(term, COLOUR_RED), vm.name, vm.error,
			       term_off(term, COLOUR_RED));
	}
	if (tally->to_be_late)
		printf("A deadline will be missed: TlbiLoad=, TlbiRate= or --tlbi-rate= is too low for it.\n");
}

static int print_summary(const struct ctl *ctl, json_object *host, json_object *vms)
{
	struct tally tally = { 0 };
	size_t n = ctl_json_length(vms);

	for (size_t i = 0; i < n; i++) {
		struct ctl_vm vm;

		ctl_vm_from_json(&vm, json_object_array_get_idx(vms, i));
		count_vm(&tally, &vm, ctl->now_usec);
	}
	print_head(&ctl->term, host, &tally);
	print_tally(&tally, n, &ctl->term);
	if (n == 0)
		return 0;
	printf("\n");
	if (print_vms(ctl, vms) < 0)
		return -1;
	print_troubles(ctl, vms, &tally);
	return 0;
}

/* { "host": ..., "vms": [...] }: what GetHost and ListVms say, in one. */
static int print_summary_json(json_object *host, json_object *vms)
{
	_cleanup_json_ json_object *both = json_object_new_object();
	int r;

	r = varlink_json_set(both, "host", json_object_get(ctl_json_member(host, "host")));
	r |= varlink_json_set(both, "vms", json_object_get(ctl_json_member(vms, "vms")));
	if (r != 0)
		return -1;
	ctl_json_print(both);
	return 0;
}

int ctl_summary(const struct ctl *ctl, char **args)
{
	_cleanup_(client_freep) struct client *client = NULL;
	_cleanup_json_ json_object *host = NULL, *vms = NULL;
	int r;

	if (client_connect(&client, ctl) < 0)
		return EXIT_FAILURE;
	host = client_ask(client, "GetHost", json_object_new_object());
	if (!host)
		return EXIT_FAILURE;
	vms = client_ask(client, "ListVms", json_object_new_object());
	if (!vms)
		return EXIT_FAILURE;
	if (ctl->json)
		r = print_summary_json(host, vms);
	else
		r = print_summary(ctl, ctl_json_member(host, "host"), ctl_json_member(vms, "vms"));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
