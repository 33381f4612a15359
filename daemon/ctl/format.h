/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_FORMAT_H
#define EAGERSPLITD_CTL_FORMAT_H

/* Sizes, spans and times as people write them. */

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SIZE 32

/* "512 B", "2.0 MiB", "64.0 GiB". Returns buf. */
char *format_bytes(char buf[static FORMAT_SIZE], uint64_t bytes);

/* "0.4s", "18s", "3min 5s", "2h 10min", "4d 3h". Returns buf. */
char *format_span(char buf[static FORMAT_SIZE], uint64_t usec);

/* "2024-03-07 18:30:00", local time, of a CLOCK_REALTIME in microseconds. Returns buf. */
char *format_time(char buf[static FORMAT_SIZE], uint64_t usec);

/* "18:30:00": the time of the day in that. Returns buf. */
char *format_clock(char buf[static FORMAT_SIZE], uint64_t usec);

/* "1234567" as "1,234,567". Returns buf. */
char *format_count(char buf[static FORMAT_SIZE], uint64_t n);

/* Parses a span into microseconds, see parse_duration(). Without a unit it is seconds. */
int parse_span(const char *s, uint64_t *ret_usec);

/* Parses a whole number, 0 to INT64_MAX, digits only. Returns 0, -EINVAL or -ERANGE. */
int parse_number(const char *s, int64_t *ret);

#endif /* EAGERSPLITD_CTL_FORMAT_H */
