/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_TEXT_H
#define EAGERSPLITD_CTL_TEXT_H

/* Text in columns: UTF-8, a column each character. */

#include <stdio.h>

#include "ctl/term.h"

/* How many columns text takes. */
int text_width(const char *text);

/* Writes at most width columns of it: of a longer one its two ends, which tell names apart. */
void text_put(const char *text, int width, const struct term *term, FILE *f);

/* The same, and blanks behind it up to that width. */
void text_put_padded(const char *text, int width, const struct term *term, FILE *f);

#endif /* EAGERSPLITD_CTL_TEXT_H */
