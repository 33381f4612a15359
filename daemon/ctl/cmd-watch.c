// SPDX-License-Identifier: GPL-2.0-or-later
/* The command that shows what changes. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/cmd-vm.h"
#include "ctl/follow.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/text.h"
#include "varlink/json.h"

/* A line that says everything, for who reads it later. */
static void print_full_change(const struct ctl_vm *vm, const char *clock, const char *eta)
{
	printf("%s %s: migration %s, %s, %" PRIu64 " block%s left, %" PRIu64 " split, %" PRIu64
	       " TLBI%s%s%s%s%s%s%s\n",
	       clock, vm->name, vm->migration, vm->stage, vm->blocks, plural(vm->blocks),
	       vm->blocks_split, vm->tlbis, plural(vm->tlbis), *eta ? ", ETA " : "", eta,
	       vm->late ? ", late" : "", vm->gone ? ", gone" : "", *vm->error ? ": " : "",
	       vm->error);
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
	if (!vm->gone && strcmp(seen->migration, vm->migration) == 0 &&
	    strcmp(seen->stage, vm->stage) == 0 && seen->late == vm->late &&
	    now - seen->usec < PROGRESS_USEC)
		return false;
	snprintf(seen->migration, sizeof(seen->migration), "%s", vm->migration);
	snprintf(seen->stage, sizeof(seen->stage), "%s", vm->stage);
	seen->late = vm->late;
	/* Another one may be called so. */
	seen->usec = vm->gone ? 0 : now;
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
	snprintf(rest, sizeof(rest), "%" PRIu64 " block%s%s%s%s%s%s%s", vm->blocks,
		 plural(vm->blocks), *eta ? ", " : "", eta, vm->late ? ", late" : "",
		 vm->gone ? ", gone" : "", *vm->error ? ": " : "", vm->error);
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
	return follow_vms(ctl, client, args[0], print_change, &watch) == NEXT_FAILURE
		       ? EXIT_FAILURE
		       : EXIT_SUCCESS;
}
