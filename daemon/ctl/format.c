// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/util.h"

char *format_bytes(char buf[static FORMAT_SIZE], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;
	double value = (double)bytes;

	/* 1023.95 would be shown as 1024.0 */
	while (value >= 1023.95 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, FORMAT_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

char *format_span(char buf[static FORMAT_SIZE], uint64_t usec)
{
	uint64_t s = (usec + USEC_PER_SEC / 2) / USEC_PER_SEC;

	if (usec > UINT64_MAX - USEC_PER_SEC)
		s = usec / USEC_PER_SEC;
	/* A tenth matters below ten seconds, a second below an hour. */
	if (usec < 9950000)
		snprintf(buf, FORMAT_SIZE, "%.1fs", (double)usec / (double)USEC_PER_SEC);
	else if (s < 60)
		snprintf(buf, FORMAT_SIZE, "%" PRIu64 "s", s);
	else if (s < 60 * 60)
		snprintf(buf, FORMAT_SIZE, "%" PRIu64 "min %" PRIu64 "s", s / 60, s % 60);
	else if (s < 24 * 60 * 60)
		snprintf(buf, FORMAT_SIZE, "%" PRIu64 "h %" PRIu64 "min", s / 3600, s / 60 % 60);
	else
		snprintf(buf, FORMAT_SIZE, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

static char *format_local_time(char buf[static FORMAT_SIZE], const char *format, uint64_t usec)
{
	time_t t = (time_t)(usec / USEC_PER_SEC);
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(buf, FORMAT_SIZE, format, &tm) == 0)
		snprintf(buf, FORMAT_SIZE, "@%" PRIu64, usec / USEC_PER_SEC);
	return buf;
}

char *format_time(char buf[static FORMAT_SIZE], uint64_t usec)
{
	return format_local_time(buf, "%Y-%m-%d %H:%M:%S", usec);
}

char *format_clock(char buf[static FORMAT_SIZE], uint64_t usec)
{
	return format_local_time(buf, "%H:%M:%S", usec);
}

char *format_count(char buf[static FORMAT_SIZE], uint64_t n)
{
	char digits[FORMAT_SIZE];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	char *to = buf;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return buf;
}

int parse_number(const char *s, int64_t *ret)
{
	uint64_t value;
	int r;

	r = parse_u64(s, &value);
	if (r < 0)
		return r;
	if (value > INT64_MAX)
		return -ERANGE;
	*ret = (int64_t)value;
	return 0;
}

int parse_span(const char *s, uint64_t *ret_usec)
{
	return parse_duration(s, USEC_PER_SEC, ret_usec);
}
