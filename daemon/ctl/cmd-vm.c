// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that ask once. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cmd-vm.h"
#include "base/util.h"
#include "ctl/client.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/params.h"
#include "ctl/table.h"
#include "varlink/json.h"

enum colour ctl_stage_colour(const char *stage)
{
	if (strcmp(stage, "split") == 0)
		return COLOUR_GREEN;
	if (strcmp(stage, "splitting") == 0)
		return COLOUR_CYAN;
	if (strcmp(stage, "recovering") == 0)
		return COLOUR_YELLOW;
	return strcmp(stage, "failed") == 0 ? COLOUR_RED : COLOUR_NONE;
}

static void add_vm(struct table *table, const struct ctl_vm *vm)
{
	char buf[FORMAT_SIZE];

	if (*vm->claimed)
		table_addf(table, "%s (%s?)", vm->name, vm->claimed);
	else
		table_add(table, vm->name);
	table_addf(table, "%" PRId64, vm->pid);
	table_add(table, vm->migration);
	table_add(table, vm->stage);
	table_colour(table, ctl_stage_colour(vm->stage));
	table_add(table, format_bytes(buf, vm->bytes));
	table_addf(table, "%" PRIu64, vm->blocks);
	table_addf(table, "%" PRIu64, vm->blocks_split);
	table_addf(table, "%" PRIu64, vm->tlbis);
	table_addf(table, "%s%s", vm->has_eta ? format_span(buf, vm->eta_usec) : "-",
		   vm->late ? " (late)" : "");
	if (vm->late)
		table_colour(table, COLOUR_RED);
}

static int print_vms(const struct term *term, json_object *vms)
{
	static const struct table_column columns[] = {
		{ .title = "VM", .least = 16 },
		{ .title = "PID", .right = true, .drop = 2 },
		{ .title = "MIGRATION" },
		{ .title = "STAGE" },
		{ .title = "MEMORY", .right = true, .drop = 3 },
		{ .title = "BLOCKS", .right = true, .drop = 1 },
		{ .title = "SPLIT", .right = true, .drop = 4 },
		{ .title = "TLBIS", .right = true, .drop = 5 },
		{ .title = "ETA" },
		{ .title = NULL },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);

	if (!table)
		return -1;
	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		struct ctl_vm vm;

		ctl_vm_from_json(&vm, json_object_array_get_idx(vms, i));
		add_vm(table, &vm);
	}
	return table_print(table, term, stdout);
}

int ctl_list(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply =
		client_call_once(ctl, "ListVms", json_object_new_object());

	if (!reply)
		return EXIT_FAILURE;
	if (!ctl->json && print_vms(&ctl->term, ctl_json_member(reply, "vms")) < 0)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

static int print_memslots(const struct term *term, json_object *memslots)
{
	static const struct table_column columns[] = {
		{ .title = "SLOT", .right = true },
		{ .title = "GPA", .right = true },
		{ .title = "SIZE", .right = true },
		{ .title = "BLOCKS", .right = true },
		{ .title = "IN BLOCKS", .right = true },
		{ .title = "DIRTY LOGGING" },
		{ .title = NULL },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);
	char buf[FORMAT_SIZE];

	if (!table)
		return -1;
	for (size_t i = 0; i < ctl_json_length(memslots); i++) {
		json_object *m = json_object_array_get_idx(memslots, i);

		table_addf(table, "%" PRId64, ctl_json_int(m, "slot"));
		table_addf(table, "0x%" PRIx64, (uint64_t)ctl_json_int(m, "gpa"));
		table_add(table, format_bytes(buf, (uint64_t)ctl_json_int(m, "bytes")));
		table_addf(table, "%" PRId64, ctl_json_int(m, "blocks"));
		table_add(table, format_bytes(buf, (uint64_t)ctl_json_int(m, "blockBytes")));
		table_add(table, ctl_json_bool(m, "dirtyLogging") ? "on" : "off");
	}
	putchar('\n');
	return table_print(table, term, stdout);
}

static const char *late_text(const struct ctl_vm *vm, uint64_t now_usec)
{
	if (!vm->late)
		return "";
	return vm->deadline_usec > now_usec ? ", will be missed" : ", has passed";
}

static void print_names(const struct ctl_vm *vm)
{
	const struct passwd *user = vm->uid >= 0 ? getpwuid((uid_t)vm->uid) : NULL;

	printf("VM:         %s\n", vm->name);
	if (*vm->claimed)
		printf("Claims:     %s, as another VM does\n", vm->claimed);
	if (*vm->uuid)
		printf("UUID:       %s\n", vm->uuid);
	if (user)
		printf("Process:    %" PRId64 ", of user %s\n", vm->pid, user->pw_name);
	else if (vm->uid >= 0)
		printf("Process:    %" PRId64 ", of user %" PRId64 "\n", vm->pid, vm->uid);
	else
		printf("Process:    %" PRId64 "\n", vm->pid);
}

static void print_vm(const struct term *term, const struct ctl_vm *vm, uint64_t now_usec)
{
	enum colour colour = ctl_stage_colour(vm->stage);
	char buf[FORMAT_SIZE], n[FORMAT_SIZE];

	print_names(vm);
	printf("Migration:  %s\n", vm->migration);
	printf("Stage:      %s%s%s\n", term_on(term, colour), vm->stage, term_off(term, colour));
	if (*vm->error)
		printf("Error:      %s\n", vm->error);
	printf("Memory:     %s\n", format_bytes(buf, vm->bytes));
	printf("In blocks:  %s (%s block%s)\n", format_bytes(buf, vm->block_bytes),
	       format_count(n, vm->blocks), plural(vm->blocks));
	printf("Split:      %s block%s, for %s TLBI%s\n", format_count(buf, vm->blocks_split),
	       plural(vm->blocks_split), format_count(n, vm->tlbis), plural(vm->tlbis));
	if (vm->has_eta)
		printf("ETA:        %s\n", format_span(buf, vm->eta_usec));
	if (vm->has_deadline)
		printf("Deadline:   %s%s%s%s\n", format_time(buf, vm->deadline_usec),
		       term_on(term, COLOUR_RED), late_text(vm, now_usec),
		       term_off(term, COLOUR_RED));
}

int ctl_status(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = client_call_once(ctl, "GetVm", params_vm(args[0]));
	json_object *object, *memslots;
	struct ctl_vm vm;

	if (!reply)
		return EXIT_FAILURE;
	if (ctl->json)
		return EXIT_SUCCESS;
	object = ctl_json_member(reply, "vm");
	ctl_vm_from_json(&vm, object);
	print_vm(&ctl->term, &vm, ctl->now_usec);
	memslots = ctl_json_member(object, "memslots");
	if (ctl_json_length(memslots) && print_memslots(&ctl->term, memslots) < 0)
		return EXIT_FAILURE;
	if (ctl_json_member(object, "memslotsLeftOut"))
		printf("And %" PRIu64 " more.\n", ctl_json_count(object, "memslotsLeftOut"));
	return EXIT_SUCCESS;
}

int ctl_register(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = NULL;
	char size[FORMAT_SIZE];
	struct ctl_vm vm;
	int64_t pid;

	if (parse_number(args[0], &pid) < 0 || pid == 0 || pid > INT32_MAX) {
		fprintf(stderr, "Not a process id: %s\n", args[0]);
		return CTL_USAGE;
	}
	reply = client_call_once(ctl, "Register", params_register(pid, ctl->name));
	if (!reply)
		return EXIT_FAILURE;
	if (ctl->json)
		return EXIT_SUCCESS;
	ctl_vm_from_json(&vm, ctl_json_member(reply, "vm"));
	printf("Registered %s: process %" PRId64 ", %s, %" PRIu64 " block%s.\n", vm.name, vm.pid,
	       format_bytes(size, vm.bytes), vm.blocks, plural(vm.blocks));
	return EXIT_SUCCESS;
}

int ctl_unregister(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = client_call_once(ctl, "Unregister", params_vm(args[0]));

	return reply ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ctl_reload(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply =
		client_call_once(ctl, "Reload", json_object_new_object());

	return reply ? EXIT_SUCCESS : EXIT_FAILURE;
}
