/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_OPTIONS_H
#define EAGERSPLITD_CTL_OPTIONS_H

/* The options of eagersplitctl: what each takes, and how the help shows it. */

#include "ctl/ctl.h"

/* What the options ask for besides a command. */
struct ctl_request {
	bool help;
	bool version;
};

/*
 * Takes the options out of the command line, which is left with the command and its
 * arguments from optind on. Returns 0, or CTL_USAGE after saying what is wrong.
 */
int options_parse(struct ctl *ctl, struct ctl_request *request, int argc, char **argv);

/* Prints a line for each option of this set, a CTL_OPTION_* mask, and of those of all commands. */
void options_print(unsigned int set);

/* The name, without the dashes, of the first option in this set. */
const char *options_name(unsigned int set);

#endif /* EAGERSPLITD_CTL_OPTIONS_H */
