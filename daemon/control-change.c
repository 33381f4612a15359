// SPDX-License-Identifier: GPL-2.0-or-later
#include "control-change.h"

#include <sys/socket.h>

#include "base/log.h"

static void add_fields(struct log_fields *fields, const void *userdata)
{
	if (userdata)
		log_fields_add(fields, "EAGERSPLIT_VM=%s", (const char *)userdata);
}

void control_log_change(const struct ucred *peer, const char *vm, const char *what)
{
	const struct log_about about = {
		.priority = LOG_INFO,
		.id = MESSAGE_CHANGED,
		.peer = peer,
		.subject = vm,
		.add_fields = add_fields,
		.userdata = vm,
	};

	log_about(&about, "%s by process %d (uid %u)", what, (int)peer->pid,
		  (unsigned int)peer->uid);
}
