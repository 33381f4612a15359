/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_VARLINK_SYNTAX_H
#define EAGERSPLITD_VARLINK_SYNTAX_H

/*
 * Whether text is JSON as RFC 8259 has it. What json-c takes depends on its
 * version: without JSON_TOKENER_STRICT more than that, with it at times less.
 */

#include <stddef.h>

/* Objects and arrays in one another are counted up to here. */
#define VARLINK_SYNTAX_DEPTH_MAX 64U

/*
 * Returns NULL if text is one JSON value in UTF-8, with nothing but white space
 * around it, and objects and arrays no deeper than depth_max, which is at most
 * VARLINK_SYNTAX_DEPTH_MAX; otherwise what is wrong with it, a static string.
 */
const char *varlink_syntax_error(const char *text, size_t length, unsigned depth_max);

#endif /* EAGERSPLITD_VARLINK_SYNTAX_H */
