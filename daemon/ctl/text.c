// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/text.h"

#include <ctype.h>
#include <langinfo.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Of the characters that are no control characters, those that are not to be seen, or turn text round. */
static bool is_invisible(uint32_t c)
{
	return c < 0xa1 || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202f) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* How many bytes at @text can be shown as they are. */
static size_t plain_bytes(const char *text, bool utf8)
{
	uint32_t c;
	size_t n;

	if ((unsigned char)*text < 0x80)
		return isgraph((unsigned char)*text) && *text != '\\';
	n = utf8 ? utf8_decode(text, strlen(text), &c) : 0;
	return n > 0 && !is_invisible(c) ? n : 0;
}

void text_escape(char buf[static TEXT_ESCAPED_MAX], const char *text)
{
	bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	char *to = buf;

	while (*text && to + 4 < buf + TEXT_ESCAPED_MAX) {
		size_t n = plain_bytes(text, utf8);

		if (n == 0) {
			to += sprintf(to, "\\x%02x", (unsigned char)*text++);
			continue;
		}
		memcpy(to, text, n);
		to += n;
		text += n;
	}
	*to = '\0';
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return found ? (int)(found - digits) : -1;
}

char *text_unescape(const char *text)
{
	char *copy = strdup(text), *to = copy;

	if (!copy)
		return NULL;
	while (*text) {
		int high = -1, low = -1;

		if (text[0] == '\\' && text[1] == 'x') {
			high = hex_digit(text[2]);
			low = high < 0 ? -1 : hex_digit(text[3]);
		}
		if (low < 0 || high + low == 0) {
			*to++ = *text++;
		} else {
			*to++ = (char)(high << 4 | low);
			text += 4;
		}
	}
	*to = '\0';
	return copy;
}

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
