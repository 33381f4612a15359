// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-watch.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>

#include "base/control-names.h"
#include "base/log.h"
#include "control/control-json.h"
#include "manager/manager.h"
#include "manager/manager-table.h"
#include "varlink/connection.h"
#include "varlink/json.h"
#include "varlink/server.h"

/* How many VMs are told of, to begin with, before the event loop looks at the others again. */
#define INITIAL_AT_ONCE 16

_Static_assert(VARLINK_CONNECTIONS_MAX <= VM_WATCHES_MAX, "each has a number");

/* Between two replies about progress. */
#define PROGRESS_USEC (USEC_PER_SEC / 10)

/**
 * struct watch - a stream
 * @number: tells it from the others that there are, see struct vm
 * @vm: NULL: all
 * @queue: VMs to be told of from @first on, @n_queued, in that order: the first ones as they are, the
 *	   others' progress. Among them some that have been told of meanwhile
 * @n_initial: the first ones
 * @n_pending: those that have not
 * @next_usec: CLOCK_MONOTONIC: no progress before
 */
struct watch {
	LIST_ENTRY(watch) list;
	struct watches *watches;
	struct varlink_connection *connection;
	unsigned int number;
	struct vm *vm;
	struct vm **queue;
	size_t first;
	size_t n_queued;
	size_t size;
	size_t n_initial;
	size_t n_pending;
	uint64_t next_usec;
};

/**
 * struct watches - all of them
 * @timer: on while a watch has something pending that it may send later
 * @used: the numbers that they have
 */
struct watches {
	sd_event *event;
	sd_event_source *timer;
	uint64_t used[VM_WATCHES_MAX / 64];
	LIST_HEAD(watch_list, watch) list;
};

static bool get_bit(const uint64_t *bits, unsigned int i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void set_bit(uint64_t *bits, unsigned int i, bool on)
{
	bits[i / 64] &= ~(UINT64_C(1) << i % 64);
	bits[i / 64] |= (uint64_t)on << i % 64;
}

/* The first of the queue, which is then in it no more. */
static struct vm *watch_take(struct watch *w)
{
	struct vm *vm = w->queue[w->first++];

	w->n_queued--;
	w->n_initial -= w->n_initial > 0;
	set_bit(vm->watches.queued, w->number, false);
	return vm;
}

/* The first of the queue, if there is any, is always one that is to be told of. */
static void watch_set_told(struct watch *w, struct vm *vm)
{
	if (!get_bit(vm->watches.pending, w->number))
		return;
	set_bit(vm->watches.pending, w->number, false);
	w->n_pending--;
	while (w->n_queued && !get_bit(w->queue[w->first]->watches.pending, w->number))
		(void)watch_take(w);
}

static void watch_free(struct watch *w)
{
	while (w->n_queued)
		set_bit(watch_take(w)->watches.pending, w->number, false);
	set_bit(w->watches->used, w->number, false);
	LIST_REMOVE(w, list);
	free(w->queue);
	free(w);
}

/* Has the queue room for one more: at its beginning there may be some. 0 or -ENOMEM. */
static int watch_make_room(struct watch *w)
{
	size_t size = w->size ? 2 * w->size : 4;
	struct vm **queue;

	if (w->first + w->n_queued < w->size)
		return 0;
	if (w->first > w->size / 2) {
		memmove(w->queue, w->queue + w->first, w->n_queued * sizeof(struct vm *));
		w->first = 0;
		return 0;
	}
	queue = reallocarray(w->queue, size, sizeof(struct vm *));
	if (!queue)
		return -ENOMEM;
	w->queue = queue;
	w->size = size;
	return 0;
}

/* Returns 0, or -ENOMEM: the progress is not told of, the next one will be. */
static int watch_set_pending(struct watch *w, struct vm *vm)
{
	if (!get_bit(vm->watches.queued, w->number)) {
		if (watch_make_room(w) < 0)
			return -ENOMEM;
		w->queue[w->first + w->n_queued++] = vm;
		set_bit(vm->watches.queued, w->number, true);
	}
	if (!get_bit(vm->watches.pending, w->number)) {
		set_bit(vm->watches.pending, w->number, true);
		w->n_pending++;
	}
	return 0;
}

/* @vm is gone. Whether it was told of, ever. */
static bool watch_forget(struct watch *w, struct vm *vm)
{
	bool pending = get_bit(vm->watches.pending, w->number), initial = false;

	watch_set_told(w, vm);
	for (size_t i = w->first; get_bit(vm->watches.queued, w->number); i++) {
		if (w->queue[i] != vm)
			continue;
		initial = i - w->first < w->n_initial;
		w->n_queued--;
		w->n_initial -= initial;
		memmove(w->queue + i, w->queue + i + 1,
			(w->first + w->n_queued - i) * sizeof(struct vm *));
		set_bit(vm->watches.queued, w->number, false);
	}
	return !(pending && initial);
}

/* What the connection cannot take any more ends it, and the watch with it, later on. */
static void watch_send(struct watch *w, struct vm *vm)
{
	watch_set_told(w, vm);
	(void)varlink_connection_notify(w->connection, control_vm_reply(vm, false));
}

static bool watch_may_send(const struct watch *w)
{
	return w->n_pending > 0 && !varlink_connection_is_busy(w->connection);
}

/* What the VMs are when the watch begins: as fast as the client reads, and no faster. */
static void watch_send_initial(struct watch *w)
{
	for (size_t i = 0; i < INITIAL_AT_ONCE && w->n_initial > 0 && watch_may_send(w); i++)
		watch_send(w, w->queue[w->first]);
	if (w->n_initial > 0 && watch_may_send(w))
		varlink_connection_again(w->connection);
}

static void watch_send_pending(struct watch *w, uint64_t now)
{
	/* Those come first, by the connection. */
	if (w->n_initial > 0 || !watch_may_send(w) || now < w->next_usec)
		return;
	w->next_usec = now + PROGRESS_USEC;
	watch_send(w, w->queue[w->first]);
}

static uint64_t watches_now(const struct watches *watches)
{
	uint64_t now = 0;

	(void)sd_event_now(watches->event, CLOCK_MONOTONIC, &now);
	return now;
}

/* Sets the timer to when the next watch may send, or off when none has anything to. */
static void watches_arm(struct watches *watches)
{
	uint64_t next = UINT64_MAX;
	struct watch *w;
	int r = 0;

	for (w = LIST_FIRST(&watches->list); w; w = LIST_NEXT(w, list))
		if (!w->n_initial && watch_may_send(w))
			next = min_u64(next, w->next_usec);
	if (next != UINT64_MAX)
		r = sd_event_source_set_time(watches->timer, next);
	if (r >= 0)
		r = sd_event_source_set_enabled(
			watches->timer, next == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
	if (r < 0)
		log_error("Cannot set the timer for watches: %s", strerror(-r));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct watches *watches = userdata;
	uint64_t now = watches_now(watches);
	struct watch *w;

	for (w = LIST_FIRST(&watches->list); w; w = LIST_NEXT(w, list))
		watch_send_pending(w, now);
	watches_arm(watches);
	return 0;
}

int watches_new(struct watches **ret, sd_event *event)
{
	_cleanup_(watches_freep) struct watches *watches = calloc(1, sizeof(*watches));
	int r;

	if (!watches)
		return -ENOMEM;
	LIST_INIT(&watches->list);
	watches->event = sd_event_ref(event);
	r = sd_event_add_time(event, &watches->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, watches);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(watches->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(watches);
	return 0;
}

struct watches *watches_free(struct watches *watches)
{
	struct watch *w;

	if (!watches)
		return NULL;
	while ((w = LIST_FIRST(&watches->list)))
		watch_free(w);
	sd_event_source_disable_unref(watches->timer);
	sd_event_unref(watches->event);
	free(watches);
	return NULL;
}

static void on_drained(struct varlink_connection *connection, void *userdata)
{
	struct watch *w = userdata;

	watch_send_initial(w);
	watch_send_pending(w, watches_now(w->watches));
	watches_arm(w->watches);
}

static void on_closed(struct varlink_connection *connection, void *userdata)
{
	struct watch *w = userdata;
	struct watches *watches = w->watches;

	watch_free(w);
	watches_arm(watches);
}

static const struct varlink_stream_ops watch_ops = {
	.drained = on_drained,
	.closed = on_closed,
};

int watches_add(struct watches *watches, struct varlink_connection *connection,
		struct manager *manager, struct vm *vm)
{
	struct watch *w = calloc(1, sizeof(*w));
	unsigned int number = 0;

	if (!w)
		return -ENOMEM;
	/* There are no more connections than numbers. */
	while (number < VM_WATCHES_MAX - 1 && get_bit(watches->used, number))
		number++;
	set_bit(watches->used, number, true);
	w->number = number;
	w->watches = watches;
	w->connection = connection;
	w->vm = vm;
	LIST_INSERT_HEAD(&watches->list, w, list);
	varlink_connection_stream(connection, &watch_ops, w);

	if (vm) {
		watch_send(w, vm);
		return 0;
	}
	while ((vm = manager_next_vm(manager, vm)))
		if (watch_set_pending(w, vm) == 0)
			w->n_initial++;
		else
			watch_send(w, vm);
	watch_send_initial(w);
	return 0;
}

static bool watch_wants(const struct watch *w, const struct vm *vm)
{
	return !w->vm || w->vm == vm;
}

/* What all are told is built once, if anybody is. */
void watches_vm_state(struct watches *watches, struct vm *vm)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	struct watch *w;

	for (w = LIST_FIRST(&watches->list); w; w = LIST_NEXT(w, list)) {
		if (!watch_wants(w, vm))
			continue;
		if (!text)
			text = varlink_notification_to_text(control_vm_reply(vm, false), &length);
		watch_set_told(w, vm);
		(void)varlink_connection_notify_text(w->connection, text, length);
	}
}

void watches_vm_progress(struct watches *watches, struct vm *vm)
{
	uint64_t now = watches_now(watches);
	struct watch *w;

	for (w = LIST_FIRST(&watches->list); w; w = LIST_NEXT(w, list))
		if (watch_wants(w, vm) && watch_set_pending(w, vm) == 0)
			watch_send_pending(w, now);
	watches_arm(watches);
}

/* As it was last, and that it is no more. */
static json_object *make_gone(const struct vm *vm)
{
	json_object *parameters = control_vm_reply(vm, false);
	int r = varlink_json_set_bool(parameters, "gone", true);

	return varlink_json_finish(parameters, r);
}

void watches_vm_removed(struct watches *watches, struct vm *vm)
{
	struct watch *w = LIST_FIRST(&watches->list);
	_cleanup_free_ char *text = NULL;
	size_t length = 0;

	while (w) {
		struct watch *next = LIST_NEXT(w, list);
		bool told = watch_forget(w, vm);

		if (w->vm == vm) {
			varlink_connection_error_string(w->connection, CONTROL_ERROR_NO_SUCH_VM,
							"vm", vm->table.name);
			watch_free(w);
		} else if (!w->vm && told) {
			if (!text)
				text = varlink_notification_to_text(make_gone(vm), &length);
			(void)varlink_connection_notify_text(w->connection, text, length);
		}
		w = next;
	}
	watches_arm(watches);
}
