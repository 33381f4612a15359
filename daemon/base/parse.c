// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/parse.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/util.h"

/* Room for what is known of a group, all of its members' names included: first, and at most. */
#define GROUP_SIZE_MIN (16 << 10)
#define GROUP_SIZE_MAX (1 << 20)

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

/*
 * The factor that a suffix at *@s stands for, @base to the power of its place in
 * @suffixes, and moves behind it; 1 where there is none of them.
 */
static uint64_t parse_factor(const char **s, const char *suffixes, uint64_t base)
{
	const char *suffix = **s ? strchr(suffixes, **s) : NULL;
	uint64_t factor = 1;

	if (!suffix)
		return 1;
	for (; suffix >= suffixes; suffix--)
		factor *= base;
	++*s;
	return factor;
}

int parse_size(const char *s, uint64_t *ret)
{
	uint64_t value, factor;
	const char *end;
	int r;

	r = parse_digits(s, &end, &value);
	if (r < 0)
		return r;
	factor = parse_factor(&end, "KMGT", 1024);
	if (*end && (factor == 1 || strcmp(end, "iB") != 0))
		return -EINVAL;
	if (__builtin_mul_overflow(value, factor, ret))
		return -ERANGE;
	return 0;
}

int parse_rate(const char *s, uint64_t *ret)
{
	uint64_t value, factor;
	const char *end;
	int r;

	r = parse_digits(s, &end, &value);
	if (r < 0)
		return r;
	factor = parse_factor(&end, "KMG", 1000);
	if (*end && strcmp(end, "/s") != 0)
		return -EINVAL;
	if (__builtin_mul_overflow(value, factor, ret))
		return -ERANGE;
	return 0;
}

int parse_percent(const char *s, uint64_t *ret_ppm)
{
	uint64_t whole, millionths;
	int r;

	r = parse_digits(s, &s, &whole);
	if (r == 0)
		r = parse_fraction(&s, &millionths);
	if (r < 0)
		return r;
	/* Nothing is nothing of whatever it is. */
	if (strcmp(s, "%") != 0 && (*s || whole || millionths))
		return -EINVAL;
	if (__builtin_mul_overflow(whole, 10000, &whole))
		return -ERANGE;
	/* Rounded up: a little is not the same as none. */
	return __builtin_add_overflow(whole, (millionths + 99) / 100, ret_ppm) ? -ERANGE : 0;
}

/* The unit at *@s in microseconds, and moves behind it; 0: there is none that is known. */
static uint64_t parse_duration_unit(const char **s)
{
	static const struct {
		const char *name;
		uint64_t usec;
	} units[] = {
		{ "us", 1 },
		{ "ms", 1000 },
		{ "s", USEC_PER_SEC },
		{ "sec", USEC_PER_SEC },
		{ "m", 60 * USEC_PER_SEC },
		{ "min", 60 * USEC_PER_SEC },
		{ "h", 3600 * USEC_PER_SEC },
		{ "d", 24 * 3600 * USEC_PER_SEC },
	};
	size_t length = strspn(*s, "abcdefghijklmnopqrstuvwxyz");

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strlen(units[i].name) != length || memcmp(units[i].name, *s, length) != 0)
			continue;
		*s += length;
		return units[i].usec;
	}
	return 0;
}

int parse_fraction(const char **s, uint64_t *ret)
{
	uint64_t weight = 100000;
	bool more = false;

	*ret = 0;
	if (**s != '.')
		return 0;
	++*s;
	if (**s < '0' || **s > '9')
		return -EINVAL;
	for (; **s >= '0' && **s <= '9'; ++*s, weight /= 10) {
		*ret += (uint64_t)(**s - '0') * weight;
		more = more || (weight == 0 && **s != '0');
	}
	/* Rounded up: a little is not the same as none. */
	*ret += more;
	return 0;
}

/*
 * A number and its unit at *@s, and moves behind them; @unit_usec: what it counts where
 * there is nothing behind it, 0: then it is none.
 */
static int parse_duration_part(const char **s, uint64_t unit_usec, uint64_t *ret)
{
	uint64_t whole, millionths = 0, unit;
	int r;

	r = parse_digits(*s, s, &whole);
	if (r == 0)
		r = parse_fraction(s, &millionths);
	if (r < 0)
		return r;
	*s += strspn(*s, " ");
	unit = **s ? parse_duration_unit(s) : unit_usec;
	if (!unit)
		return -EINVAL;
	/* Rounded up: a little is not the same as none. */
	millionths = millionths * unit + 999999;
	if (__builtin_mul_overflow(whole, unit, &whole) ||
	    __builtin_add_overflow(whole, millionths / 1000000, ret))
		return -ERANGE;
	*s += strspn(*s, " ");
	return 0;
}

int parse_duration(const char *s, uint64_t unit_usec, uint64_t *ret_usec)
{
	uint64_t sum = 0, part;
	int r;

	s += strspn(s, " ");
	do {
		r = parse_duration_part(&s, unit_usec, &part);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
		/* Without a unit it is the only one. */
		unit_usec = 0;
	} while (*s);
	*ret_usec = sum;
	return 0;
}

/* Of a user or a group, as a number. 0, -ERANGE, or -EINVAL: it is none, a name it may be. */
static int parse_id(const char *s, uint32_t *ret)
{
	uint64_t number;
	int r = parse_u64(s, &number);

	/* The highest is nobody's: it says "leave it as it is" to chown(). */
	if (r == -ERANGE || (r == 0 && number >= UINT32_MAX))
		return -ERANGE;
	if (r == 0)
		*ret = (uint32_t)number;
	return r;
}

/* -ERANGE: its members take more than @size. */
static int find_group(const char *name, size_t size, gid_t *ret)
{
	_cleanup_free_ char *buffer = malloc(size);
	struct group group, *found = NULL;
	int r;

	if (!buffer)
		return -ENOMEM;
	do
		r = -getgrnam_r(name, &group, buffer, size, &found);
	while (r == -EINTR);
	if (!found)
		return r == 0 || r == -ENOENT ? -ESRCH : r;
	*ret = found->gr_gid;
	return 0;
}

int parse_group(const char *s, gid_t *ret)
{
	int r = parse_id(s, ret);

	if (r != -EINVAL || !*s)
		return r;
	r = -ERANGE;
	for (size_t size = GROUP_SIZE_MIN; r == -ERANGE && size <= GROUP_SIZE_MAX; size *= 2)
		r = find_group(s, size, ret);
	return r;
}

/* -ESRCH: there is none of that name, or that cannot be found out. */
static int parse_user(const char *s, uid_t *ret)
{
	struct passwd user, *found = NULL;
	char buffer[16384];
	int r;

	r = parse_id(s, ret);
	if (r != -EINVAL)
		return r;
	do
		r = -getpwnam_r(s, &user, buffer, sizeof(buffer), &found);
	while (r == -EINTR);
	if (!found)
		return -ESRCH;
	*ret = found->pw_uid;
	return 0;
}

int parse_users(const char *s, uid_t *ret, size_t max)
{
	size_t n = 0;

	for (;;) {
		size_t length;
		char word[256];
		int r;

		s += strspn(s, " \t");
		length = strcspn(s, " \t");
		if (length == 0)
			return (int)n;
		if (n == max || length >= sizeof(word))
			return -E2BIG;
		memcpy(word, s, length);
		word[length] = '\0';
		s += length;
		r = parse_user(word, &ret[n]);
		if (r == -ERANGE)
			return r;
		n += r == 0;
	}
}
