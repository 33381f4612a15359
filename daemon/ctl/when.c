// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/when.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/util.h"
#include "ctl/format.h"

#define HOUR   3600
#define MINUTE 60

static bool same_fields(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
	       a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

/*
 * When local clocks show that: twice where they are put back, then the first that is after
 * @now, or the last. -EINVAL: never. @tm has to have a day that there is.
 */
static int local_time(const struct tm *tm, time_t now, time_t *ret)
{
	bool found = false;

	for (int dst = 1; dst >= -1; dst--) {
		struct tm there = *tm, back;
		time_t t;

		there.tm_isdst = dst;
		t = mktime(&there);
		if (t < 0 || !localtime_r(&t, &back) || !same_fields(&back, tm))
			continue;
		if (!found || (*ret <= now ? t > *ret : t > now && t < *ret))
			*ret = t;
		found = true;
	}
	return found ? 0 : -EINVAL;
}

/* "Z", "+HH:MM" or "-HH:MM": seconds east of UTC. */
static int parse_zone(const char *s, long *ret)
{
	struct tm tm = { 0 };
	const char *end;

	*ret = 0;
	if ((*s == 'Z' || *s == 'z') && !s[1])
		return 0;
	if ((*s != '+' && *s != '-') || strlen(s) != strlen("+HH:MM"))
		return -EINVAL;
	end = strptime(s + 1, "%H:%M", &tm);
	if (!end || *end)
		return -EINVAL;
	*ret = tm.tm_hour * HOUR + tm.tm_min * MINUTE;
	if (*s == '-')
		*ret = -*ret;
	return 0;
}

/* 30 February is a day to strptime(). */
static bool day_exists(const struct tm *tm)
{
	struct tm there = { .tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday };

	return timegm(&there) != -1 && there.tm_mday == tm->tm_mday;
}

/* A date, and a time of the day if wanted. */
static int parse_date(const char *s, time_t now, uint64_t *ret_usec)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dt%H:%M:%S",
					       "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
					       "%Y-%m-%d %H:%M",    "%Y-%m-%d" };
	struct tm tm = { 0 };
	const char *end = NULL;
	uint64_t fraction;
	long zone = 0;
	time_t t;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(formats) && !end; i++) {
		tm = (struct tm){ 0 };
		end = strptime(s, formats[i], &tm);
	}
	if (!end || !day_exists(&tm))
		return -EINVAL;
	r = parse_fraction(&end, &fraction);
	if (r < 0)
		return r;
	if (*end) {
		r = parse_zone(end, &zone);
		t = timegm(&tm) - zone;
	} else {
		r = local_time(&tm, now, &t);
	}
	if (r < 0)
		return r;
	if (t < 0)
		return -ERANGE;
	*ret_usec = (uint64_t)t * USEC_PER_SEC + fraction;
	return 0;
}

/* A time of the day: the next time that it is. */
static int parse_clock(const char *s, time_t now, uint64_t *ret_usec)
{
	static const char *const formats[] = { "%H:%M:%S", "%H:%M" };
	struct tm clock = { 0 }, tm;
	const char *end = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(formats) && !(end && !*end); i++) {
		clock = (struct tm){ 0 };
		end = strptime(s, formats[i], &clock);
	}
	if (!end || *end || !localtime_r(&now, &tm))
		return -EINVAL;
	/* Once a year, today or tomorrow has no such time. */
	for (int days = 0; days <= 2; days++) {
		struct tm day = { .tm_year = tm.tm_year,
				  .tm_mon = tm.tm_mon,
				  .tm_mday = tm.tm_mday + days };
		time_t t;

		if (timegm(&day) == -1)
			return -ERANGE;
		day.tm_hour = clock.tm_hour;
		day.tm_min = clock.tm_min;
		day.tm_sec = clock.tm_sec;
		if (local_time(&day, now, &t) == 0 && t > now) {
			*ret_usec = (uint64_t)t * USEC_PER_SEC;
			return 0;
		}
	}
	return -EINVAL;
}

/* Seconds since 1970. */
static int parse_epoch(const char *s, uint64_t *ret_usec)
{
	char whole[32];
	size_t n = strspn(s, "0123456789");
	uint64_t fraction;
	int64_t number;
	int r;

	if (n >= sizeof(whole))
		return -ERANGE;
	memcpy(whole, s, n);
	whole[n] = '\0';
	r = parse_number(whole, &number);
	s += n;
	if (r == 0)
		r = parse_fraction(&s, &fraction);
	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	if (__builtin_mul_overflow((uint64_t)number, USEC_PER_SEC, ret_usec) ||
	    __builtin_add_overflow(*ret_usec, fraction, ret_usec))
		return -ERANGE;
	return 0;
}

/* From now on. */
static int parse_from_now(const char *s, uint64_t now_usec, uint64_t *ret_usec)
{
	int r = parse_span(*s == '+' ? s + 1 : s, ret_usec);

	if (r < 0)
		return r;
	return __builtin_add_overflow(now_usec, *ret_usec, ret_usec) ? -ERANGE : 0;
}

int parse_time(const char *s, uint64_t now_usec, uint64_t *ret_usec)
{
	time_t now = (time_t)(now_usec / USEC_PER_SEC);
	uint64_t usec;
	int64_t number;
	int r;

	if (parse_number(s, &number) != -EINVAL)
		return -EINVAL;
	if (*s == '@') {
		r = parse_epoch(s + 1, &usec);
	} else {
		r = parse_date(s, now, &usec);
		if (r == -EINVAL)
			r = parse_clock(s, now, &usec);
		if (r == -EINVAL)
			r = parse_from_now(s, now_usec, &usec);
	}
	if (r < 0)
		return r;
	/* As the control interface has it. */
	if (usec > INT64_MAX)
		return -ERANGE;
	*ret_usec = usec;
	return 0;
}
