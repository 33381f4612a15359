/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_TABLE_H
#define EAGERSPLITD_CTL_TABLE_H

/*
 * Rows of text in columns as wide as they need to be. What is too wide for the terminal
 * is made to fit: first texts are shortened in their middle, then whole columns left out;
 * numbers are shown whole or not at all.
 */

#include <stdio.h>

#include "base/util.h"
#include "ctl/term.h"

struct table;

/**
 * struct table_column - a column; the last of a table has no title
 * @right: numbers
 * @least: it may be shortened to so many characters, 0: not at all
 * @drop: it may be left out, the column with the highest number first, 0: never
 */
struct table_column {
	const char *title;
	bool right;
	int least;
	int drop;
};

/* Columns must outlive the table. NULL: no memory. */
struct table *table_new(const struct table_column *columns);

/* Returns NULL. */
struct table *table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/*
 * Sets the next cell, from left to right and then the next row, to a copy. After
 * -ENOMEM, which is remembered, table_print() fails.
 */
void table_add(struct table *table, const char *cell);

/* The same, formatted. */
void table_addf(struct table *table, const char *format, ...) _printf_(2, 3);

/* Gives the last cell a colour. */
void table_colour(struct table *table, enum colour colour);

/* Prints titles and rows. Returns 0 or -ENOMEM. */
int table_print(const struct table *table, const struct term *term, FILE *f);

#endif /* EAGERSPLITD_CTL_TABLE_H */
