// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/term.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/format.h"

/* What terminals have had since there are terminals. */
#define WIDTH_DEFAULT 80
/* A table that should fit into less could not be read. */
#define WIDTH_MIN 20
#define WIDTH_MAX 10000

static int take_width(const char *text, int columns)
{
	int64_t width;

	if (text && parse_number(text, &width) == 0 && width > 0)
		columns = width < WIDTH_MAX ? (int)width : WIDTH_MAX;
	if (columns <= 0)
		return WIDTH_DEFAULT;
	return columns < WIDTH_MIN ? WIDTH_MIN : columns;
}

struct term term_make(bool tty, int columns, bool utf8, char *(*env)(const char *name))
{
	const char *type = env("TERM"), *plain = env("NO_COLOR");
	struct term term = { .utf8 = utf8 };

	if (!tty)
		return term;
	term.width = take_width(env("COLUMNS"), columns);
	term.redraw = type && *type && strcmp(type, "dumb") != 0;
	term.colour = term.redraw && !(plain && *plain);
	return term;
}

struct term term_stdout(void)
{
	bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		size.ws_col = 0;
	return term_make(isatty(STDOUT_FILENO), size.ws_col, utf8, getenv);
}

const char *term_on(const struct term *term, enum colour colour)
{
	/* ECMA-48, SGR */
	static const char *const codes[COLOUR_MAX_] = {
		[COLOUR_NONE] = "",	     [COLOUR_BOLD] = "\033[1m",
		[COLOUR_DIM] = "\033[2m",    [COLOUR_RED] = "\033[31m",
		[COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
		[COLOUR_CYAN] = "\033[36m",
	};

	return term->colour ? codes[colour] : "";
}

const char *term_off(const struct term *term, enum colour colour)
{
	return term->colour && colour != COLOUR_NONE ? "\033[0m" : "";
}
