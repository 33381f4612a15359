// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl-table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct table {
	const struct table_column *columns;
	size_t n_columns;
	char **cells;
	size_t n_cells;
	size_t size;
	bool failed;
};

struct table *table_new(const struct table_column *columns)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->columns = columns;
	while (columns[table->n_columns].title)
		table->n_columns++;
	return table;
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
	return NULL;
}

/* Takes cell; NULL: no memory. */
static void take_cell(struct table *table, char *cell)
{
	if (cell && table->n_cells == table->size) {
		size_t size = table->size ? 2 * table->size : 64;
		char **cells = reallocarray(table->cells, size, sizeof(*cells));

		if (cells) {
			table->cells = cells;
			table->size = size;
		} else {
			freep(&cell);
			cell = NULL;
		}
	}
	if (cell)
		table->cells[table->n_cells++] = cell;
	else
		table->failed = true;
}

void table_add(struct table *table, const char *cell)
{
	take_cell(table, strdup(cell));
}

void table_addf(struct table *table, const char *format, ...)
{
	char *cell = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&cell, format, ap) < 0)
		cell = NULL;
	va_end(ap);
	take_cell(table, cell);
}

static int column_width(const struct table *table, size_t column)
{
	size_t width = strlen(table->columns[column].title);

	for (size_t i = column; i < table->n_cells; i += table->n_columns)
		if (strlen(table->cells[i]) > width)
			width = strlen(table->cells[i]);
	return (int)width;
}

/* The last cell of a row is not padded: lines end where their text ends. */
static void print_cell(const struct table *table, size_t column, int width, const char *cell)
{
	bool last = column + 1 == table->n_columns;

	if (table->columns[column].right)
		printf("%*s", width, cell);
	else
		printf("%-*s", last ? 0 : width, cell);
	fputs(last ? "\n" : "  ", stdout);
}

int table_print(const struct table *table)
{
	_cleanup_free_ int *widths = calloc(table->n_columns, sizeof(*widths));

	if (table->failed || !widths)
		return -ENOMEM;
	for (size_t i = 0; i < table->n_columns; i++) {
		widths[i] = column_width(table, i);
		print_cell(table, i, widths[i], table->columns[i].title);
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t column = i % table->n_columns;

		print_cell(table, column, widths[column], table->cells[i]);
	}
	return 0;
}
