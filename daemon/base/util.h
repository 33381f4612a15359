/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things that every file needs: cleanup by scope, arrays, clocks. */
#ifndef EAGERSPLITD_UTIL_H
#define EAGERSPLITD_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The object whose @member @ptr points to. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define NSEC_PER_SEC  UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)

#define _cleanup_(f)	    __attribute__((cleanup(f)))
#define _cleanup_free_	    _cleanup_(freep)
#define _cleanup_close_	    _cleanup_(closep)
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

/* Defines funcp(), for _cleanup_(funcp), from a func() that takes NULL. */
#define DEFINE_CLEANUP(type, func)          \
	static inline void func##p(type *p) \
	{                                   \
		if (*p)                     \
			func(*p);           \
	}                                   \
	struct eagersplitd_swallow_semicolon

/* What "block", "TLBI" and other regular nouns end in where there are @n. */
static inline const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Gives up ownership: evaluates to the pointer and leaves NULL behind. */
#define TAKE_PTR(ptr)                            \
	({                                       \
		__typeof__(ptr) *pptr_ = &(ptr); \
		__typeof__(ptr) ptr_ = *pptr_;   \
		*pptr_ = NULL;                   \
		ptr_;                            \
	})

/* Gives up ownership: evaluates to the fd and leaves -1 behind. */
static inline int take_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

static inline bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && memcmp(s + n - m, end, m) == 0;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The time of @clock in nanoseconds. */
static inline uint64_t now_nsec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline struct timespec nsec_to_timespec(uint64_t nsec)
{
	return (struct timespec){
		.tv_sec = (time_t)(nsec / NSEC_PER_SEC),
		.tv_nsec = (long)(nsec % NSEC_PER_SEC),
	};
}

/* The time of @clock in microseconds. */
static inline uint64_t clock_usec(clockid_t clock)
{
	return now_nsec(clock) / NSEC_PER_USEC;
}

#endif /* EAGERSPLITD_UTIL_H */
