/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8, as RFC 3629 has it. */
#ifndef EAGERSPLITD_UTF8_H
#define EAGERSPLITD_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * The character at @text, of which there are @length bytes: how many of them it takes, and
 * @ret; 0: there is none, or it is not in its shortest form, or half of a surrogate pair.
 */
size_t utf8_decode(const char *text, size_t length, uint32_t *ret);

#endif /* EAGERSPLITD_UTF8_H */
