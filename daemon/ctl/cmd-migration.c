// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that tell of migrations, of one VM or of several. */
#include "ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/client.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/params.h"
#include "ctl/text.h"
#include "ctl/wait.h"
#include "varlink/json.h"

/* Those that one can report; "none" is where a VM begins. */
static bool is_migration_state(const char *s)
{
	static const char *const states[] = { "scheduled", "active", "completed", "cancelled",
					      "failed" };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(s, states[i]) == 0)
			return true;
	return false;
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

static void print_told(const struct ctl_vm *vm)
{
	printf("%s: migration %s, stage %s, %" PRIu64 " block%s left.\n", vm->name, vm->migration,
	       vm->stage, vm->blocks, plural(vm->blocks));
}

/* What has been told of a VM, and is to be waited for. */
struct told {
	struct ctl ctl; /* with its own deadline */
	json_object *reply; /* NULL: it was refused */
	uint64_t nsec; /* CLOCK_MONOTONIC, when it was told */
};

/* What is told, of whom. */
struct telling {
	const struct ctl *ctl;
	const char *state;
	struct told *told;
	size_t n;
	int status;
};

static void telling_done(const struct telling *t)
{
	for (size_t i = 0; i < t->n; i++)
		json_object_put(t->told[i].reply);
	free(t->told);
}

/* The exit status of all: that of the first that failed, else that something was late. */
static void add_status(struct telling *t, int status)
{
	if (t->status == EXIT_SUCCESS || (t->status == CTL_LATE && status != EXIT_SUCCESS))
		t->status = status;
}

static void add_failure(struct telling *t)
{
	struct ctl_outcome *outcome = t->ctl->outcome;

	add_status(t, outcome->status ? outcome->status : EXIT_FAILURE);
	outcome->status = 0;
}

static bool is_preparing(const struct telling *t)
{
	return strcmp(t->state, "scheduled") == 0;
}

static void print_one(const struct telling *t, json_object *reply)
{
	struct ctl_vm vm;

	ctl_vm_from_json(&vm, ctl_json_member(reply, "vm"));
	if (is_preparing(t))
		print_scheduled(&vm);
	else
		print_told(&vm);
}

/* Tells of one VM; false: there is nobody to tell. */
static bool tell_one(struct telling *t, struct client *client, const char *name)
{
	struct told *told = &t->told[t->n];

	told->ctl = *t->ctl;
	/* One after the other, as they are given. */
	if (t->ctl->given & CTL_OPTION_STAGGER)
		told->ctl.deadline_usec += t->n * t->ctl->stagger_usec;
	t->n++;
	told->nsec = now_nsec(CLOCK_MONOTONIC);
	told->reply = client_call(client, "SetMigrationState",
				  params_migration(&told->ctl, name, t->state));
	if (!told->reply) {
		bool lost = t->ctl->outcome->status == CTL_NO_DAEMON;

		add_failure(t);
		return !lost;
	}
	if (!t->ctl->json && !(t->ctl->given & CTL_OPTION_WAIT))
		print_one(t, told->reply);
	return true;
}

/* All go on at once: to wait for one after the other is to wait for all. */
static void wait_for_all(struct telling *t)
{
	bool behind = false;

	for (size_t i = 0; i < t->n; i++) {
		const struct told *told = &t->told[i];
		struct ctl_vm vm;

		if (!told->reply)
			continue;
		ctl_vm_from_json(&vm, ctl_json_member(told->reply, "vm"));
		add_status(t, is_preparing(t)
				      ? wait_until_split(&told->ctl, &vm, told->nsec, behind)
				      : wait_until_whole(&told->ctl, &vm, told->nsec, behind));
		behind = true;
	}
}

/* Names, @n of them, by what get() gives for each. */
static int tell(const struct ctl *ctl, struct client *client, const char *state, size_t n,
		const char *(*get)(void *names, size_t i), void *names)
{
	_cleanup_(telling_done) struct telling t = { .ctl = ctl, .state = state };

	t.told = calloc(n ? n : 1, sizeof(*t.told));
	if (!t.told)
		return EXIT_FAILURE;
	for (size_t i = 0; i < n; i++)
		if (!tell_one(&t, client, get(names, i)))
			return t.status;
	if (ctl->given & CTL_OPTION_WAIT)
		wait_for_all(&t);
	return t.status;
}

static const char *get_argument(void *names, size_t i)
{
	return ((char **)names)[i];
}

static const char *get_listed(void *names, size_t i)
{
	return json_object_get_string(json_object_array_get_idx(names, i)) ?: "";
}

/* A connection on which what is said may be said twice. */
static int connect_patiently(struct client **ret, const struct ctl *ctl)
{
	int r = client_connect(ret, ctl);

	if (r == 0 && ctl->given & CTL_OPTION_WAIT)
		client_set_patient(*ret);
	return r;
}

static int tell_given(const struct ctl *ctl, char **args, size_t n, const char *state)
{
	_cleanup_(client_freep) struct client *client = NULL;

	if (connect_patiently(&client, ctl) < 0)
		return EXIT_FAILURE;
	return tell(ctl, client, state, n, get_argument, args);
}

/* The names of those that are not migrating already, as they are shown: so are names taken. */
static json_object *list_names(struct client *client)
{
	_cleanup_json_ json_object *reply = client_ask(client, "ListVms", json_object_new_object());
	json_object *vms = ctl_json_member(reply, "vms"), *array = json_object_new_array();

	for (size_t i = 0; i < ctl_json_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);
		char name[TEXT_ESCAPED_MAX];

		if (strcmp(ctl_json_string(vm, "migration"), "active") == 0)
			continue;
		text_escape(name, ctl_json_string(vm, "vm"));
		(void)json_object_array_add(array, json_object_new_string(name));
	}
	if (reply)
		return array;
	json_object_put(array);
	return NULL;
}

static int tell_all(const struct ctl *ctl, const char *state)
{
	_cleanup_(client_freep) struct client *client = NULL;
	_cleanup_json_ json_object *names = NULL;

	if (connect_patiently(&client, ctl) < 0)
		return EXIT_FAILURE;
	names = list_names(client);
	if (!names)
		return EXIT_FAILURE;
	return tell(ctl, client, state, ctl_json_length(names), get_listed, names);
}

static size_t count(char **args)
{
	size_t n = 0;

	while (args[n])
		n++;
	return n;
}

static int usage(const char *what)
{
	fprintf(stderr, "%s\nTry: eagersplitctl --help\n", what);
	return CTL_USAGE;
}

int ctl_migration(const struct ctl *ctl, char **args)
{
	const char *state = args[1];

	if (!is_migration_state(state)) {
		fprintf(stderr,
			"Not a state of a migration: %s\n"
			"One of: scheduled, active, completed, cancelled, failed.\n",
			state);
		return CTL_USAGE;
	}
	if (ctl->given & CTL_OPTION_WAIT && strcmp(state, "scheduled") != 0 &&
	    strcmp(state, "cancelled") != 0 && strcmp(state, "failed") != 0)
		return usage("--wait is for scheduled, cancelled and failed.");
	return tell_given(ctl, args, 1, state);
}

int ctl_prepare(const struct ctl *ctl, char **args)
{
	bool all = ctl->given & CTL_OPTION_ALL;
	size_t n = count(args);

	if (all ? n > 0 : n == 0)
		return usage(all ? "prepare takes names of VMs, or --all."
				 : "prepare needs names of VMs, or --all.");
	if (ctl->given & CTL_OPTION_STAGGER && !(ctl->given & CTL_OPTION_DEADLINE))
		return usage("--stagger is for deadlines: it needs --deadline.");
	return all ? tell_all(ctl, "scheduled") : tell_given(ctl, args, n, "scheduled");
}

int ctl_cancel(const struct ctl *ctl, char **args)
{
	return tell_given(ctl, args, count(args), "cancelled");
}

int ctl_complete(const struct ctl *ctl, char **args)
{
	return tell_given(ctl, args, count(args), "completed");
}
