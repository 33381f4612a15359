/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers from text, strictly: all of it, or an error. */
#ifndef EAGERSPLITD_PARSE_H
#define EAGERSPLITD_PARSE_H

#include <stdint.h>

/* Decimal digits only. -EINVAL: not that; -ERANGE: does not fit. */
int parse_u64(const char *s, uint64_t *ret);

/* The same, with K, M, G or T (powers of 1024) behind it if wanted. */
int parse_size(const char *s, uint64_t *ret);

#endif /* EAGERSPLITD_PARSE_H */
