/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_TERM_H
#define EAGERSPLITD_CTL_TERM_H

/* What the terminal can show, if output goes to one. */

#include <stdbool.h>

/**
 * struct term - where output goes
 * @width: columns that a line may have, 0: as many as it likes (a pipe, a file)
 * @colour: colours may be used
 * @redraw: the cursor can be moved, so that a line can be drawn over
 * @utf8: more than ASCII can be shown
 * @no_titles: tables go without
 */
struct term {
	int width;
	bool colour;
	bool redraw;
	bool utf8;
	bool no_titles;
};

enum colour {
	COLOUR_NONE,
	COLOUR_BOLD,
	COLOUR_DIM,
	COLOUR_RED,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_CYAN,
	COLOUR_MAX_,
};

/*
 * What output on a terminal (@tty; else a pipe or a file) of so many @columns (0: not
 * known) may look like, by the environment that env(name) tells: COLUMNS, TERM, NO_COLOR
 * (https://no-color.org).
 */
struct term term_make(bool tty, int columns, bool utf8, char *(*env)(const char *name));

/* The same of standard output, now. */
struct term term_stdout(void);

/* What switches a colour on, and all of them off; "" where there are none. */
const char *term_on(const struct term *term, enum colour colour);
const char *term_off(const struct term *term, enum colour colour);

#endif /* EAGERSPLITD_CTL_TERM_H */
