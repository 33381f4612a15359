// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/wait.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/client.h"
#include "ctl/follow.h"
#include "ctl/format.h"
#include "ctl/progress.h"

/**
 * struct wait - for a VM
 * @progress: how far it is
 * @unseen: nothing has been heard of the VM since another one was waited for
 * @passed: and its deadline passed meanwhile
 */
struct wait {
	struct progress progress;
	bool unseen;
	bool passed;
};

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

static bool is_over(const struct ctl_vm *vm)
{
	return strcmp(vm->migration, "completed") == 0 || strcmp(vm->migration, "cancelled") == 0 ||
	       strcmp(vm->migration, "failed") == 0;
}

/* Why what is waited for will not be, or NULL. */
static const char *given_up(const struct progress *progress, const struct ctl_vm *vm)
{
	if (strcmp(vm->stage, "failed") == 0)
		return *vm->error ? vm->error : "splitting failed";
	if (progress->back)
		return is_over(vm) ? NULL : "another migration has begun";
	return is_over(vm) ? "somebody else has ended the migration" : NULL;
}

static enum next show_progress(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata)
{
	uint64_t now = now_nsec(CLOCK_MONOTONIC);
	struct wait *wait = userdata;
	struct progress *progress = &wait->progress;
	const char *why = given_up(progress, vm);
	bool unseen = wait->unseen;

	wait->unseen = false;
	if (why) {
		progress_end(progress);
		fprintf(stderr, "%s: %s.\n", vm->name, why);
		ctl->outcome->told = true;
		return NEXT_FAILURE;
	}
	if (!ctl->json)
		progress_update(progress, vm, now);
	if (!progress_is_done(progress, vm))
		return NEXT_GO_ON;
	if (!ctl->json)
		progress_summary(progress, vm, now, unseen);
	/* The exit status does not hang on it: the one before was late then, or has failed. */
	if (progress->back || (unseen && wait->passed) || !report_missed(ctl, vm))
		return NEXT_SUCCESS;
	*ctl->outcome = (struct ctl_outcome){ .status = CTL_LATE, .told = true };
	return NEXT_FAILURE;
}

static int wait_for(const struct ctl *ctl, struct wait *wait, const struct ctl_vm *vm,
		    uint64_t since)
{
	_cleanup_(client_freep) struct client *client = NULL;
	enum next next = NEXT_FAILURE;
	int status;

	if (!ctl->json)
		progress_update(&wait->progress, vm, since);
	if (client_connect_patiently(&client, ctl) == 0)
		next = follow_vms(ctl, client, vm->name, show_progress, wait);
	progress_end(&wait->progress);
	if (next == NEXT_SUCCESS)
		return EXIT_SUCCESS;
	status = ctl->outcome->status;
	ctl->outcome->status = 0;
	return status ? status : EXIT_FAILURE;
}

int wait_until_split(const struct ctl *ctl, const struct ctl_vm *vm, uint64_t since_nsec,
		     bool behind)
{
	struct wait wait = {
		.unseen = behind,
		.passed = behind && clock_usec(CLOCK_REALTIME) > ctl->deadline_usec,
	};

	progress_init(&wait.progress, &ctl->term, false);
	return wait_for(ctl, &wait, vm, since_nsec);
}

int wait_until_whole(const struct ctl *ctl, const struct ctl_vm *vm, uint64_t since_nsec,
		     bool behind)
{
	struct wait wait = { .unseen = behind };

	progress_init(&wait.progress, &ctl->term, true);
	return wait_for(ctl, &wait, vm, since_nsec);
}
