// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"
#include "ctl/format.h"
#include "ctl/plan.h"
#include "ctl/when.h"

/* Why a value was not taken: 0, or a negative errno. */
typedef int (*option_set)(struct ctl *ctl, const char *value);

struct option_info {
	const char *name;
	const char *value; /* NULL: takes none */
	unsigned int bit; /* CTL_OPTION_*; 0: for all commands */
	option_set set; /* NULL: that it is given says all */
	const char *wanted; /* instead of what set() has refused */
	const char *help;
};

static int set_socket(struct ctl *ctl, const char *value)
{
	ctl->socket = value;
	return *value ? 0 : -EINVAL;
}

static int set_json(struct ctl *ctl, const char *value)
{
	ctl->json = true;
	return 0;
}

static int set_timeout(struct ctl *ctl, const char *value)
{
	return parse_span(value, &ctl->timeout_usec);
}

static int set_no_legend(struct ctl *ctl, const char *value)
{
	ctl->no_legend = true;
	return 0;
}

static int set_colour(struct ctl *ctl, const char *value)
{
	if (strcmp(value, "auto") == 0)
		ctl->colour = COLOUR_AUTO;
	else if (strcmp(value, "always") == 0)
		ctl->colour = COLOUR_ALWAYS;
	else if (strcmp(value, "never") == 0)
		ctl->colour = COLOUR_NEVER;
	else
		return -EINVAL;
	/* As https://no-color.org has it, for whoever looks at the terminal later. */
	if (ctl->colour == COLOUR_NEVER)
		setenv("NO_COLOR", "1", 1);
	return 0;
}

static int set_name(struct ctl *ctl, const char *value)
{
	ctl->name = value;
	return 0;
}

static int set_deadline(struct ctl *ctl, const char *value)
{
	return parse_time(value, ctl->now_usec, &ctl->deadline_usec);
}

/* As in the configuration; 0 to INT64_MAX. */
static int set_a_rate(int64_t *rate, const char *value)
{
	uint64_t n;
	int r = parse_rate(value, &n);

	if (r == 0 && n > INT64_MAX)
		r = -ERANGE;
	if (r == 0)
		*rate = (int64_t)n;
	return r;
}

static int set_tlbi_rate(struct ctl *ctl, const char *value)
{
	return set_a_rate(&ctl->tlbi_rate, value);
}

/* Without a unit it is more often megabytes that are meant, as other commands have it. */
static int set_a_size(uint64_t *size, const char *value)
{
	int64_t number;

	return parse_number(value, &number) == 0 && number != 0 ? -EINVAL : parse_size(value, size);
}

static int set_stagger(struct ctl *ctl, const char *value)
{
	int r = parse_span(value, &ctl->stagger_usec);

	/* Of as many VMs as there can be, the last deadline is one, too. */
	return r == 0 && ctl->stagger_usec > INT64_MAX / 8192 ? -ERANGE : r;
}

static int set_memory(struct ctl *ctl, const char *value)
{
	return set_a_size(&ctl->memory, value);
}

static int set_block_size(struct ctl *ctl, const char *value)
{
	return set_a_size(&ctl->block_size, value);
}

static int set_batch(struct ctl *ctl, const char *value)
{
	int r = parse_number(value, &ctl->batch);

	return r == 0 && (ctl->batch < 1 || ctl->batch > PLAN_BATCH_MAX) ? -EINVAL : r;
}

static int set_rate(struct ctl *ctl, const char *value)
{
	return set_a_rate(&ctl->rate, value);
}

static int set_limit(struct ctl *ctl, const char *value)
{
	int r = parse_number(value, &ctl->limit);

	return r == 0 && ctl->limit == 0 ? -EINVAL : r;
}

static int set_format(struct ctl *ctl, const char *value)
{
	if (strcmp(value, "openmetrics") == 0)
		ctl->format = METRIC_FORMAT_OPENMETRICS;
	else if (strcmp(value, "prometheus") == 0)
		ctl->format = METRIC_FORMAT_PROMETHEUS;
	else
		return -EINVAL;
	return 0;
}

static int set_output(struct ctl *ctl, const char *value)
{
	ctl->output = value;
	return *value ? 0 : -EINVAL;
}

static const char time_wanted[] =
	"a time that there is, such as +90s, 18:30, \"2030-01-31 18:30\" or @SECONDS";
static const char rate_wanted[] = "TLBIs a second, such as 500 or 10K/s";
static const char size_wanted[] = "a size with its unit, such as 512M or 512G";

static const struct option_info infos[] = {
	{ "name", "NAME", CTL_OPTION_NAME, set_name, NULL, "What to call the VM" },
	{ "deadline", "TIME", CTL_OPTION_DEADLINE, set_deadline, time_wanted,
	  "When it must be split: +90s, 18:30, \"2030-01-31 18:30\"" },
	{ "tlbi-rate", "N", CTL_OPTION_TLBI_RATE, set_tlbi_rate, rate_wanted,
	  "At most N TLBIs a second for this VM; 0: as the host's" },
	{ "wait", NULL, CTL_OPTION_WAIT, NULL, NULL,
	  "Wait until all is split, or back; show how far" },
	{ "all", NULL, CTL_OPTION_ALL, NULL, NULL, "All VMs that are not migrating yet" },
	{ "stagger", "TIME", CTL_OPTION_STAGGER, set_stagger, "a time, such as 5min",
	  "The deadline of each VM is so much later than the last" },
	{ "memory", "SIZE", CTL_OPTION_MEMORY, set_memory, size_wanted, "The guest's memory" },
	{ "block-size", "SIZE", CTL_OPTION_BLOCK_SIZE, set_block_size, size_wanted,
	  "What maps it: 2M or 1G; 32M, 512M on larger pages [2M]" },
	{ "batch", "N", CTL_OPTION_BATCH, set_batch, "a number of blocks, 1 to 512",
	  "Blocks that a TLBI splits; fewer where vCPUs wait [512]" },
	{ "rate", "N", CTL_OPTION_RATE, set_rate, rate_wanted,
	  "TLBIs a second that may be spent; 0: no limit" },
	{ "bbm", NULL, CTL_OPTION_BBM, NULL, NULL, "On CPUs with FEAT_BBM level 2" },
	{ "format", "FORMAT", CTL_OPTION_FORMAT, set_format, "openmetrics or prometheus",
	  "openmetrics, or prometheus: text 0.0.4 [openmetrics]" },
	{ "output", "FILE", CTL_OPTION_OUTPUT, set_output, "the name of a file",
	  "Write to FILE, replacing it as a whole" },
	{ "limit", "N", CTL_OPTION_LIMIT, set_limit, "a number of migrations",
	  "The last N of them, at most 1000 [100]" },
	{ "socket", "PATH", 0, set_socket, "the path of a socket",
	  "Talk to the eagersplitd that listens there" },
	{ "timeout", "TIME", 0, set_timeout, "a time, such as 30s or 500ms",
	  "Wait so long for an answer; 0: for ever [30s]" },
	{ "json", NULL, 0, set_json, NULL, "Print JSON, an object a line; also -j" },
	{ "no-legend", NULL, 0, set_no_legend, NULL, "Print tables without their titles" },
	{ "color", "WHEN", 0, set_colour, "auto, always or never", "auto, always or never [auto]" },
	{ "help", NULL, 0, NULL, NULL, "Show this, or the help of a command" },
	{ "version", NULL, 0, NULL, NULL, "Show the version" },
};

/* For getopt_long(); the index of infos is what it returns, after this. */
#define OPTION_BASE 256

static void make_getopt_table(struct option table[static ARRAY_SIZE(infos) + 1])
{
	for (size_t i = 0; i < ARRAY_SIZE(infos); i++)
		table[i] = (struct option){
			.name = infos[i].name,
			.has_arg = infos[i].value ? required_argument : no_argument,
			.val = OPTION_BASE + (int)i,
		};
	table[ARRAY_SIZE(infos)] = (struct option){ 0 };
}

static int take_option(struct ctl *ctl, struct ctl_request *request, const struct option_info *info,
		       const char *value)
{
	if (strcmp(info->name, "help") == 0)
		request->help = true;
	else if (strcmp(info->name, "version") == 0)
		request->version = true;
	else if (info->set && info->set(ctl, value) < 0) {
		fprintf(stderr, "--%s=%s: not %s.\n", info->name, value, info->wanted);
		return CTL_USAGE;
	}
	ctl->given |= info->bit;
	return 0;
}

int options_parse(struct ctl *ctl, struct ctl_request *request, int argc, char **argv)
{
	struct option table[ARRAY_SIZE(infos) + 1];
	bool unknown = false;
	int c, r = 0;

	make_getopt_table(table);
	/* To the end whatever is wrong: --json says how that is told, wherever it stands. */
	while ((c = getopt_long(argc, argv, "hj", table, NULL)) != -1) {
		if (c == 'h') {
			request->help = true;
			continue;
		}
		if (c == 'j') {
			ctl->json = true;
			continue;
		}
		if (c < OPTION_BASE) /* getopt has said why */
			unknown = true;
		else if (take_option(ctl, request, &infos[c - OPTION_BASE], optarg) != 0)
			r = CTL_USAGE;
	}
	if (!unknown)
		return r;
	fprintf(stderr, "Try: eagersplitctl --help\n");
	return CTL_USAGE;
}

void options_print(unsigned int set)
{
	for (size_t i = 0; i < ARRAY_SIZE(infos); i++) {
		const struct option_info *info = &infos[i];
		char text[32];

		if (info->bit && !(info->bit & set))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", info->name, info->value ? "=" : "",
			 info->value ?: "");
		printf("  %-20s %s\n", text, info->help);
	}
}

const char *options_name(unsigned int set)
{
	for (size_t i = 0; i < ARRAY_SIZE(infos); i++)
		if (infos[i].bit & set)
			return infos[i].name;
	return "";
}
