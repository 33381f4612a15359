/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_TEXT_H
#define EAGERSPLITD_CTL_TEXT_H

/* Text in columns: UTF-8, a column each character. */

#include <stdio.h>

#include "ctl/term.h"

/* As long as a name can be, each byte escaped. */
#define TEXT_ESCAPED_MAX (4 * 128 + 1)

/*
 * Copies a name as a word that does no harm: blanks, backslashes, and what cannot be shown
 * here, or would change what is shown around it, as "\xHH". What is too long is cut off.
 */
void text_escape(char buf[static TEXT_ESCAPED_MAX], const char *text);

/* The same back, where there is something to be; the caller frees it. NULL: no memory. */
char *text_unescape(const char *text);

/* How many columns text takes. */
int text_width(const char *text);

/* Writes at most width columns of it: of a longer one its two ends, which tell names apart. */
void text_put(const char *text, int width, const struct term *term, FILE *f);

/* The same, and blanks behind it up to that width. */
void text_put_padded(const char *text, int width, const struct term *term, FILE *f);

#endif /* EAGERSPLITD_CTL_TEXT_H */
