// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machined.h"

#include <errno.h>
#include <stdint.h>

#include "base/system-bus.h"

#define MACHINED_NAME	   "org.freedesktop.machine1"
#define MACHINED_PATH	   "/org/freedesktop/machine1"
#define MACHINED_INTERFACE "org.freedesktop.machine1.Manager"

/**
 * struct machined - a connection, as long as there are questions
 * @bus: NULL: none
 * @rest: on when there may be no question any more
 */
struct machined {
	sd_event *event;
	machined_name_fn named;
	void *userdata;
	sd_bus *bus;
	size_t n_questions;
	sd_event_source *rest;
};

/* A question that is under way. */
struct question {
	struct machined *machined;
	pid_t pid;
};

static void machined_disconnect(struct machined *m)
{
	/* Ends all questions. */
	m->bus = sd_bus_close_unref(m->bus);
}

static int machined_connect(struct machined *m)
{
	int r;

	if (m->bus && sd_bus_is_open(m->bus) > 0)
		return 0;
	machined_disconnect(m);
	r = system_bus_open(&m->bus);
	if (r < 0)
		return r;
	/* Or the end would wait for a bus that does not say a word. */
	(void)sd_bus_set_close_on_exit(m->bus, false);
	/* One message each time that it is its turn, as others have theirs, however many there are. */
	r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		machined_disconnect(m);
	return r;
}

/*
 * Whoever is on the bus, every user of the host can have read, and throw away, as much as he likes.
 * Not from where the last question ends: that is in the middle of what the bus does.
 */
static int on_rest(sd_event_source *source, void *userdata)
{
	struct machined *m = userdata;

	if (!m->n_questions)
		machined_disconnect(m);
	return 0;
}

static void machined_rest(struct machined *m)
{
	if (!m->n_questions)
		(void)sd_event_source_set_enabled(m->rest, SD_EVENT_ONESHOT);
}

static struct question *question_new(struct machined *m, pid_t pid)
{
	struct question *q = malloc(sizeof(*q));

	if (!q)
		return NULL;
	*q = (struct question){ .machined = m, .pid = pid };
	m->n_questions++;
	return q;
}

static void question_end(void *userdata)
{
	struct question *q = userdata;

	q->machined->n_questions--;
	machined_rest(q->machined);
	free(q);
}

/* The name is in the path of the machine's object. */
static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
	const struct question *q = userdata;
	_cleanup_free_ char *name = NULL;
	const char *path;

	if (sd_bus_message_is_method_error(answer, NULL) ||
	    sd_bus_message_read(answer, "o", &path) < 0 ||
	    sd_bus_path_decode(path, MACHINED_PATH "/machine", &name) <= 0)
		return 0;
	q->machined->named(q->machined->userdata, q->pid, name);
	return 0;
}

static int machined_send(struct machined *m, struct question *q)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	sd_bus_slot *slot;
	int r;

	r = sd_bus_message_new_method_call(m->bus, &message, MACHINED_NAME, MACHINED_PATH,
					   MACHINED_INTERFACE, "GetMachineByPID");
	if (r < 0)
		return r;
	r = sd_bus_message_append(message, "u", (uint32_t)q->pid);
	if (r < 0)
		return r;
	/* Without it there are no machines that it could know. */
	r = sd_bus_message_set_auto_start(message, false);
	if (r < 0)
		return r;
	r = sd_bus_call_async(m->bus, &slot, message, on_answer, q, 0);
	if (r < 0)
		return r;
	/* From here on the question belongs to the slot, and that to the bus. */
	sd_bus_slot_set_destroy_callback(slot, question_end);
	sd_bus_slot_set_floating(slot, true);
	sd_bus_slot_unref(slot);
	return 0;
}

void machined_ask(struct machined *m, pid_t pid)
{
	struct question *q;

	if (machined_connect(m) < 0)
		return;
	q = question_new(m, pid);
	if (!q)
		machined_rest(m);
	else if (machined_send(m, q) < 0)
		question_end(q);
}

int machined_new(struct machined **ret, sd_event *event, machined_name_fn named, void *userdata)
{
	_cleanup_(machined_freep) struct machined *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->event = sd_event_ref(event);
	m->named = named;
	m->userdata = userdata;
	r = sd_event_add_defer(event, &m->rest, on_rest, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->rest, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

struct machined *machined_free(struct machined *m)
{
	if (!m)
		return NULL;
	machined_disconnect(m);
	sd_event_source_disable_unref(m->rest);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
