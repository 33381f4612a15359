// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machined.h"

#include <errno.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#define MACHINED_NAME	   "org.freedesktop.machine1"
#define MACHINED_PATH	   "/org/freedesktop/machine1"
#define MACHINED_INTERFACE "org.freedesktop.machine1.Manager"

struct machined {
	sd_event *event;
	machined_name_fn named;
	void *userdata;
	sd_bus *bus;
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
	r = sd_bus_open_system(&m->bus);
	if (r < 0)
		return r;
	/* Or the end would wait for a bus that does not say a word. */
	(void)sd_bus_set_close_on_exit(m->bus, false);
	r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		machined_disconnect(m);
	return r;
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
	sd_bus_slot_set_destroy_callback(slot, free);
	sd_bus_slot_set_floating(slot, true);
	sd_bus_slot_unref(slot);
	return 0;
}

void machined_ask(struct machined *m, pid_t pid)
{
	struct question *q;

	if (machined_connect(m) < 0)
		return;
	q = malloc(sizeof(*q));
	if (!q)
		return;
	*q = (struct question){ .machined = m, .pid = pid };
	if (machined_send(m, q) < 0)
		free(q);
}

int machined_new(struct machined **ret, sd_event *event, machined_name_fn named, void *userdata)
{
	struct machined *m;

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->event = sd_event_ref(event);
	m->named = named;
	m->userdata = userdata;
	*ret = m;
	return 0;
}

struct machined *machined_free(struct machined *m)
{
	if (!m)
		return NULL;
	machined_disconnect(m);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
