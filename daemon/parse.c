// SPDX-License-Identifier: GPL-2.0-or-later
#include "parse.h"

#include <errno.h>
#include <string.h>

/* The digits at the start of @s, of which there must be one; @end: behind them. */
static int parse_digits(const char *s, const char **end, uint64_t *ret)
{
	uint64_t value = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	}
	*end = s;
	*ret = value;
	return 0;
}

int parse_u64(const char *s, uint64_t *ret)
{
	const char *end;
	uint64_t value;
	int r;

	r = parse_digits(s, &end, &value);
	if (r < 0)
		return r;
	if (*end)
		return -EINVAL;
	*ret = value;
	return 0;
}

int parse_size(const char *s, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	const char *end, *suffix;
	uint64_t value;
	int r;

	r = parse_digits(s, &end, &value);
	if (r < 0)
		return r;
	if (*end) {
		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			return -EINVAL;
		if (__builtin_mul_overflow(value, UINT64_C(1024) << 10 * (suffix - suffixes),
					   &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}
