/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_H
#define EAGERSPLITD_CTL_H

/* What the commands of eagersplitctl are given, and share. */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "ctl/openmetrics.h"
#include "ctl/term.h"

#define CTL_USAGE 2 /* the exit status of a command line that makes no sense */

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
};

/**
 * struct ctl - the command line, and where output goes
 * @now_usec: CLOCK_REALTIME, which deadlines count from
 * @given: CTL_OPTION_* that are set below
 */
struct ctl {
	const char *socket;
	bool json;
	struct term term;
	uint64_t now_usec;
	unsigned int given;
	const char *name;
	uint64_t deadline_usec; /* CLOCK_REALTIME */
	int64_t tlbi_rate;
	uint64_t memory;
	uint64_t block_size;
	int64_t rate;
	enum metric_format format;
	const char *output;
};

/* The commands. Each gets its arguments, as many as it said, and returns the exit status. */
int ctl_summary(const struct ctl *ctl, char **args);
int ctl_host(const struct ctl *ctl, char **args);
int ctl_list(const struct ctl *ctl, char **args);
int ctl_status(const struct ctl *ctl, char **args);
int ctl_register(const struct ctl *ctl, char **args);
int ctl_unregister(const struct ctl *ctl, char **args);
int ctl_migration(const struct ctl *ctl, char **args);
int ctl_prepare(const struct ctl *ctl, char **args);
int ctl_watch(const struct ctl *ctl, char **args);
int ctl_reload(const struct ctl *ctl, char **args);
int ctl_plan(const struct ctl *ctl, char **args);
int ctl_doctor(const struct ctl *ctl, char **args);
int ctl_metrics(const struct ctl *ctl, char **args);

#endif /* EAGERSPLITD_CTL_H */
