/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8, as RFC 3629 has it. All of it is here: Varlink links with no other library of ours. */
#ifndef EAGERSPLITD_UTF8_H
#define EAGERSPLITD_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/*
 * The character at @text, of which there are @length bytes: how many of them it takes, and
 * @ret; 0: there is none, or it is not in its shortest form, or half of a surrogate pair.
 */
static inline size_t utf8_decode(const char *text, size_t length, uint32_t *ret)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least; /* what is less has a shorter form */
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};
	const unsigned char *s = (const unsigned char *)text;

	for (size_t n = 0; n < ARRAY_SIZE(forms) && n < length; n++) {
		uint32_t c = s[0] & (unsigned char)~forms[n].mask;

		if ((s[0] & forms[n].mask) != forms[n].lead)
			continue;
		for (size_t i = 1; i <= n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < forms[n].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		*ret = c;
		return n + 1;
	}
	return 0;
}

#endif /* EAGERSPLITD_UTF8_H */
