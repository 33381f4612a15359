// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that go on being told. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/cmd-vm.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/params.h"
#include "ctl/progress.h"
#include "ctl/text.h"
#include "varlink/json.h"

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
	printf("%s %s: migration %s, %s, %" PRIu64 " block%s left, %" PRIu64 " split, %" PRIu64
	       " TLBI%s%s%s%s%s%s\n",
	       clock, vm->name, vm->migration, vm->stage, vm->blocks, plural(vm->blocks),
	       vm->blocks_split, vm->tlbis, plural(vm->tlbis), *eta ? ", ETA " : "", eta,
	       vm->late ? ", late" : "", *vm->error ? ": " : "", vm->error);
}

/* How often progress alone is worth a line on a terminal. */
#define PROGRESS_USEC USEC_PER_SEC

/* What was said last of a VM. */
struct seen {
	struct seen *next;
	char *name;
	char migration[16], stage[16];
	bool late;
	uint64_t usec;
};

/* The VMs that a watch has told of, and how wide their names are. */
struct watch {
	struct seen *first;
	int name_width;
};

static void watch_done(const struct watch *watch)
{
	struct seen *seen = watch->first, *next;

	for (; seen; seen = next) {
		next = seen->next;
		free(seen->name);
		free(seen);
	}
}

/* What was seen of the VM, new if there is nothing. NULL: no memory. */
static struct seen *watch_find(struct watch *watch, const char *name)
{
	struct seen *seen = watch->first;

	while (seen && strcmp(seen->name, name) != 0)
		seen = seen->next;
	if (seen)
		return seen;
	seen = calloc(1, sizeof(*seen));
	if (!seen)
		return NULL;
	seen->name = strdup(name);
	if (!seen->name) {
		free(seen);
		return NULL;
	}
	seen->next = watch->first;
	watch->first = seen;
	return seen;
}

/* Whether there is more to say than that it gets on. */
static bool watch_is_news(struct watch *watch, const struct ctl_vm *vm, uint64_t now)
{
	struct seen *seen = watch_find(watch, vm->name);

	if (!seen)
		return true;
	if (strcmp(seen->migration, vm->migration) == 0 && strcmp(seen->stage, vm->stage) == 0 &&
	    seen->late == vm->late && now - seen->usec < PROGRESS_USEC)
		return false;
	snprintf(seen->migration, sizeof(seen->migration), "%s", vm->migration);
	snprintf(seen->stage, sizeof(seen->stage), "%s", vm->stage);
	seen->late = vm->late;
	seen->usec = now;
	return true;
}

/* A line that fits, for who looks on. */
static void print_short_change(const struct term *term, struct watch *watch,
			       const struct ctl_vm *vm, const char *clock, const char *eta)
{
	const int others = (int)strlen("HH:MM:SS    scheduled  recovering  ");
	enum colour colour = ctl_stage_colour(vm->stage);
	int most = term->width / 4, width = text_width(vm->name);
	char rest[256];

	/* As wide as the widest name so far. */
	if (width > watch->name_width)
		watch->name_width = width < most ? width : most;
	snprintf(rest, sizeof(rest), "%" PRIu64 " block%s%s%s%s%s%s", vm->blocks,
		 plural(vm->blocks), *eta ? ", " : "", eta, vm->late ? ", late" : "",
		 *vm->error ? ": " : "", vm->error);
	printf("%s  ", clock);
	text_put_padded(vm->name, watch->name_width, term, stdout);
	printf("  %-9s  %s%-10s%s  ", vm->migration, term_on(term, colour), vm->stage,
	       term_off(term, colour));
	width = term->width - others - watch->name_width;
	/* Of little use where there is no room for it: then the line breaks. */
	text_put(rest, width < 12 ? (int)sizeof(rest) : width, term, stdout);
	putchar('\n');
}

static enum next print_change(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata)
{
	uint64_t now = clock_usec(CLOCK_REALTIME);
	char clock[FORMAT_SIZE], eta[FORMAT_SIZE] = "";
	struct watch *watch = userdata;

	if (ctl->json)
		return NEXT_GO_ON;
	if (vm->has_eta)
		format_span(eta, vm->eta_usec);
	if (!ctl->term.width)
		print_full_change(vm, format_time(clock, now), eta);
	else if (watch_is_news(watch, vm, now))
		print_short_change(&ctl->term, watch, vm, format_clock(clock, now), eta);
	fflush(stdout);
	return NEXT_GO_ON;
}

int ctl_watch(const struct ctl *ctl, char **args)
{
	_cleanup_(watch_done) struct watch watch = { 0 };
	_cleanup_(client_freep) struct client *client = NULL;

	if (client_connect(&client, ctl) < 0)
		return EXIT_FAILURE;
	client_set_patient(client);
	if (client_send(client, "Watch", params_vm(args[0]), true) < 0)
		return EXIT_FAILURE;
	return watch_replies(ctl, client, print_change, &watch) == NEXT_FAILURE ? EXIT_FAILURE
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

/* Whether the VM has been split by now, but after --deadline=; says so. */
static bool report_missed(const struct ctl *ctl, const struct ctl_vm *vm)
{
	uint64_t now = clock_usec(CLOCK_REALTIME);
	char span[FORMAT_SIZE];

	if (!(ctl->given & CTL_OPTION_DEADLINE) || now <= ctl->deadline_usec)
		return false;
	/* What it is about comes first, wherever both go. */
	fflush(stdout);
	fprintf(stderr, "%s: that is %s after the deadline.\n", vm->name,
		format_span(span, now - ctl->deadline_usec));
	return true;
}

static enum next show_progress(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata)
{
	uint64_t now = now_nsec(CLOCK_MONOTONIC);
	struct progress *progress = userdata;
	const char *why = given_up(vm);

	if (why) {
		progress_end(progress);
		fprintf(stderr, "%s: %s.\n", vm->name, why);
		ctl->outcome->told = true;
		return NEXT_FAILURE;
	}
	if (!ctl->json)
		progress_update(progress, vm, now);
	if (strcmp(vm->stage, "split") != 0)
		return NEXT_GO_ON;
	if (!ctl->json)
		progress_summary(progress, vm, now);
	if (!report_missed(ctl, vm))
		return NEXT_SUCCESS;
	*ctl->outcome = (struct ctl_outcome){ .status = CTL_LATE, .told = true };
	return NEXT_FAILURE;
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

	printf("%s: %s, %" PRIu64 " block%s (%s) to split", vm->name, vm->stage, vm->blocks,
	       plural(vm->blocks), format_bytes(size, vm->block_bytes));
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
	/* To say twice that it is scheduled is to say it once. */
	if (ctl->given & CTL_OPTION_WAIT)
		client_set_patient(client);
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
