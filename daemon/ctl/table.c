// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/table.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/text.h"

#define GAP 2 /* blanks between columns */

struct cell {
	char *text;
	enum colour colour;
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct cell *cells;
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
		free(table->cells[i].text);
	free(table->cells);
	free(table);
	return NULL;
}

/* Takes text; NULL: no memory. */
static void take_cell(struct table *table, char *text)
{
	if (text && table->n_cells == table->size) {
		size_t size = table->size ? 2 * table->size : 64;
		struct cell *cells = reallocarray(table->cells, size, sizeof(*cells));

		if (cells) {
			table->cells = cells;
			table->size = size;
		} else {
			freep(&text);
			text = NULL;
		}
	}
	if (text)
		table->cells[table->n_cells++] = (struct cell){ .text = text };
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

void table_colour(struct table *table, enum colour colour)
{
	if (table->n_cells && !table->failed)
		table->cells[table->n_cells - 1].colour = colour;
}

/* How wide columns are; -1: left out. */
static void natural_widths(const struct table *table, int *widths)
{
	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = text_width(table->columns[i].title);
	for (size_t i = 0; i < table->n_cells; i++) {
		int width = text_width(table->cells[i].text);
		size_t column = i % table->n_columns;

		if (width > widths[column])
			widths[column] = width;
	}
}

static int total_width(const struct table *table, const int *widths)
{
	int total = -GAP;

	for (size_t i = 0; i < table->n_columns; i++)
		if (widths[i] >= 0)
			total += widths[i] + GAP;
	return total;
}

/* Shortens the columns that may be, the widest first, until excess is 0 or none may be. */
static int shorten(const struct table *table, int *widths, int excess)
{
	while (excess > 0) {
		int most = 0;
		size_t at = 0;

		for (size_t i = 0; i < table->n_columns; i++) {
			int slack = widths[i] - table->columns[i].least;

			if (table->columns[i].least && slack > most) {
				most = slack;
				at = i;
			}
		}
		if (most == 0)
			break;
		if (most > excess)
			most = excess;
		widths[at] -= most;
		excess -= most;
	}
	return excess;
}

/* The column that is to be left out next, or -1. */
static ssize_t find_droppable(const struct table *table, const bool *dropped)
{
	ssize_t found = -1;

	for (size_t i = 0; i < table->n_columns; i++)
		if (!dropped[i] && table->columns[i].drop &&
		    (found < 0 || table->columns[i].drop > table->columns[found].drop))
			found = (ssize_t)i;
	return found;
}

/* 0 or -ENOMEM. */
static int fit(const struct table *table, int *widths, int room)
{
	_cleanup_free_ bool *dropped = calloc(table->n_columns, sizeof(*dropped));

	if (!dropped)
		return -ENOMEM;
	for (;;) {
		ssize_t drop;

		natural_widths(table, widths);
		for (size_t i = 0; i < table->n_columns; i++)
			if (dropped[i])
				widths[i] = -1;
		if (!room || shorten(table, widths, total_width(table, widths) - room) <= 0)
			return 0;
		drop = find_droppable(table, dropped);
		if (drop < 0)
			return 0; /* wider than the terminal: it will break the lines */
		dropped[drop] = true;
	}
}

static void put_blanks(int n, FILE *f)
{
	fprintf(f, "%*s", n > 0 ? n : 0, "");
}

/* Lines end where their text ends: nothing is padded that nothing follows. */
static void print_row(const struct table *table, const int *widths, const struct cell *cells,
		      const struct term *term, FILE *f)
{
	int owed = 0; /* blanks */

	for (size_t i = 0; i < table->n_columns; i++) {
		const char *text = cells ? cells[i].text : table->columns[i].title;
		enum colour colour = cells ? cells[i].colour : COLOUR_BOLD;
		int pad = widths[i] - text_width(text);

		if (widths[i] < 0)
			continue;
		if (pad < 0)
			pad = 0;
		put_blanks(owed + (table->columns[i].right ? pad : 0), f);
		fputs(term_on(term, colour), f);
		text_put(text, widths[i], term, f);
		fputs(term_off(term, colour), f);
		owed = GAP + (table->columns[i].right ? 0 : pad);
	}
	fputc('\n', f);
}

int table_print(const struct table *table, const struct term *term, FILE *f)
{
	_cleanup_free_ int *widths = calloc(table->n_columns, sizeof(*widths));

	if (table->failed || !widths || fit(table, widths, term->width) < 0)
		return -ENOMEM;
	if (!term->no_titles)
		print_row(table, widths, NULL, term, f);
	for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
		print_row(table, widths, &table->cells[i], term, f);
	return 0;
}
