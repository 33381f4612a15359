// SPDX-License-Identifier: GPL-2.0-or-later
/* eagersplitctl: what one tells and asks eagersplitd on the command line. */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl-format.h"
#include "util.h"

struct command {
	const char *name;
	const char *arguments; /* as the help shows them */
	int min_args, max_args;
	unsigned int options; /* CTL_OPTION_* that it takes */
	int (*run)(const struct ctl *ctl, char **args);
	const char *help;
};

#define MIGRATION_OPTIONS (CTL_OPTION_DEADLINE | CTL_OPTION_TLBI_RATE)

static const struct command commands[] = {
	{ "host", "", 0, 0, 0, ctl_host, "Show the host and its TLBI budget" },
	{ "list", "", 0, 0, 0, ctl_list, "List the VMs" },
	{ "status", "VM", 1, 1, 0, ctl_status, "Show a VM and its memslots" },
	{ "register", "PID [--name=NAME]", 1, 1, CTL_OPTION_NAME, ctl_register,
	  "Take up the VM of a VMM's process" },
	{ "unregister", "VM", 1, 1, 0, ctl_unregister, "Forget a VM; its pages stay as they are" },
	{ "migration", "VM STATE [--deadline=TIME] [--tlbi-rate=N]", 2, 2, MIGRATION_OPTIONS,
	  ctl_migration,
	  "Tell of a VM's migration: none, scheduled, active, completed, cancelled, failed" },
	{ "prepare", "VM [--wait] [--deadline=TIME] [--tlbi-rate=N]", 1, 1,
	  MIGRATION_OPTIONS | CTL_OPTION_WAIT, ctl_prepare,
	  "Split a VM's blocks: schedules its migration" },
	{ "watch", "[VM]", 0, 1, 0, ctl_watch, "Show changes as they happen" },
	{ "reload", "", 0, 0, 0, ctl_reload, "Have the configuration read again" },
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "name", required_argument, NULL, 'n' },
	{ "deadline", required_argument, NULL, 'd' },
	{ "tlbi-rate", required_argument, NULL, 'r' },
	{ "wait", no_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void print_help(void)
{
	printf("eagersplitctl [OPTION...] COMMAND\n\n"
	       "Splits the stage-2 blocks of KVM guests ahead of live migration.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %s %s\n        %s\n", commands[i].name, commands[i].arguments,
		       commands[i].help);
	printf("\nOptions:\n"
	       "  --socket=PATH     Talk to the eagersplitd that listens there\n"
	       "  --json            Print what it answers, a JSON object a line\n"
	       "  --name=NAME       What to call the VM\n"
	       "  --deadline=TIME   When it must be split: +90s, \"18:30\", \"2030-01-31 18:30\", @SECONDS\n"
	       "  --tlbi-rate=N     At most so many TLBIs a second for this VM; 0: as the host's\n"
	       "  --wait            Wait until all is split, and show how far it is\n"
	       "  --help            Show this, or the help of a command\n"
	       "  --version         Show the version\n\n"
	       "Exit status: 0 done, 1 refused or failed, 2 wrong usage.\n");
}

static int usage(const char *format, const char *what)
{
	fprintf(stderr, format, what);
	fprintf(stderr, "\nTry: eagersplitctl --help\n");
	return CTL_USAGE;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Takes an option's value. Returns 0 or CTL_USAGE. */
static int set_option(struct ctl *ctl, int c, const char *value)
{
	uint64_t now = now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC;

	switch (c) {
	case 's':
		ctl->socket = value;
		return 0;
	case 'j':
		ctl->json = true;
		return 0;
	case 'n':
		ctl->name = value;
		ctl->given |= CTL_OPTION_NAME;
		return 0;
	case 'w':
		ctl->given |= CTL_OPTION_WAIT;
		return 0;
	case 'd':
		if (parse_time(value, now, &ctl->deadline_usec) < 0)
			return usage("Not a time: %s", value);
		ctl->given |= CTL_OPTION_DEADLINE;
		return 0;
	case 'r':
		if (parse_number(value, &ctl->tlbi_rate) < 0)
			return usage("Not a rate: %s", value);
		ctl->given |= CTL_OPTION_TLBI_RATE;
		return 0;
	default: /* getopt has said why */
		fprintf(stderr, "Try: eagersplitctl --help\n");
		return CTL_USAGE;
	}
}

static int run(const struct ctl *ctl, int argc, char **argv, bool help)
{
	const struct command *command;

	if (argc == 0 && help) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (argc == 0)
		return usage("%s", "No command given.");
	command = find_command(argv[0]);
	if (!command)
		return usage("No such command: %s", argv[0]);
	if (help) {
		printf("eagersplitctl %s %s\n%s.\n", command->name, command->arguments,
		       command->help);
		return EXIT_SUCCESS;
	}
	if (argc - 1 < command->min_args || argc - 1 > command->max_args)
		return usage(argc - 1 < command->min_args ? "Too few arguments for %s."
							  : "Too many arguments for %s.",
			     command->name);
	if (ctl->given & ~command->options)
		return usage("An option given is not one of %s.", command->name);
	return command->run(ctl, argv + 1);
}

/* What did not reach its reader was not done: a full disk must not look like success. */
static int finish(int status)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "Cannot write: %m\n");
		return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .socket = EAGERSPLITD_SOCKET };
	bool help = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'V') {
			printf("eagersplitctl %s\n", PACKAGE_VERSION);
			return finish(EXIT_SUCCESS);
		}
		if (c == 'h')
			help = true;
		else if (set_option(&ctl, c, optarg) != 0)
			return CTL_USAGE;
	}
	return finish(run(&ctl, argc - optind, argv + optind, help));
}
