// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-loop.h"

#include <errno.h>
#include <sys/queue.h>

#include "base/util.h"
#include "fake-host.h"
#include "fuzz.h"

/* When the clocks begin: a host that has been up for a while, and a day like any other. */
#define BOOT_NSEC (1000 * NSEC_PER_SEC)
#define WALL_NSEC (1700000000 * NSEC_PER_SEC)

/**
 * struct clocks - what time it is
 * @standing: and not what the machine says
 * @now: since they began
 * @suspended: of the host, beside that
 * @wall: what the wall clock was set by
 */
static struct {
	bool standing;
	uint64_t now;
	uint64_t suspended;
	int64_t wall;
} clocks;

enum source_kind {
	SOURCE_IO,
	SOURCE_TIME,
	SOURCE_DEFER,
};

struct sd_event_source {
	sd_event *event;
	enum source_kind kind;
	int enabled;
	int fd;
	uint32_t wanted;
	uint32_t revents;
	clockid_t clock;
	uint64_t usec;
	union {
		sd_event_io_handler_t io;
		sd_event_time_handler_t time;
		sd_event_handler_t defer;
	} handler;
	void *userdata;
	bool dead; /* to be freed once its handler has returned */
	TAILQ_ENTRY(sd_event_source) link;
};

struct sd_event {
	unsigned int refs;
	sd_event_source *running;
	TAILQ_HEAD(source_list, sd_event_source) sources;
};

void loop_begin(void)
{
	clocks.standing = true;
	clocks.now = 0;
	clocks.suspended = 0;
	clocks.wall = 0;
}

void loop_end(void)
{
	clocks.standing = false;
}

uint64_t loop_now(void)
{
	return clocks.now;
}

void loop_advance(uint64_t nsec)
{
	clocks.now += nsec;
}

void loop_suspend(uint64_t nsec)
{
	clocks.suspended += nsec;
}

void loop_set_wall_clock(int64_t offset_nsec)
{
	clocks.wall = offset_nsec;
}

static uint64_t clock_read(clockid_t clock)
{
	uint64_t nsec = clocks.now + BOOT_NSEC;

	if (clock == CLOCK_MONOTONIC)
		return nsec;
	nsec += clocks.suspended;
	return clock == CLOCK_BOOTTIME ? nsec : nsec + (uint64_t)((int64_t)WALL_NSEC + clocks.wall);
}

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	uint64_t nsec;

	if (!clocks.standing)
		return __real_clock_gettime(clock, ret);
	nsec = clock_read(clock);
	ret->tv_sec = (time_t)(nsec / NSEC_PER_SEC);
	ret->tv_nsec = (long)(nsec % NSEC_PER_SEC);
	return 0;
}

/*
 * What is due
 */

static bool source_is_due(const sd_event_source *s)
{
	if (s->enabled == SD_EVENT_OFF || s->dead)
		return false;
	switch (s->kind) {
	case SOURCE_IO:
		return s->revents & s->wanted;
	case SOURCE_TIME:
		return s->usec <= clock_read(s->clock) / NSEC_PER_USEC;
	default:
		return true;
	}
}

static sd_event_source *event_get_due(sd_event *event)
{
	sd_event_source *s;

	TAILQ_FOREACH(s, &event->sources, link)
		if (source_is_due(s))
			break;
	return s;
}

static int source_dispatch(sd_event_source *s)
{
	uint32_t revents = s->revents & s->wanted;

	s->revents = 0;
	if (s->enabled == SD_EVENT_ONESHOT)
		s->enabled = SD_EVENT_OFF;
	switch (s->kind) {
	case SOURCE_IO:
		return s->handler.io(s, s->fd, revents, s->userdata);
	case SOURCE_TIME:
		return s->handler.time(s, s->usec, s->userdata);
	default:
		return s->handler.defer(s, s->userdata);
	}
}

static void source_free(sd_event_source *s)
{
	TAILQ_REMOVE(&s->event->sources, s, link);
	free(s);
}

static bool event_dispatch(sd_event *event, sd_event_source *s)
{
	if (!s)
		return false;
	check(!event->running);
	event->running = s;
	check(source_dispatch(s) >= 0);
	event->running = NULL;
	if (s->dead) {
		source_free(s);
		return true;
	}
	/* So that they take turns. */
	TAILQ_REMOVE(&event->sources, s, link);
	TAILQ_INSERT_TAIL(&event->sources, s, link);
	return true;
}

bool loop_turn(sd_event *event)
{
	return event_dispatch(event, event_get_due(event));
}

void loop_poll(sd_event *event, int fd, uint32_t revents)
{
	sd_event_source *s;

	TAILQ_FOREACH(s, &event->sources, link)
		if (s->kind == SOURCE_IO && s->fd == fd)
			s->revents |= revents;
}

uint64_t loop_next(const sd_event *event)
{
	uint64_t next = UINT64_MAX;
	const sd_event_source *s;

	TAILQ_FOREACH(s, &event->sources, link) {
		uint64_t now = clock_read(s->clock);

		if (s->kind != SOURCE_TIME || s->enabled == SD_EVENT_OFF)
			continue;
		if (s->usec > UINT64_MAX / NSEC_PER_USEC)
			continue;
		next = min_u64(next,
			       s->usec * NSEC_PER_USEC - min_u64(now, s->usec * NSEC_PER_USEC));
	}
	return next;
}

/*
 * sd-event
 */

int sd_event_new(sd_event **ret)
{
	sd_event *event = calloc(1, sizeof(*event));

	if (!event)
		return -ENOMEM;
	event->refs = 1;
	TAILQ_INIT(&event->sources);
	*ret = event;
	return 0;
}

sd_event *sd_event_ref(sd_event *event)
{
	event->refs++;
	return event;
}

sd_event *sd_event_unref(sd_event *event)
{
	if (event && --event->refs == 0) {
		check(TAILQ_EMPTY(&event->sources));
		free(event);
	}
	return NULL;
}

int sd_event_now(sd_event *event, clockid_t clock, uint64_t *ret)
{
	*ret = clock_read(clock) / NSEC_PER_USEC;
	return 0;
}

static sd_event_source *source_new(sd_event *event, enum source_kind kind, int enabled,
				   void *userdata)
{
	sd_event_source *s = calloc(1, sizeof(*s));

	check(s);
	s->event = event;
	s->kind = kind;
	s->enabled = enabled;
	s->userdata = userdata;
	s->fd = -1;
	TAILQ_INSERT_TAIL(&event->sources, s, link);
	return s;
}

int sd_event_add_io(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
		    sd_event_io_handler_t handler, void *userdata)
{
	*ret = source_new(event, SOURCE_IO, SD_EVENT_ON, userdata);
	(*ret)->fd = fd;
	(*ret)->wanted = events;
	/* What there is by then is told, too. */
	(*ret)->revents = host_poll_file(fd);
	(*ret)->handler.io = handler;
	return 0;
}

int sd_event_add_time(sd_event *event, sd_event_source **ret, clockid_t clock, uint64_t usec,
		      uint64_t accuracy, sd_event_time_handler_t handler, void *userdata)
{
	*ret = source_new(event, SOURCE_TIME, SD_EVENT_ONESHOT, userdata);
	(*ret)->clock = clock;
	(*ret)->usec = usec;
	(*ret)->handler.time = handler;
	return 0;
}

int sd_event_add_time_relative(sd_event *event, sd_event_source **ret, clockid_t clock,
			       uint64_t usec, uint64_t accuracy, sd_event_time_handler_t handler,
			       void *userdata)
{
	return sd_event_add_time(event, ret, clock, clock_read(clock) / NSEC_PER_USEC + usec,
				 accuracy, handler, userdata);
}

int sd_event_add_defer(sd_event *event, sd_event_source **ret, sd_event_handler_t handler,
		       void *userdata)
{
	*ret = source_new(event, SOURCE_DEFER, SD_EVENT_ONESHOT, userdata);
	(*ret)->handler.defer = handler;
	return 0;
}

int sd_event_source_set_enabled(sd_event_source *s, int enabled)
{
	s->enabled = enabled;
	return 0;
}

int sd_event_source_get_enabled(sd_event_source *s, int *ret)
{
	*ret = s->enabled;
	return s->enabled != SD_EVENT_OFF;
}

int sd_event_source_set_time(sd_event_source *s, uint64_t usec)
{
	s->usec = usec;
	return 0;
}

int sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec)
{
	s->usec = clock_read(s->clock) / NSEC_PER_USEC + usec;
	return 0;
}

int sd_event_source_set_io_events(sd_event_source *s, uint32_t events)
{
	s->wanted = events;
	return 0;
}

/* Whoever tells here tells of what there is: there is no flood. */
int sd_event_source_set_ratelimit(sd_event_source *s, uint64_t interval, unsigned int burst)
{
	return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *s)
{
	if (!s)
		return NULL;
	s->dead = true;
	if (s->event->running != s)
		source_free(s);
	return NULL;
}
