// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that go on being told. */
#include "ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "ctl-client.h"
#include "ctl-format.h"
#include "ctl-json.h"
#include "ctl-params.h"
#include "ctl-progress.h"
#include "ctl-vm.h"

/* What to do after a reply of a stream. */
enum next {
	NEXT_GO_ON,
	NEXT_SUCCESS,
	NEXT_FAILURE,
};

typedef enum next (*on_vm)(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata);

/* Gives the VM of each reply to a Watch call to handle(), until that has enough of it. */
static enum next watch_replies(const struct ctl *ctl, struct client *client, on_vm handle,
			       void *userdata)
{
	for (;;) {
		_cleanup_(varlink_reply_done) struct varlink_reply reply = { 0 };
		struct ctl_vm vm;
		enum next next;

		if (client_receive(client, &reply) < 0)
			return NEXT_FAILURE;
		if (reply.error) {
			client_report(client, &reply);
			return NEXT_FAILURE;
		}
		if (ctl->json) {
			ctl_json_print(reply.parameters);
			fflush(stdout);
		}
		ctl_vm_from_json(&vm, ctl_json_member(reply.parameters, "vm"));
		next = handle(ctl, &vm, userdata);
		if (next != NEXT_GO_ON || !reply.continues)
			return next;
	}
}

/* A line that says everything, for who reads it later. */
static void print_full_change(const struct ctl_vm *vm, const char *clock, const char *eta)
{
	printf("%s %s: migration %s, %s, %" PRIu64 " blocks left, %" PRIu64 " split, %" PRIu64
	       " TLBIs%s%s%s%s%s\n",
	       clock, vm->name, vm->migration, vm->stage, vm->blocks, vm->blocks_split, vm->tlbis,
	       *eta ? ", ETA " : "", eta, vm->late ? ", late" : "", *vm->error ? ": " : "",
	       vm->error);
}

/* A line that fits, for who looks on. */
static void print_short_change(const struct term *term, const struct ctl_vm *vm, const char *clock,
			       const char *eta)
{
	enum colour colour = ctl_stage_colour(vm->stage);
	char rest[256];
	int room;

	snprintf(rest, sizeof(rest), "%" PRIu64 " blocks left%s%s%s%s%s", vm->blocks,
		 *eta ? ", " : "", eta, vm->late ? ", late" : "", *vm->error ? ": " : "",
		 vm->error);
	room = term->width -
	       (int)(strlen(vm->name) + strlen("HH:MM:SS    scheduled  recovering  "));
	/* Of little use where there is no room for it: then the line breaks. */
	if (room < 20)
		room = (int)strlen(rest);
	printf("%s  %s  %-9s  %s%-10s%s  %.*s\n", clock, vm->name, vm->migration,
	       term_on(term, colour), vm->stage, term_off(term, colour), room, rest);
}

static enum next print_change(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata)
{
	uint64_t now = now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC;
	char clock[FORMAT_SIZE], eta[FORMAT_SIZE] = "";

	if (ctl->json)
		return NEXT_GO_ON;
	if (vm->has_eta)
		format_span(eta, vm->eta_usec);
	if (ctl->term.width)
		print_short_change(&ctl->term, vm, format_clock(clock, now), eta);
	else
		print_full_change(vm, format_time(clock, now), eta);
	fflush(stdout);
	return NEXT_GO_ON;
}

int ctl_watch(const struct ctl *ctl, char **args)
{
	_cleanup_(client_freep) struct client *client = NULL;

	if (client_connect(&client, ctl) < 0 ||
	    client_send(client, "Watch", params_vm(args[0]), true) < 0)
		return EXIT_FAILURE;
	return watch_replies(ctl, client, print_change, NULL) == NEXT_FAILURE ? EXIT_FAILURE
									      : EXIT_SUCCESS;
}

/* Why a VM that was to be split will not be, or NULL. */
static const char *given_up(const struct ctl_vm *vm)
{
	if (strcmp(vm->stage, "failed") == 0)
		return *vm->error ? vm->error : "splitting failed";
	if (strcmp(vm->migration, "completed") == 0 || strcmp(vm->migration, "cancelled") == 0 ||
	    strcmp(vm->migration, "failed") == 0)
		return "somebody else has ended the migration";
	return NULL;
}

static enum next show_progress(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata)
{
	uint64_t now = now_nsec(CLOCK_MONOTONIC);
	struct progress *progress = userdata;
	const char *why = given_up(vm);

	if (why) {
		progress_end(progress);
		fprintf(stderr, "%s: %s.\n", vm->name, why);
		return NEXT_FAILURE;
	}
	if (!ctl->json)
		progress_update(progress, vm, now);
	if (strcmp(vm->stage, "split") != 0)
		return NEXT_GO_ON;
	if (!ctl->json)
		progress_summary(progress, vm, now);
	return NEXT_SUCCESS;
}

/* Waits until the VM is split; vm is what it was when splitting was asked for. */
static int wait_until_split(const struct ctl *ctl, struct client *client, const struct ctl_vm *vm)
{
	struct progress progress;
	enum next next;

	progress_init(&progress, &ctl->term);
	if (!ctl->json)
		progress_update(&progress, vm, now_nsec(CLOCK_MONOTONIC));
	if (client_send(client, "Watch", params_vm(vm->name), true) < 0)
		next = NEXT_FAILURE;
	else
		next = watch_replies(ctl, client, show_progress, &progress);
	progress_end(&progress);
	return next == NEXT_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void print_scheduled(const struct ctl_vm *vm)
{
	char size[FORMAT_SIZE], span[FORMAT_SIZE];

	printf("%s: %s, %" PRIu64 " blocks (%s) to split", vm->name, vm->stage, vm->blocks,
	       format_bytes(size, vm->block_bytes));
	if (vm->has_eta)
		printf(", %s left%s", format_span(span, vm->eta_usec),
		       vm->late ? ": later than the deadline" : "");
	printf(".\n");
}

int ctl_prepare(const struct ctl *ctl, char **args)
{
	_cleanup_(client_freep) struct client *client = NULL;
	_cleanup_json_ json_object *reply = NULL;
	struct ctl_vm vm;

	if (client_connect(&client, ctl) < 0)
		return EXIT_FAILURE;
	reply = client_call(client, "SetMigrationState",
			    params_migration(ctl, args[0], "scheduled"));
	if (!reply)
		return EXIT_FAILURE;
	ctl_vm_from_json(&vm, ctl_json_member(reply, "vm"));
	if (ctl->given & CTL_OPTION_WAIT)
		return wait_until_split(ctl, client, &vm);
	if (!ctl->json)
		print_scheduled(&vm);
	return EXIT_SUCCESS;
}
