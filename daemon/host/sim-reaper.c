// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sim-reaper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>

#include "host/process.h"

/* When what could not be done is tried again. */
#define AGAIN_USEC 10000

/* A process that is waited for. */
struct watched {
	pid_t pid;
	int pidfd;
	LIST_ENTRY(watched) list;
};

/**
 * struct sim_reaper - who waits
 * @epoll: for all pidfds, and for @stop; the data is a struct watched, NULL: to stop
 * @lock: guards @watched
 */
struct sim_reaper {
	int (*ended)(void *userdata, pid_t pid);
	void *userdata;
	int epoll;
	int stop;
	pthread_t thread;
	pthread_mutex_t lock;
	LIST_HEAD(watched_list, watched) watched;
};

static void reaper_forget(struct sim_reaper *r, struct watched *w)
{
	pthread_mutex_lock(&r->lock);
	LIST_REMOVE(w, list);
	pthread_mutex_unlock(&r->lock);
	close(w->pidfd);
	free(w);
}

/* In a moment: what it takes is short. */
static void reaper_try_again(struct sim_reaper *r, struct watched *w)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = w };

	usleep(AGAIN_USEC);
	(void)epoll_ctl(r->epoll, EPOLL_CTL_MOD, w->pidfd, &event);
}

static void *reaper_main(void *userdata)
{
	struct sim_reaper *r = userdata;
	struct epoll_event event;

	for (;;) {
		struct watched *w;

		if (epoll_wait(r->epoll, &event, 1, -1) < 0)
			continue;
		w = event.data.ptr;
		if (!w)
			return NULL;
		if (r->ended(r->userdata, w->pid) < 0)
			reaper_try_again(r, w);
		else
			reaper_forget(r, w);
	}
}

static int reaper_start(struct sim_reaper *r)
{
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t all, before;
	int e;

	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->stop = eventfd(0, EFD_CLOEXEC);
	if (r->epoll < 0 || r->stop < 0)
		return -errno;
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->stop, &event) < 0)
		return -errno;
	/* Signals are for the others. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&r->thread, NULL, reaper_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -e;
}

int sim_reaper_new(struct sim_reaper **ret, int (*ended)(void *userdata, pid_t pid), void *userdata)
{
	struct sim_reaper *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->ended = ended;
	r->userdata = userdata;
	r->epoll = r->stop = -1;
	pthread_mutex_init(&r->lock, NULL);
	LIST_INIT(&r->watched);
	e = reaper_start(r);
	if (e < 0) {
		closep(&r->epoll);
		closep(&r->stop);
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

struct sim_reaper *sim_reaper_free(struct sim_reaper *r)
{
	struct watched *w;

	if (!r)
		return NULL;
	(void)!eventfd_write(r->stop, 1);
	pthread_join(r->thread, NULL);
	while ((w = LIST_FIRST(&r->watched)))
		reaper_forget(r, w);
	close(r->epoll);
	close(r->stop);
	pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

static bool reaper_knows(struct sim_reaper *r, pid_t pid)
{
	const struct watched *w;

	LIST_FOREACH(w, &r->watched, list)
		if (w->pid == pid && !process_is_gone(w->pidfd))
			return true;
	return false;
}

/* Takes @w. */
static int reaper_add(struct sim_reaper *r, struct watched *w)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = w };
	bool known;
	int e = 0;

	pthread_mutex_lock(&r->lock);
	known = reaper_knows(r, w->pid);
	if (!known && epoll_ctl(r->epoll, EPOLL_CTL_ADD, w->pidfd, &event) < 0)
		e = -errno;
	if (!known && e == 0)
		LIST_INSERT_HEAD(&r->watched, w, list);
	pthread_mutex_unlock(&r->lock);
	if (known || e < 0) {
		close(w->pidfd);
		free(w);
	}
	return e;
}

int sim_reaper_watch(struct sim_reaper *r, pid_t pid)
{
	struct watched *w = malloc(sizeof(*w));
	int pidfd;

	if (!w)
		return -ENOMEM;
	pidfd = process_open(pid);
	if (pidfd < 0) {
		free(w);
		return pidfd;
	}
	*w = (struct watched){ .pid = pid, .pidfd = pidfd };
	return reaper_add(r, w);
}
