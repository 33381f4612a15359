// SPDX-License-Identifier: GPL-2.0-or-later
/* Tables, and how they are made to fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "ctl/table.h"

static const struct table_column columns[] = {
	{ .title = "VM", .least = 6 },
	{ .title = "BLOCKS", .right = true, .drop = 1 },
	{ .title = "PID", .right = true, .drop = 2 },
	{ .title = "STAGE" },
	{ .title = NULL },
};

/* Three VMs; the longest row has 14 + 2 + 6 + 2 + 5 + 2 + 5 = 36 characters. */
static char *print(const struct term *term)
{
	_cleanup_(table_freep) struct table *table = table_new(columns);
	char *text = NULL;
	size_t size;
	FILE *f;

	assert_non_null(table);
	table_add(table, "a");
	table_addf(table, "%d", 1);
	table_addf(table, "%d", 12345);
	table_add(table, "whole");
	table_add(table, "instance-00001");
	table_addf(table, "%d", 32768);
	table_addf(table, "%d", 7);
	table_add(table, "split");
	table_colour(table, COLOUR_GREEN);
	table_add(table, "d\u00fcrer-k\u00f6");
	table_addf(table, "%d", 0);
	table_addf(table, "%d", 9);
	table_add(table, "-");

	f = open_memstream(&text, &size);
	assert_non_null(f);
	assert_int_equal(table_print(table, term, f), 0);
	fclose(f);
	return text;
}

static void check(int width, bool utf8, const char *expected)
{
	struct term term = { .width = width, .utf8 = utf8 };
	_cleanup_free_ char *text = print(&term);

	assert_string_equal(text, expected);
}

static void test_natural(void **state)
{
	static const char whole[] = "VM              BLOCKS    PID  STAGE\n"
				    "a                    1  12345  whole\n"
				    "instance-00001   32768      7  split\n"
				    "d\u00fcrer-k\u00f6             0      9  -\n";

	/* For a program, for a wide terminal, and for one that it just fits. */
	check(0, true, whole);
	check(200, true, whole);
	check(36, true, whole);
}

static void test_shortened(void **state)
{
	/* Both ends of the name stay; nothing else is touched. */
	check(35, true,
	      "VM             BLOCKS    PID  STAGE\n"
	      "a                   1  12345  whole\n"
	      "instan\u2026-00001   32768      7  split\n"
	      "d\u00fcrer-k\u00f6            0      9  -\n");
	check(28, true,
	      "VM      BLOCKS    PID  STAGE\n"
	      "a            1  12345  whole\n"
	      "ins\u202601   32768      7  split\n"
	      "d\u00fcr\u2026k\u00f6       0      9  -\n");
	check(28, false,
	      "VM      BLOCKS    PID  STAGE\n"
	      "a            1  12345  whole\n"
	      "in...1   32768      7  split\n"
	      "d\u00fc...\u00f6       0      9  -\n");
}

static void test_dropped(void **state)
{
	/* PID goes first, and gives the names their room back. */
	check(27, true,
	      "VM            BLOCKS  STAGE\n"
	      "a                  1  whole\n"
	      "instan\u202600001   32768  split\n"
	      "d\u00fcrer-k\u00f6           0  -\n");
	check(20, true,
	      "VM             STAGE\n"
	      "a              whole\n"
	      "instan\u2026-00001  split\n"
	      "d\u00fcrer-k\u00f6       -\n");
}

static void test_does_not_fit(void **state)
{
	/* What may neither be shortened nor left out is shown: the terminal breaks the line. */
	check(5, true,
	      "VM      STAGE\n"
	      "a       whole\n"
	      "ins\u202601  split\n"
	      "d\u00fcr\u2026k\u00f6  -\n");
}

static void test_colours(void **state)
{
	struct term term = { .width = 20, .colour = true, .utf8 = true };
	_cleanup_free_ char *text = print(&term);

	/* They take no room. */
	assert_string_equal(text, "\033[1mVM\033[0m             \033[1mSTAGE\033[0m\n"
				  "a              whole\n"
				  "instan\u2026-00001  \033[32msplit\033[0m\n"
				  "d\u00fcrer-k\u00f6       -\n");
}

static void test_empty(void **state)
{
	_cleanup_(table_freep) struct table *table = table_new(columns);
	struct term term = { .width = 80 };
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(table_print(table, &term, f), 0);
	fclose(f);
	assert_string_equal(text, "VM  BLOCKS  PID  STAGE\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_natural), cmocka_unit_test(test_shortened),
		cmocka_unit_test(test_dropped), cmocka_unit_test(test_does_not_fit),
		cmocka_unit_test(test_colours), cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
