// SPDX-License-Identifier: GPL-2.0-or-later
#include "service/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <systemd/sd-daemon.h>

/* The longest name of a descriptor. */
#define FD_NAME_MAX 64

/* When what the kernel has no room for is tried again, where nothing else tells of that. */
#define AGAIN_USEC (100 * UINT64_C(1000))

/* How long the last words are waited for. */
#define LAST_MSEC 1000

/* A descriptor that is to be kept, or, -1, those of that name no longer. */
struct keep {
	char name[FD_NAME_MAX];
	int fd;
	TAILQ_ENTRY(keep) link;
};

/**
 * struct notify - what has not been said yet
 * @address: whom to tell; @address_size: 0: nobody
 * @fd: a socket that is connected to it, -1: not yet
 * @source: for when it takes more; NULL where @fd is -1
 * @again: the same by time
 * @said: NULL: nothing of that kind waits
 * @keeps: in this order. No more than the service manager has kept, or is to keep, as a
 *	   descriptor that is to be forgotten before it was told of is not told of
 * @watchdog: NULL: nobody asks whether the loop turns
 */
struct notify {
	sd_event *event;
	struct sockaddr_un address;
	socklen_t address_size;
	int fd;
	sd_event_source *source;
	sd_event_source *again;
	char *said[NOTIFY_MAX_];
	TAILQ_HEAD(keep_list, keep) keeps;
	uint64_t watchdog_usec;
	sd_event_source *watchdog;
};

static void notify_flush(struct notify *n);

/*
 * The socket
 */

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	notify_flush(userdata);
	return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	notify_flush(userdata);
	return 0;
}

static void notify_disconnect(struct notify *n)
{
	n->source = sd_event_source_disable_unref(n->source);
	closep(&n->fd);
	n->fd = -1;
}

static int notify_connect(struct notify *n)
{
	int r;

	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		return -errno;
	if (connect(n->fd, (struct sockaddr *)&n->address, n->address_size) < 0)
		r = -errno;
	else
		r = sd_event_add_io(n->event, &n->source, n->fd, EPOLLOUT, on_writable, n);
	if (r >= 0)
		r = sd_event_source_set_enabled(n->source, SD_EVENT_OFF);
	if (r < 0)
		notify_disconnect(n);
	return r;
}

/* To a service manager that is there: -ECONNREFUSED and others: it is not. */
static int notify_send_once(struct notify *n, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {
		.header = {
			.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	int r = n->fd < 0 ? notify_connect(n) : 0;

	if (r < 0)
		return r;
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.buf);
	}
	return sendmsg(n->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* 0 also where it cannot be told of that at all; -EAGAIN: not now. */
static int notify_send(struct notify *n, const char *text, int fd)
{
	for (int i = 0; i < 2; i++) {
		switch (notify_send_once(n, text, fd)) {
		case 0:
			return 0;
		case -EAGAIN:
			(void)sd_event_source_set_enabled(n->source, SD_EVENT_ON);
			return -EAGAIN;
		case -EINTR:
		case -EMFILE:
		case -ENFILE:
		case -ENOBUFS:
		case -ENOMEM:
		/* So many descriptors are under way. */
		case -ETOOMANYREFS:
			(void)sd_event_source_set_time_relative(n->again, AGAIN_USEC);
			(void)sd_event_source_set_enabled(n->again, SD_EVENT_ONESHOT);
			return -EAGAIN;
		}
		/* It may have another socket of that name by now. */
		notify_disconnect(n);
	}
	return 0;
}

/*
 * What waits
 */

static void notify_drop(struct notify *n, struct keep *keep)
{
	TAILQ_REMOVE(&n->keeps, keep, link);
	closep(&keep->fd);
	free(keep);
}

static int notify_send_keep(struct notify *n, const struct keep *keep)
{
	char text[FD_NAME_MAX + 64];

	snprintf(text, sizeof(text), "%s=1\nFDNAME=%s", keep->fd < 0 ? "FDSTOREREMOVE" : "FDSTORE",
		 keep->name);
	return notify_send(n, text, keep->fd);
}

/* Whether all has been said. */
static bool notify_say_all(struct notify *n)
{
	struct keep *keep;

	for (size_t i = 0; i < NOTIFY_MAX_; i++) {
		if (n->said[i] && notify_send(n, n->said[i], -1) < 0)
			return false;
		free(TAKE_PTR(n->said[i]));
	}
	while ((keep = TAILQ_FIRST(&n->keeps))) {
		if (notify_send_keep(n, keep) < 0)
			return false;
		notify_drop(n, keep);
	}
	return true;
}

static void notify_flush(struct notify *n)
{
	if (n->source)
		(void)sd_event_source_set_enabled(n->source, SD_EVENT_OFF);
	(void)notify_say_all(n);
}

static bool notify_waits(const struct notify *n)
{
	for (size_t i = 0; i < NOTIFY_MAX_; i++)
		if (n->said[i])
			return true;
	return !TAILQ_EMPTY(&n->keeps);
}

void notify_say(struct notify *n, enum notify_what what, const char *format, ...)
{
	char *text;
	va_list ap;
	int length;

	if (!n->address_size)
		return;
	va_start(ap, format);
	length = vasprintf(&text, format, ap);
	va_end(ap);
	if (length < 0)
		return;
	free(n->said[what]);
	n->said[what] = text;
	/* That was of the one before. */
	if (what == NOTIFY_RELOADING)
		free(TAKE_PTR(n->said[NOTIFY_READY]));
	notify_flush(n);
}

static void notify_add(struct notify *n, const char *name, int fd)
{
	struct keep *keep = malloc(sizeof(*keep));

	if (!keep) {
		closep(&fd);
		return;
	}
	snprintf(keep->name, sizeof(keep->name), "%s", name);
	keep->fd = fd;
	TAILQ_INSERT_TAIL(&n->keeps, keep, link);
	notify_flush(n);
}

void notify_keep(struct notify *n, const char *name, int fd)
{
	int copy = n->address_size ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	/* Where it is not kept, the VM is found anew, and held anew. */
	if (copy >= 0)
		notify_add(n, name, copy);
}

void notify_forget(struct notify *n, const char *name)
{
	struct keep *keep, *next;
	bool told = true;

	if (!n->address_size)
		return;
	for (keep = TAILQ_FIRST(&n->keeps); keep; keep = next) {
		next = TAILQ_NEXT(keep, link);
		if (strcmp(keep->name, name) != 0)
			continue;
		/* It is told once; and not at all of what it was not told to keep. */
		told = false;
		if (keep->fd >= 0)
			notify_drop(n, keep);
	}
	if (told)
		notify_add(n, name, -1);
}

/*
 * The watchdog
 */

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct notify *n = userdata;
	int r;

	notify_say(n, NOTIFY_WATCHDOG, "WATCHDOG=1");
	r = sd_event_source_set_time_relative(source, n->watchdog_usec / 2);
	return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int notify_set_watchdog(struct notify *n)
{
	int r = sd_watchdog_enabled(0, &n->watchdog_usec);

	if (r <= 0)
		return r;
	r = sd_event_add_time(n->event, &n->watchdog, CLOCK_MONOTONIC, 0, n->watchdog_usec / 4,
			      on_watchdog, n);
	return r < 0 ? r : 1;
}

/*
 * Its life
 */

/* As in unix(7): a path, or with "@" an abstract name. */
static void notify_set_address(struct notify *n, const char *name)
{
	size_t length = name ? strlen(name) : 0;

	if (length < 2 || length >= sizeof(n->address.sun_path) ||
	    (name[0] != '/' && name[0] != '@'))
		return;
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, name, length);
	if (name[0] == '@')
		n->address.sun_path[0] = '\0';
	n->address_size =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
}

int notify_new(struct notify **ret, sd_event *event)
{
	_cleanup_(notify_freep) struct notify *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->fd = -1;
	TAILQ_INIT(&n->keeps);
	n->event = event;
	notify_set_address(n, getenv("NOTIFY_SOCKET"));
	r = sd_event_add_time(event, &n->again, CLOCK_MONOTONIC, UINT64_MAX, 0, on_again, n);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(n->again, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(n);
	return 0;
}

/* What the next daemon is to have. */
static void notify_say_last(struct notify *n)
{
	uint64_t end = now_nsec(CLOCK_MONOTONIC) + LAST_MSEC * NSEC_PER_MSEC, now;

	while (!notify_say_all(n) && n->fd >= 0 && (now = now_nsec(CLOCK_MONOTONIC)) < end) {
		struct pollfd p = { .fd = n->fd, .events = POLLOUT };

		(void)poll(&p, 1, (int)((end - now) / NSEC_PER_MSEC) + 1);
	}
}

struct notify *notify_free(struct notify *n)
{
	struct keep *keep;

	if (!n)
		return NULL;
	if (notify_waits(n))
		notify_say_last(n);
	while ((keep = TAILQ_FIRST(&n->keeps)))
		notify_drop(n, keep);
	for (size_t i = 0; i < NOTIFY_MAX_; i++)
		free(n->said[i]);
	sd_event_source_disable_unref(n->watchdog);
	sd_event_source_disable_unref(n->again);
	notify_disconnect(n);
	free(n);
	return NULL;
}
