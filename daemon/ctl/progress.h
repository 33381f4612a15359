/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_PROGRESS_H
#define EAGERSPLITD_CTL_PROGRESS_H

/*
 * Shows how splitting a VM gets on: a bar that is drawn over and over on a terminal,
 * otherwise a line for each change of stage and each tenth of the way.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ctl/json.h"
#include "ctl/term.h"

struct progress {
	bool back; /* blocks come back, instead of being split */
	bool bar;
	bool drawn; /* the cursor stands at the end of a bar */
	int bar_width;

	bool started;
	uint64_t start_nsec; /* CLOCK_MONOTONIC */
	uint64_t start_split;
	uint64_t start_tlbis;
	uint64_t start_blocks;
	uint64_t most_bytes; /* the most that was left: mapped by blocks, or not */
	uint64_t least_bytes; /* since then: another survey may find more */

	char stage[32]; /* said last */
	unsigned int tenths;

	uint64_t rate_nsec; /* when the rate was measured last */
	uint64_t rate_blocks;
	double rate; /* blocks a second */
};

/* Of splitting, or of blocks that come back. Shows nothing yet; a bar where it can be drawn over. */
void progress_init(struct progress *progress, const struct term *term, bool back);

/* Whether it has come to its end. */
bool progress_is_done(const struct progress *progress, const struct ctl_vm *vm);

/* Shows what the VM is at now, at this time of CLOCK_MONOTONIC. */
void progress_update(struct progress *progress, const struct ctl_vm *vm, uint64_t now_nsec);

/* Ends the bar's line, so that other output may follow. */
void progress_end(struct progress *progress);

/* Says what was done since the first update; @at_most: it may have been done before now. */
void progress_summary(struct progress *progress, const struct ctl_vm *vm, uint64_t now_nsec,
		      bool at_most);

/* How far the splitting has got, 0 to 1. */
double progress_fraction(const struct progress *progress, const struct ctl_vm *vm);

#endif /* EAGERSPLITD_CTL_PROGRESS_H */
