// SPDX-License-Identifier: GPL-2.0-or-later
/* The command that shows how migrations went. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/params.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "varlink/json.h"

static json_object *make_params(const struct ctl *ctl, const char *vm)
{
	json_object *params = params_vm(vm);
	int r = 0;

	if (ctl->given & CTL_OPTION_LIMIT)
		r = varlink_json_set(params, "limit", json_object_new_int64(ctl->limit));
	return varlink_json_finish(params, r);
}

static enum colour outcome_colour(const char *outcome)
{
	if (strcmp(outcome, "completed") == 0)
		return COLOUR_GREEN;
	return strcmp(outcome, "failed") == 0 ? COLOUR_RED : COLOUR_YELLOW;
}

static void add_prepared(struct table *table, const char *prepared)
{
	table_add(table, prepared);
	if (strcmp(prepared, "ahead") == 0)
		table_colour(table, COLOUR_GREEN);
	else if (strcmp(prepared, "partly") == 0 || strcmp(prepared, "found") == 0)
		table_colour(table, COLOUR_YELLOW);
}

static void add_deadline(struct table *table, json_object *migration)
{
	bool known = ctl_json_member(migration, "deadlineMet");
	bool met = ctl_json_bool(migration, "deadlineMet");

	table_add(table, known ? met ? "met" : "missed" : "-");
	if (known && !met)
		table_colour(table, COLOUR_RED);
}

/* In milliseconds: what a guest may feel. */
static void add_stall(struct table *table, json_object *stall)
{
	if (stall)
		table_addf(table, "%.1fms", (double)ctl_json_count(stall, "sumUSec") / 1000);
	else
		table_add(table, "-");
}

static void add_migration(struct table *table, json_object *m)
{
	const char *outcome = ctl_json_string(m, "outcome");
	char buf[FORMAT_SIZE], name[TEXT_ESCAPED_MAX];

	text_escape(name, ctl_json_string(m, "vm"));
	table_add(table, format_time(buf, ctl_json_count(m, "endedUSec")));
	table_add(table, name);
	table_add(table, outcome);
	table_colour(table, outcome_colour(outcome));
	add_prepared(table, ctl_json_string(m, "prepared"));
	if (ctl_json_member(m, "leadUSec"))
		table_add(table, format_span(buf, ctl_json_count(m, "leadUSec")));
	else
		table_add(table, "-");
	if (ctl_json_member(m, "blocksLeft"))
		table_addf(table, "%" PRIu64, ctl_json_count(m, "blocksLeft"));
	else
		table_add(table, "-");
	table_addf(table, "%" PRIu64, ctl_json_count(m, "blocksSplit"));
	table_addf(table, "%" PRIu64, ctl_json_count(m, "tlbis"));
	add_stall(table, ctl_json_member(m, "stallMigrating"));
	add_deadline(table, m);
}

static int print_migrations(const struct term *term, json_object *migrations)
{
	static const struct table_column columns[] = {
		{ .title = "ENDED", .drop = 3 },
		{ .title = "VM", .least = 16 },
		{ .title = "OUTCOME" },
		{ .title = "PREPARED" },
		{ .title = "LEAD", .right = true, .drop = 4 },
		{ .title = "LEFT", .right = true },
		{ .title = "SPLIT", .right = true, .drop = 5 },
		{ .title = "TLBIS", .right = true, .drop = 6 },
		{ .title = "STALL", .right = true, .drop = 1 },
		{ .title = "DEADLINE", .drop = 2 },
		{ .title = NULL },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);

	if (!table)
		return -1;
	for (size_t i = 0; i < ctl_json_length(migrations); i++)
		add_migration(table, json_object_array_get_idx(migrations, i));
	return table_print(table, term, stdout);
}

int ctl_history(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply =
		client_call_once(ctl, "GetHistory", make_params(ctl, args[0]));

	if (!reply)
		return EXIT_FAILURE;
	if (!ctl->json && print_migrations(&ctl->term, ctl_json_member(reply, "migrations")) < 0)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
