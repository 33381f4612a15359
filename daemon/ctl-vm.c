// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that ask once. */
#include "ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl-client.h"
#include "ctl-format.h"
#include "ctl-json.h"
#include "ctl-params.h"
#include "ctl-table.h"

/* Calls a method; NULL if that failed, which was reported. */
static json_object *call(const struct ctl *ctl, const char *method, json_object *parameters)
{
	_cleanup_(client_freep) struct client *client = NULL;

	if (client_connect(&client, ctl) < 0) {
		json_object_put(parameters);
		return NULL;
	}
	return client_call(client, method, parameters);
}

static void print_host(json_object *host)
{
	int64_t rate = ctl_json_int(host, "tlbiRate");
	const char *backend = ctl_json_string(host, "backend");

	printf("Version:       %s\n", ctl_json_string(host, "version"));
	printf("Backend:       %s%s\n", backend,
	       strcmp(backend, "sim") == 0 ? " (a simulated host)" : "");
	printf("Supported:     %s\n", ctl_json_bool(host, "supported")
					      ? "yes"
					      : "no, the kernel lacks the eager-split ioctls");
	printf("Splitting:     %s\n", ctl_json_int(host, "bbmLevel") >= 2
					      ? "without break-before-make (FEAT_BBM level 2)"
					      : "by break-before-make");
	if (!ctl_json_bool(host, "throttled"))
		printf("TLBI budget:   not needed\n");
	else if (rate == 0)
		printf("TLBI budget:   no limit\n");
	else
		printf("TLBI budget:   %" PRId64 "/s, at most %" PRId64 " at once\n", rate,
		       ctl_json_int(host, "tlbiBurst"));
	printf("TLBIs issued:  %" PRId64 "\n", ctl_json_int(host, "tlbisTotal"));
	printf("Blocks split:  %" PRId64 "\n", ctl_json_int(host, "blocksTotal"));
}

int ctl_host(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = call(ctl, "GetHost", json_object_new_object());

	if (!reply)
		return EXIT_FAILURE;
	if (!ctl->json)
		print_host(ctl_json_member(reply, "host"));
	return EXIT_SUCCESS;
}

static void add_vm(struct table *table, const struct ctl_vm *vm)
{
	char buf[FORMAT_SIZE];

	table_add(table, vm->name);
	table_addf(table, "%" PRId64, vm->pid);
	table_add(table, vm->migration);
	table_add(table, vm->stage);
	table_add(table, format_bytes(buf, vm->bytes));
	table_addf(table, "%" PRIu64, vm->blocks);
	table_addf(table, "%" PRIu64, vm->blocks_split);
	table_addf(table, "%" PRIu64, vm->tlbis);
	table_addf(table, "%s%s", vm->has_eta ? format_span(buf, vm->eta_usec) : "-",
		   vm->late ? " (late)" : "");
}

static int print_vms(json_object *vms)
{
	static const struct table_column columns[] = {
		{ "VM", false },    { "PID", true },	{ "MIGRATION", false }, { "STAGE", false },
		{ "MEMORY", true }, { "BLOCKS", true }, { "SPLIT", true },	{ "TLBIS", true },
		{ "ETA", false },   { NULL, false },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);
	size_t n = json_object_is_type(vms, json_type_array) ? json_object_array_length(vms) : 0;

	if (!table)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct ctl_vm vm;

		ctl_vm_from_json(&vm, json_object_array_get_idx(vms, i));
		add_vm(table, &vm);
	}
	return table_print(table);
}

int ctl_list(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = call(ctl, "ListVms", json_object_new_object());

	if (!reply)
		return EXIT_FAILURE;
	if (!ctl->json && print_vms(ctl_json_member(reply, "vms")) < 0)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

static int print_memslots(json_object *memslots)
{
	static const struct table_column columns[] = {
		{ "SLOT", true },   { "GPA", true },	   { "SIZE", true },
		{ "BLOCKS", true }, { "IN BLOCKS", true }, { "DIRTY LOGGING", false },
		{ NULL, false },
	};
	_cleanup_(table_freep) struct table *table = table_new(columns);
	char buf[FORMAT_SIZE];

	if (!table)
		return -1;
	for (size_t i = 0; i < json_object_array_length(memslots); i++) {
		json_object *m = json_object_array_get_idx(memslots, i);

		table_addf(table, "%" PRId64, ctl_json_int(m, "slot"));
		table_addf(table, "0x%" PRIx64, (uint64_t)ctl_json_int(m, "gpa"));
		table_add(table, format_bytes(buf, (uint64_t)ctl_json_int(m, "bytes")));
		table_addf(table, "%" PRId64, ctl_json_int(m, "blocks"));
		table_add(table, format_bytes(buf, (uint64_t)ctl_json_int(m, "blockBytes")));
		table_add(table, ctl_json_bool(m, "dirtyLogging") ? "on" : "off");
	}
	putchar('\n');
	return table_print(table);
}

static void print_vm(const struct ctl_vm *vm)
{
	char buf[FORMAT_SIZE];

	printf("VM:         %s\n", vm->name);
	printf("Process:    %" PRId64 "\n", vm->pid);
	printf("Migration:  %s\n", vm->migration);
	printf("Stage:      %s\n", vm->stage);
	if (*vm->error)
		printf("Error:      %s\n", vm->error);
	printf("Memory:     %s\n", format_bytes(buf, vm->bytes));
	printf("In blocks:  %s (%" PRIu64 " blocks)\n", format_bytes(buf, vm->block_bytes),
	       vm->blocks);
	printf("Split:      %" PRIu64 " blocks, for %" PRIu64 " TLBIs\n", vm->blocks_split,
	       vm->tlbis);
	if (vm->has_eta)
		printf("ETA:        %s\n", format_span(buf, vm->eta_usec));
	if (vm->has_deadline)
		printf("Deadline:   %s%s\n", format_time(buf, vm->deadline_usec),
		       vm->late ? ", will be missed" : "");
}

int ctl_status(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = call(ctl, "GetVm", params_vm(args[0]));
	json_object *object, *memslots;
	struct ctl_vm vm;

	if (!reply)
		return EXIT_FAILURE;
	if (ctl->json)
		return EXIT_SUCCESS;
	object = ctl_json_member(reply, "vm");
	ctl_vm_from_json(&vm, object);
	print_vm(&vm);
	memslots = ctl_json_member(object, "memslots");
	if (json_object_is_type(memslots, json_type_array) && print_memslots(memslots) < 0)
		return EXIT_FAILURE;
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
	reply = call(ctl, "Register", params_register(pid, ctl->name));
	if (!reply)
		return EXIT_FAILURE;
	if (ctl->json)
		return EXIT_SUCCESS;
	ctl_vm_from_json(&vm, ctl_json_member(reply, "vm"));
	printf("Registered %s: process %" PRId64 ", %s, %" PRIu64 " blocks.\n", vm.name, vm.pid,
	       format_bytes(size, vm.bytes), vm.blocks);
	return EXIT_SUCCESS;
}

int ctl_unregister(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = call(ctl, "Unregister", params_vm(args[0]));

	return reply ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ctl_migration(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = NULL;
	struct ctl_vm vm;

	reply = call(ctl, "SetMigrationState", params_migration(ctl, args[0], args[1]));
	if (!reply)
		return EXIT_FAILURE;
	if (ctl->json)
		return EXIT_SUCCESS;
	ctl_vm_from_json(&vm, ctl_json_member(reply, "vm"));
	printf("%s: migration %s, stage %s, %" PRIu64 " blocks left.\n", vm.name, vm.migration,
	       vm.stage, vm.blocks);
	return EXIT_SUCCESS;
}

int ctl_reload(const struct ctl *ctl, char **args)
{
	_cleanup_json_ json_object *reply = call(ctl, "Reload", json_object_new_object());

	return reply ? EXIT_SUCCESS : EXIT_FAILURE;
}
