// SPDX-License-Identifier: GPL-2.0-or-later
/* What is shown on which terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "ctl/term.h"

/* The environment: name, value, name, value... */
static const char *const *environment;

static char *look_up(const char *name)
{
	for (size_t i = 0; environment[i]; i += 2)
		if (strcmp(environment[i], name) == 0)
			return (char *)environment[i + 1];
	return NULL;
}

#define ENV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static struct term make(bool tty, int columns, const char *const *env)
{
	environment = env;
	return term_make(tty, columns, true, look_up);
}

static void test_pipe(void **state)
{
	struct term term = make(false, 80, ENV("TERM", "xterm", "COLUMNS", "40"));

	/* Nothing is cut off or coloured of what a program reads. */
	assert_int_equal(term.width, 0);
	assert_false(term.colour);
	assert_false(term.redraw);
	assert_string_equal(term_on(&term, COLOUR_RED), "");
	assert_string_equal(term_off(&term, COLOUR_RED), "");
}

static void test_colours(void **state)
{
	static const struct {
		const char *term, *no_color;
		bool colour, redraw;
	} cases[] = {
		{ "xterm-256color", NULL, true, true }, { "xterm", "", true, true },
		{ "xterm", "1", false, true },		{ "xterm", "0", false, true },
		{ "dumb", NULL, false, false },		{ "", NULL, false, false },
		{ NULL, NULL, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct term term =
			make(true, 100, ENV("NO_COLOR", cases[i].no_color, "TERM", cases[i].term));

		assert_int_equal(term.width, 100);
		assert_int_equal(term.colour, cases[i].colour);
		assert_int_equal(term.redraw, cases[i].redraw);
		assert_int_equal(*term_on(&term, COLOUR_RED) == '\033', cases[i].colour);
		assert_int_equal(*term_off(&term, COLOUR_RED) == '\033', cases[i].colour);
		assert_string_equal(term_on(&term, COLOUR_NONE), "");
		assert_string_equal(term_off(&term, COLOUR_NONE), "");
	}
}

static void test_width(void **state)
{
	static const struct {
		const char *columns;
		int window, width;
	} cases[] = {
		{ NULL, 132, 132 },
		{ NULL, 0, 80 },
		{ "100", 132, 100 },
		{ "100", 0, 100 },
		{ "", 132, 132 },
		{ "x", 132, 132 },
		{ "-1", 132, 132 },
		{ "0", 132, 132 },
		{ "5", 132, 20 },
		{ NULL, 1, 20 },
		{ "99999999999999", 80, 10000 },
		{ "99999999999999999999", 80, 80 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(make(true, cases[i].window,
				      ENV("TERM", "xterm", "COLUMNS", cases[i].columns))
					 .width,
				 cases[i].width);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_colours),
		cmocka_unit_test(test_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
