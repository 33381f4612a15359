// SPDX-License-Identifier: GPL-2.0-or-later
/* eagersplitctl: what one tells and asks eagersplitd on the command line. */
#include "ctl/ctl.h"

#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "ctl/options.h"

/* How long a call may take, unless --timeout= says something else. */
#define TIMEOUT_DEFAULT_USEC (30 * USEC_PER_SEC)

struct command {
	const char *name;
	const char *arguments; /* as the help shows them */
	int min_args, max_args;
	unsigned int options; /* CTL_OPTION_* that it takes */
	int (*run)(const struct ctl *ctl, char **args);
	const char *summary; /* a line */
	const char *more; /* what else its own help says */
	const char *examples[2]; /* what follows the name of the program */
};

/* Of arguments: as many as one likes. */
#define ANY INT_MAX

#define MIGRATION_OPTIONS (CTL_OPTION_DEADLINE | CTL_OPTION_TLBI_RATE)
#define PLAN_OPTIONS                                                                      \
	(CTL_OPTION_MEMORY | CTL_OPTION_BLOCK_SIZE | CTL_OPTION_BATCH | CTL_OPTION_RATE | \
	 CTL_OPTION_BBM | CTL_OPTION_DEADLINE | CTL_OPTION_ALL)

static const char migration_more[] =
	"STATE is one of:\n"
	"  scheduled          It is going to migrate: hold, and split\n"
	"  active             Dirty logging is or will be on: go on splitting\n"
	"  completed          It has left: release, forget\n"
	"  cancelled, failed  It stays: release, and recover the blocks\n";

static const char plan_more[] =
	"Of VMs, or of all, it says when each of them will be split, one after the\n"
	"other, by what the host does now and by its budget; with --deadline= whether\n"
	"that is in time.\n\n"
	"With --memory= it computes from what is given alone, and asks no daemon: with\n"
	"--deadline= the rate that is needed, with --rate= the time that it takes.\n\n"
	"Where a deadline would be missed the exit status is 6.\n";

static const char watch_more[] =
	"Ends, with status 4, when the VM goes away. Goes on when the daemon is started\n"
	"anew; where it is not within --timeout=, ends with status 3.\n";

static const char register_more[] =
	"Without --name=, the VM keeps the name that it is found by, else PID.FD.\n";

static const char prepare_more[] =
	"The same as \"migration VM scheduled\", for each VM. --stagger= spreads their\n"
	"deadlines, in the order in which they are given. With --wait, the exit status\n"
	"is 0 once all of them are mapped by pages, 6 if that was so only after\n"
	"--deadline=, and another one if it will not be. It goes on when the daemon is\n"
	"started anew meanwhile.\n";

static const char history_more[] =
	"PREPARED is ahead: all was split when dirty logging began; partly: LEFT blocks\n"
	"were not; found: nobody had announced it; unused: it never began. LEAD is how\n"
	"long before that it was announced, STALL how long vCPUs waited for page tables\n"
	"from then on, all of them. The last 1000 are kept.\n";

static const char cancel_more[] =
	"The same as \"migration VM cancelled\", for each VM. With --wait, until no more\n"
	"blocks come back.\n";

static const char top_more[] =
	"Keys: A, N, B, T, D sort by activity, name, blocks, TLBIs, deadline; R turns\n"
	"the order round; space stops and goes on; q ends it. Elsewhere than on a\n"
	"terminal it prints once.\n";

static const char doctor_more[] =
	"Says what is missing and what to do about it. The exit status is 1 if a check\n"
	"failed; as root it can tell more.\n";

static const char metrics_more[] =
	"node_exporter's textfile collector takes --format=prometheus, in a file that\n"
	"ends in .prom; eagersplitd-metrics.timer writes one.\n";

static const struct command commands[] = {
	{ "host",
	  "",
	  0,
	  0,
	  0,
	  ctl_host,
	  "Show the host and its TLBI budget",
	  "",
	  { "host", "host --json" } },
	{ "list",
	  "",
	  0,
	  0,
	  0,
	  ctl_list,
	  "List the VMs",
	  "",
	  { "list", "list --no-legend | while read vm rest; do ..." } },
	{ "status",
	  "VM",
	  1,
	  1,
	  0,
	  ctl_status,
	  "Show a VM and its memslots",
	  "",
	  { "status guest1", "status 4711 --json" } },
	{ "register",
	  "PID",
	  1,
	  1,
	  CTL_OPTION_NAME,
	  ctl_register,
	  "Register the VM of a VMM's process",
	  register_more,
	  { "register 4711 --name=guest1",
	    "register $(cat /run/libvirt/qemu/guest1.pid) --name=guest1" } },
	{ "unregister",
	  "VM",
	  1,
	  1,
	  0,
	  ctl_unregister,
	  "Forget a VM; its pages stay as they are",
	  "",
	  { "unregister guest1", "unregister 4711.12" } },
	{ "migration",
	  "VM STATE",
	  2,
	  2,
	  MIGRATION_OPTIONS | CTL_OPTION_WAIT,
	  ctl_migration,
	  "Report the state of a VM's migration",
	  migration_more,
	  { "migration guest1 scheduled --deadline=18:30", "migration guest1 active" } },
	{ "prepare",
	  "VM...",
	  0,
	  ANY,
	  MIGRATION_OPTIONS | CTL_OPTION_WAIT | CTL_OPTION_ALL | CTL_OPTION_STAGGER,
	  ctl_prepare,
	  "Split VMs' blocks: their migrations are scheduled",
	  prepare_more,
	  { "prepare guest1 --wait --deadline=+5min && virsh migrate ...",
	    "prepare --all --deadline=18:30 --stagger=2min --wait" } },
	{ "cancel",
	  "VM...",
	  1,
	  ANY,
	  CTL_OPTION_WAIT,
	  ctl_cancel,
	  "Call migrations off: the blocks come back",
	  cancel_more,
	  { "cancel guest1 --wait", "cancel guest1 guest2" } },
	{ "complete",
	  "VM...",
	  1,
	  ANY,
	  0,
	  ctl_complete,
	  "Say that VMs have left",
	  "",
	  { "complete guest1", "complete guest1 guest2" } },
	{ "top",
	  "",
	  0,
	  0,
	  0,
	  ctl_top,
	  "Show the busiest VMs, and the budget, as it goes",
	  top_more,
	  { "top", "top >snapshot" } },
	{ "watch",
	  "[VM]",
	  0,
	  1,
	  0,
	  ctl_watch,
	  "Show changes as they happen",
	  watch_more,
	  { "watch", "watch guest1 --json" } },
	{ "history",
	  "[VM]",
	  0,
	  1,
	  CTL_OPTION_LIMIT,
	  ctl_history,
	  "Show how migrations went that have ended",
	  history_more,
	  { "history", "history guest1 --limit=1 --json" } },
	{ "reload",
	  "",
	  0,
	  0,
	  0,
	  ctl_reload,
	  "Have the configuration read again",
	  "",
	  { "reload", "reload --timeout=5s" } },
	{ "plan",
	  "[VM...]",
	  0,
	  ANY,
	  PLAN_OPTIONS,
	  ctl_plan,
	  "Estimate the cost of splitting guests",
	  plan_more,
	  { "plan guest1 guest2 --deadline=18:30", "plan --memory=512G --deadline=60s" } },
	{ "doctor",
	  "",
	  0,
	  0,
	  0,
	  ctl_doctor,
	  "Check whether the host has what is needed",
	  doctor_more,
	  { "doctor", "doctor --json" } },
	{ "metrics",
	  "",
	  0,
	  0,
	  CTL_OPTION_FORMAT | CTL_OPTION_OUTPUT,
	  ctl_metrics,
	  "Show figures for monitoring, as OpenMetrics",
	  metrics_more,
	  { "metrics", "metrics --output=/tmp/eagersplitd.prom" } },
};

static void print_help(void)
{
	printf("eagersplitctl [OPTION...] [COMMAND]\n\n"
	       "Splits the stage-2 blocks of KVM guests ahead of live migration.\n"
	       "Without a command, shows what is going on.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s %s", commands[i].name, commands[i].arguments);
		printf("  %-20s %s\n", text, commands[i].summary);
	}
	printf("  %-20s %s\n", "help [COMMAND]", "Show this, or the options of a command");
	printf("\nOptions of all commands; \"eagersplitctl help COMMAND\" shows the others:\n");
	options_print(0);
	printf("\nExit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon that\n"
	       "answers, 4 no such VM, 5 not permitted, 6 done but late.\n"
	       "See eagersplitctl(1).\n");
}

static void print_command_help(const struct command *command)
{
	printf("eagersplitctl %s%s%s%s\n\n%s.\n%s%s\nOptions:\n", command->name,
	       *command->arguments ? " " : "", command->arguments,
	       command->options ? " [OPTION...]" : "", command->summary, *command->more ? "\n" : "",
	       command->more);
	options_print(command->options);
	printf("\nExamples:\n");
	for (size_t i = 0; i < ARRAY_SIZE(command->examples); i++)
		printf("  eagersplitctl %s\n", command->examples[i]);
}

static int usage(const char *format, const char *what)
{
	fprintf(stderr, format, what);
	fprintf(stderr, "\nTry: eagersplitctl --help\n");
	return CTL_USAGE;
}

static int usage_of(const struct command *command, const char *what)
{
	fprintf(stderr, "%s for %s.\nTry: eagersplitctl %s --help\n", what, command->name,
		command->name);
	return CTL_USAGE;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* How many letters one has to change, add, leave out or exchange to get from @a to @b. */
static size_t get_distance(const char *a, const char *b)
{
	if (!*a || !*b)
		return strlen(a) + strlen(b);
	if (*a == *b)
		return get_distance(a + 1, b + 1);
	if (a[1] == *b && *a == b[1])
		return 1 + get_distance(a + 2, b + 2);
	return 1 + min_u64(get_distance(a + 1, b + 1),
			   min_u64(get_distance(a + 1, b), get_distance(a, b + 1)));
}

/* The command that was meant, if it is plain which. */
static const struct command *guess_command(const char *name)
{
	const struct command *best = NULL;
	size_t least = 3;

	/* What is longer is none of ours, and takes long. */
	if (strlen(name) > 12)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		size_t distance = get_distance(name, commands[i].name);

		if (distance < least) {
			best = &commands[i];
			least = distance;
		}
	}
	return best;
}

static int no_such_command(const char *name)
{
	const struct command *guess = guess_command(name);

	fprintf(stderr, "No such command: %s\n", name);
	if (guess)
		fprintf(stderr, "Did you mean \"%s\"?\n", guess->name);
	fprintf(stderr, "Try: eagersplitctl --help\n");
	return CTL_USAGE;
}

static int show_help(const char *name)
{
	const struct command *command;

	if (!name || strcmp(name, "help") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	command = find_command(name);
	if (!command)
		return no_such_command(name);
	print_command_help(command);
	return EXIT_SUCCESS;
}

static int check_options(const struct ctl *ctl, unsigned int taken, const char *name)
{
	if (!(ctl->given & ~taken))
		return 0;
	fprintf(stderr, "%s has no option --%s.\nTry: eagersplitctl %s --help\n", name,
		options_name(ctl->given & ~taken), name);
	return CTL_USAGE;
}

static int run(const struct ctl *ctl, int argc, char **argv, bool help)
{
	const struct command *command;
	int r;

	if (argc > 0 && strcmp(argv[0], "help") == 0) {
		if (argc > 2)
			return usage("Too many arguments for %s.", argv[0]);
		return show_help(argv[1]);
	}
	if (help)
		return show_help(argv[0]);
	if (argc == 0) {
		if (ctl->given)
			return usage("--%s needs a command.", options_name(ctl->given));
		return ctl_summary(ctl, argv);
	}
	command = find_command(argv[0]);
	if (!command)
		return no_such_command(argv[0]);
	if (argc - 1 < command->min_args)
		return usage_of(command, "Too few arguments");
	if (argc - 1 > command->max_args)
		return usage_of(command, "Too many arguments");
	r = check_options(ctl, command->options, command->name);
	if (r != 0)
		return r;
	if (ctl->given & CTL_OPTION_DEADLINE && ctl->deadline_usec <= ctl->now_usec) {
		fprintf(stderr, "That deadline has passed.\n");
		return EXIT_FAILURE;
	}
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

/* With --json, what went wrong is an object, too. */
static void print_failure(int status)
{
	static const char *const names[] = {
		[EXIT_FAILURE] = "Failed",
		[CTL_USAGE] = "Usage",
		[CTL_NO_DAEMON] = "NoDaemon",
		[CTL_NO_SUCH_VM] = "NoSuchVm",
		[CTL_NOT_PERMITTED] = "NotPermitted",
		[CTL_LATE] = "Late",
	};

	printf("{\"error\":\"eagersplitctl.%s\",\"parameters\":{}}\n", names[status]);
}

int main(int argc, char **argv)
{
	struct ctl_outcome outcome = { 0 };
	struct ctl ctl = {
		.socket = EAGERSPLITD_SOCKET,
		.timeout_usec = TIMEOUT_DEFAULT_USEC,
		.outcome = &outcome,
		.now_usec = clock_usec(CLOCK_REALTIME),
	};
	struct ctl_request request = { 0 };
	int status;

	setlocale(LC_CTYPE, "");
	if (options_parse(&ctl, &request, argc, argv) != 0) {
		if (ctl.json)
			print_failure(CTL_USAGE);
		return finish(CTL_USAGE);
	}
	if (request.version) {
		printf("eagersplitctl %s\n", PACKAGE_VERSION);
		return finish(EXIT_SUCCESS);
	}
	ctl.term = term_stdout();
	ctl.term.no_titles = ctl.no_legend;
	if (ctl.colour == COLOUR_ALWAYS)
		ctl.term.colour = true;
	status = run(&ctl, argc - optind, argv + optind, request.help);
	if (status == EXIT_FAILURE && outcome.status != 0)
		status = outcome.status;
	if (ctl.json && status != EXIT_SUCCESS && !outcome.told)
		print_failure(status);
	return finish(status);
}
