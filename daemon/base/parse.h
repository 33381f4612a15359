/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers from text, strictly: all of it, or an error. -EINVAL: not that;
 * -ERANGE: does not fit.
 */
#ifndef EAGERSPLITD_PARSE_H
#define EAGERSPLITD_PARSE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Decimal digits only. */
int parse_u64(const char *s, uint64_t *ret);

/* Bytes: a number, then K, M, G or T (powers of 1024) or KiB, MiB, GiB or TiB if wanted. */
int parse_size(const char *s, uint64_t *ret);

/* So many a second: a number, then K, M or G (powers of 1000) if wanted, then /s if wanted. */
int parse_rate(const char *s, uint64_t *ret);

/* Millionths of the whole, from percents, and what is left of a millionth counts as one: "0.5%". */
int parse_percent(const char *s, uint64_t *ret_ppm);

/*
 * Microseconds, as settings and commands have them: numbers, whole or with a fraction,
 * with a unit (us, ms, s or sec, m or min, h, d), which add up, as in "1h 30min" or
 * "1.5 h"; or one number without, which counts @unit_usec microseconds each. Fractions
 * are those of parse_fraction(), and what is left of a microsecond then counts as one.
 */
int parse_duration(const char *s, uint64_t unit_usec, uint64_t *ret_usec);

/*
 * The digits behind a point at *@s, if there is one, as millionths, of which what is left
 * counts as one: 0 to 1000000; and moves behind them. Without one, 0.
 */
int parse_fraction(const char **s, uint64_t *ret);

/* A group by its name or number. -ESRCH: there is none of that name. */
int parse_group(const char *s, gid_t *ret);

/*
 * Users by their names or numbers, with blanks in between, up to @max of them, to @ret; those that
 * there are not are passed over. How many, or -E2BIG.
 */
int parse_users(const char *s, uid_t *ret, size_t max);

#endif /* EAGERSPLITD_PARSE_H */
