// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/text.h"

/* The characters of UTF-8 text: all bytes but those that continue one. */
int text_width(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* The text from its character n on. */
static const char *skip_chars(const char *text, int n)
{
	for (; *text; text++)
		if (((unsigned char)*text & 0xc0) != 0x80 && n-- == 0)
			break;
	return text;
}

void text_put(const char *text, int width, const struct term *term, FILE *f)
{
	const char *dots = term->utf8 ? "\u2026" : "...";
	int n = text_width(text), keep = width - text_width(dots), head;

	if (n <= width || keep <= 0) {
		fprintf(f, "%.*s", (int)(skip_chars(text, width) - text), text);
		return;
	}
	head = (keep + 1) / 2;
	fprintf(f, "%.*s%s%s", (int)(skip_chars(text, head) - text), text, dots,
		skip_chars(text, n - (keep - head)));
}

void text_put_padded(const char *text, int width, const struct term *term, FILE *f)
{
	int pad = width - text_width(text);

	text_put(text, width, term, f);
	fprintf(f, "%*s", pad > 0 ? pad : 0, "");
}
