// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-machined.h"

#include <errno.h>

#include "host/machined.h"

struct machined {
	machined_name_fn named;
	void *userdata;
	pid_t asked;
};

static struct machined *current;

int machined_new(struct machined **ret, sd_event *event, machined_name_fn named, void *userdata)
{
	struct machined *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->named = named;
	m->userdata = userdata;
	*ret = current = m;
	return 0;
}

struct machined *machined_free(struct machined *m)
{
	current = NULL;
	free(m);
	return NULL;
}

void machined_ask(struct machined *m, pid_t pid)
{
	m->asked = pid;
}

void machined_answer(const char *name)
{
	pid_t pid = current ? current->asked : 0;

	if (!pid)
		return;
	current->asked = 0;
	current->named(current->userdata, pid, name);
}
