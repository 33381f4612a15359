// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/outbox.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* How long the last letters are waited for. */
#define LAST_SECONDS 1

TAILQ_HEAD(letter_list, letter);

/**
 * struct outbox - letters, and the thread that sends them
 * @lock: guards all but @thread, @max and @gap
 * @changed: a letter was posted, or @ending set
 * @sending: the letter that the thread has taken, NULL: none
 * @ending: the thread ends when no letter is left
 */
struct outbox {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	size_t max;
	void (*gap)(uint64_t dropped);
	struct letter_list letters;
	size_t n;
	struct letter *sending;
	bool ending;
};

/* Unlocked meanwhile, which is also the only time at which the thread may be cancelled. */
static void send_one(struct outbox *o)
{
	o->sending = TAILQ_FIRST(&o->letters);
	TAILQ_REMOVE(&o->letters, o->sending, link);
	o->n--;
	pthread_mutex_unlock(&o->lock);

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	o->sending->send(o->sending);
	if (o->sending->dropped)
		o->gap(o->sending->dropped);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);

	pthread_mutex_lock(&o->lock);
	o->sending->free(o->sending);
	o->sending = NULL;
}

static void *outbox_main(void *userdata)
{
	struct outbox *o = userdata;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_mutex_lock(&o->lock);
	while (o->n || !o->ending) {
		if (o->n)
			send_one(o);
		else
			pthread_cond_wait(&o->changed, &o->lock);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

int outbox_new(struct outbox **ret, size_t max, void (*gap)(uint64_t dropped))
{
	struct outbox *o = calloc(1, sizeof(*o));
	sigset_t all, before;
	int r;

	if (!o)
		return -ENOMEM;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	TAILQ_INIT(&o->letters);
	o->max = max;
	o->gap = gap;

	/* Signals are for the event loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&o->thread, NULL, outbox_main, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0) {
		free(o);
		return -r;
	}
	*ret = o;
	return 0;
}

static void outbox_join(struct outbox *o)
{
	struct timespec until;

	/* Not by the clock that is set: that would have a daemon that ends wait for hours. */
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LAST_SECONDS;
	if (pthread_clockjoin_np(o->thread, NULL, CLOCK_MONOTONIC, &until) == 0)
		return;
	/* At whatever letter it is by then: the others are not begun. */
	pthread_cancel(o->thread);
	pthread_join(o->thread, NULL);
}

struct outbox *outbox_free(struct outbox *o)
{
	struct letter *letter;

	if (!o)
		return NULL;
	pthread_mutex_lock(&o->lock);
	o->ending = true;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
	outbox_join(o);

	if (o->sending)
		o->sending->free(o->sending);
	while ((letter = TAILQ_FIRST(&o->letters))) {
		TAILQ_REMOVE(&o->letters, letter, link);
		letter->free(letter);
	}
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

bool outbox_post(struct outbox *o, struct letter *letter)
{
	bool posted;

	letter->dropped = 0;
	pthread_mutex_lock(&o->lock);
	posted = o->n < o->max;
	if (posted) {
		TAILQ_INSERT_TAIL(&o->letters, letter, link);
		o->n++;
		pthread_cond_signal(&o->changed);
	} else {
		/* It is full, so there is one. */
		TAILQ_LAST(&o->letters, letter_list)->dropped++;
	}
	pthread_mutex_unlock(&o->lock);
	if (!posted)
		letter->free(letter);
	return posted;
}
