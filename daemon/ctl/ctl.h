/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_H
#define EAGERSPLITD_CTL_H

/* What the commands of eagersplitctl are given, and share. */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "ctl/openmetrics.h"
#include "ctl/term.h"

/* The exit status, where it is neither EXIT_SUCCESS nor EXIT_FAILURE: refused, or failed. */
#define CTL_USAGE	  2 /* a command line that makes no sense */
#define CTL_NO_DAEMON	  3 /* none runs, or it does not answer */
#define CTL_NO_SUCH_VM	  4
#define CTL_NOT_PERMITTED 5
#define CTL_LATE	  6 /* done, or to be done, but after the deadline */

/* The options, each a bit, so that a command can say which it takes. */
enum ctl_option {
	CTL_OPTION_NAME = 1 << 0,
	CTL_OPTION_DEADLINE = 1 << 1,
	CTL_OPTION_TLBI_RATE = 1 << 2,
	CTL_OPTION_WAIT = 1 << 3,
	CTL_OPTION_MEMORY = 1 << 4,
	CTL_OPTION_BLOCK_SIZE = 1 << 5,
	CTL_OPTION_RATE = 1 << 6,
	CTL_OPTION_BBM = 1 << 7,
	CTL_OPTION_FORMAT = 1 << 8,
	CTL_OPTION_OUTPUT = 1 << 9,
	CTL_OPTION_LIMIT = 1 << 10,
	CTL_OPTION_ALL = 1 << 11,
	CTL_OPTION_STAGGER = 1 << 12,
	CTL_OPTION_BATCH = 1 << 13,
};

/* When there are colours: of themselves, where the terminal has them. */
enum ctl_colour {
	COLOUR_AUTO,
	COLOUR_ALWAYS,
	COLOUR_NEVER,
};

/**
 * struct ctl_outcome - why a command failed, as far as whoever reported it knows
 * @status: the exit status, instead of EXIT_FAILURE
 * @told: JSON that tells of it has been printed
 */
struct ctl_outcome {
	int status;
	bool told;
};

/**
 * struct ctl - the command line, and where output goes
 * @now_usec: CLOCK_REALTIME, which deadlines count from
 * @timeout_usec: how long eagersplitd may take to answer a call; 0: as long as it likes
 * @given: CTL_OPTION_* that are set below
 * @outcome: is filled in
 */
struct ctl {
	const char *socket;
	bool json;
	bool no_legend;
	enum ctl_colour colour;
	struct term term;
	uint64_t now_usec;
	uint64_t timeout_usec;
	unsigned int given;
	struct ctl_outcome *outcome;
	const char *name;
	uint64_t deadline_usec; /* CLOCK_REALTIME */
	uint64_t stagger_usec;
	int64_t tlbi_rate;
	uint64_t memory;
	uint64_t block_size;
	int64_t batch;
	int64_t rate;
	enum metric_format format;
	const char *output;
	int64_t limit;
};

/* The commands. Each gets its arguments, as many as it said, and returns the exit status. */
int ctl_summary(const struct ctl *ctl, char **args);
int ctl_host(const struct ctl *ctl, char **args);
int ctl_list(const struct ctl *ctl, char **args);
int ctl_status(const struct ctl *ctl, char **args);
int ctl_register(const struct ctl *ctl, char **args);
int ctl_unregister(const struct ctl *ctl, char **args);
int ctl_migration(const struct ctl *ctl, char **args);
int ctl_cancel(const struct ctl *ctl, char **args);
int ctl_complete(const struct ctl *ctl, char **args);
int ctl_prepare(const struct ctl *ctl, char **args);
int ctl_top(const struct ctl *ctl, char **args);
int ctl_watch(const struct ctl *ctl, char **args);
int ctl_reload(const struct ctl *ctl, char **args);
int ctl_plan(const struct ctl *ctl, char **args);
int ctl_doctor(const struct ctl *ctl, char **args);
int ctl_history(const struct ctl *ctl, char **args);
int ctl_metrics(const struct ctl *ctl, char **args);

#endif /* EAGERSPLITD_CTL_H */
