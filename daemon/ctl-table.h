/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_TABLE_H
#define EAGERSPLITD_CTL_TABLE_H

/* Rows of text in columns as wide as they need to be. */

#include "util.h"

struct table;

/* A column of a table; the last has no title. */
struct table_column {
	const char *title;
	bool right; /* numbers */
};

/* Columns must outlive the table. NULL: no memory. */
struct table *table_new(const struct table_column *columns);
struct table *table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/*
 * Sets the next cell, from left to right and then the next row, to a copy. After
 * -ENOMEM, which is remembered, table_print() fails.
 */
void table_add(struct table *table, const char *cell);

/* The same, formatted. */
void table_addf(struct table *table, const char *format, ...) _printf_(2, 3);

/* Prints titles and rows on stdout. Returns 0 or -ENOMEM. */
int table_print(const struct table *table);

#endif /* EAGERSPLITD_CTL_TABLE_H */
