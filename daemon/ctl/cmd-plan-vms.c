// SPDX-License-Identifier: GPL-2.0-or-later
/* "plan" of VMs that there are: whether they will be split in time, one after the other. */
#include "ctl/cmd-plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/client.h"
#include "ctl/forecast.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/params.h"
#include "ctl/table.h"
#include "varlink/json.h"

/**
 * struct plan_vms - what is known, and what is asked
 * @vms: those that are to be split, in this order
 * @ahead: blocks of others that are being split already
 * @speed: blocks a second
 * @measured: that is by what there was, and not only by the budget
 * @apart: each VM has that speed, whatever is ahead of it
 */
struct plan_vms {
	json_object *vms;
	uint64_t ahead;
	double speed;
	bool measured;
	bool apart;
};

static bool is_named(json_object *vms, const char *name)
{
	for (size_t i = 0; i < ctl_json_length(vms); i++)
		if (strcmp(ctl_json_string(json_object_array_get_idx(vms, i), "vm"), name) == 0)
			return true;
	return false;
}

/* The VMs that were named, or all that are not migrating. NULL: it failed. */
static json_object *choose_vms(struct client *client, char **names, json_object *all)
{
	json_object *array = json_object_new_array();

	for (; *names; names++) {
		_cleanup_json_ json_object *reply = client_ask(client, "GetVm", params_vm(*names));

		if (!reply) {
			json_object_put(array);
			return NULL;
		}
		(void)json_object_array_add(array, json_object_get(ctl_json_member(reply, "vm")));
	}
	for (size_t i = 0; i < ctl_json_length(all); i++) {
		json_object *vm = json_object_array_get_idx(all, i);

		if (strcmp(ctl_json_string(vm, "migration"), "active") != 0)
			(void)json_object_array_add(array, json_object_get(vm));
	}
	return array;
}

static uint64_t count_ahead(json_object *all, json_object *chosen)
{
	uint64_t blocks = 0;

	for (size_t i = 0; i < ctl_json_length(all); i++) {
		json_object *vm = json_object_array_get_idx(all, i);

		if (strcmp(ctl_json_string(vm, "stage"), "splitting") == 0 &&
		    !is_named(chosen, ctl_json_string(vm, "vm")))
			blocks += ctl_json_count(vm, "blocks");
	}
	return blocks;
}

static void read_host(struct plan_vms *plan, json_object *object)
{
	const struct forecast_host host = {
		.throttled = ctl_json_bool(object, "throttled"),
		.rate = ctl_json_count(object, "tlbiRate"),
		.load_ppm = ctl_json_count(object, "tlbiLoadPpm"),
		.tlbis = ctl_json_count(object, "tlbisTotal"),
		.blocks = ctl_json_count(object, "blocksTotal"),
		.tlbi_usec = ctl_json_count(object, "tlbiUSecTotal"),
		.pauses = strcmp(ctl_json_string(object, "method"), "pause") == 0,
		.pause_rate = ctl_json_count(object, "vmPauseRate"),
	};

	plan->speed = forecast_speed(&host);
	plan->apart = host.pauses;
	plan->measured = host.tlbis > 0;
}

/* Returns 0 or -1. */
static int ask(const struct ctl *ctl, char **names, struct plan_vms *plan)
{
	_cleanup_(client_freep) struct client *client = NULL;
	_cleanup_json_ json_object *host = NULL, *list = NULL;
	json_object *all;

	if (client_connect(&client, ctl) < 0)
		return -1;
	host = client_ask(client, "GetHost", json_object_new_object());
	if (host)
		list = client_ask(client, "ListVms", json_object_new_object());
	if (!list)
		return -1;
	read_host(plan, ctl_json_member(host, "host"));
	all = ctl_json_member(list, "vms");
	plan->vms = choose_vms(client, names, *names ? NULL : all);
	plan->ahead = plan->apart ? 0 : count_ahead(all, plan->vms);
	return plan->vms ? 0 : -1;
}

/* What is said of a VM: in how many microseconds it is split, and whether that is in time. */
struct verdict {
	const char *vm;
	uint64_t blocks;
	uint64_t time_usec;
	bool late;
};

static struct verdict judge(const struct ctl *ctl, const struct plan_vms *plan, size_t i,
			    uint64_t *blocks)
{
	json_object *vm = json_object_array_get_idx(plan->vms, i);
	struct verdict v = {
		.vm = ctl_json_string(vm, "vm"),
		.blocks = ctl_json_count(vm, "blocks"),
	};

	*blocks = v.blocks + (plan->apart ? 0 : *blocks);
	v.time_usec = v.blocks ? forecast_time(*blocks, plan->speed) : 0;
	v.late = ctl->given & CTL_OPTION_DEADLINE &&
		 v.time_usec > ctl->deadline_usec - ctl->now_usec;
	return v;
}

static void add_verdict(const struct ctl *ctl, struct table *table, const struct verdict *v)
{
	uint64_t span = ctl->deadline_usec - ctl->now_usec;
	char name[TEXT_ESCAPED_MAX], buf[FORMAT_SIZE];

	text_escape(name, v->vm);
	table_add(table, name);
	table_addf(table, "%" PRIu64, v->blocks);
	table_add(table, format_span(buf, v->time_usec));
	if (!(ctl->given & CTL_OPTION_DEADLINE))
		table_add(table, "-");
	else if (v->late)
		table_addf(table, "no, by %s", format_span(buf, v->time_usec - span));
	else
		table_addf(table, "yes, %s to spare", format_span(buf, span - v->time_usec));
	table_colour(table, v->late ? COLOUR_RED : COLOUR_NONE);
}

/* Returns how many will be late, or -1. */
static int print_table(const struct ctl *ctl, const struct plan_vms *plan)
{
	static const struct table_column columns[] = {
		{ .title = "VM", .least = 16 },
		{ .title = "BLOCKS", .right = true, .drop = 1 },
		{ .title = "SPLIT IN" },
		{ .title = "IN TIME" },
		{ .title = NULL },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);
	uint64_t blocks = plan->ahead;
	int late = 0;

	if (!table)
		return -1;
	for (size_t i = 0; i < ctl_json_length(plan->vms); i++) {
		struct verdict v = judge(ctl, plan, i, &blocks);

		add_verdict(ctl, table, &v);
		late += v.late;
	}
	return table_print(table, &ctl->term, stdout) < 0 ? -1 : late;
}

static void print_basis(const struct plan_vms *plan)
{
	char n[FORMAT_SIZE], m[FORMAT_SIZE];

	if (plan->speed < (double)INT64_MAX && plan->apart)
		printf("\nAt %s blocks/s each, by pauses.\n",
		       format_count(n, (uint64_t)plan->speed));
	else if (plan->speed < (double)INT64_MAX)
		printf("\nAt %s blocks/s (%s), behind %s block%s.\n",
		       format_count(n, (uint64_t)plan->speed),
		       plan->measured ? "as so far" : "one a TLBI", format_count(m, plan->ahead),
		       plural(plan->ahead));
	else
		printf("\nNo budget limits it, as far as is known by now.\n");
}

static int print_text(const struct ctl *ctl, const struct plan_vms *plan)
{
	int late = print_table(ctl, plan);

	if (late >= 0)
		print_basis(plan);
	return late;
}

static json_object *verdict_to_json(const struct verdict *v)
{
	json_object *object = json_object_new_object();
	int r;

	r = varlink_json_set(object, "vm", json_object_new_string(v->vm));
	r |= varlink_json_set_u64(object, "blocks", v->blocks);
	r |= varlink_json_set_u64(object, "timeUSec", v->time_usec);
	r |= varlink_json_set(object, "late", json_object_new_boolean(v->late));
	return varlink_json_finish(object, r);
}

static int print_json(const struct ctl *ctl, const struct plan_vms *plan)
{
	json_object *object = json_object_new_object(), *array = json_object_new_array();
	uint64_t blocks = plan->ahead;
	int late = 0, r = 0;

	for (size_t i = 0; i < ctl_json_length(plan->vms); i++) {
		struct verdict v = judge(ctl, plan, i, &blocks);

		r |= json_object_array_add(array, verdict_to_json(&v));
		late += v.late;
	}
	r |= varlink_json_set(object, "vms", array);
	r |= varlink_json_set_u64(object, "blocksAhead", plan->ahead);
	if (plan->speed < (double)INT64_MAX)
		r |= varlink_json_set_u64(object, "blocksPerSecond", (uint64_t)plan->speed);
	object = varlink_json_finish(object, r);
	if (!object)
		return -1;
	ctl_json_print(object);
	ctl->outcome->told = true;
	json_object_put(object);
	return late;
}

int plan_vms(const struct ctl *ctl, char **names)
{
	struct plan_vms plan = { 0 };
	int late;

	if (ask(ctl, names, &plan) < 0)
		return EXIT_FAILURE;
	late = ctl->json ? print_json(ctl, &plan) : print_text(ctl, &plan);
	json_object_put(plan.vms);
	if (late < 0)
		return EXIT_FAILURE;
	return late ? CTL_LATE : EXIT_SUCCESS;
}
