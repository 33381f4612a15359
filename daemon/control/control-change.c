// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control-change.h"

#include <sys/socket.h>

#include "base/log.h"
#include "vm/vm.h"

static void add_fields(struct log_fields *fields, const void *userdata)
{
	if (userdata)
		vm_info_add_fields(fields, userdata);
}

void control_log_change(const struct ucred *peer, const struct vm_info *vm, const char *what)
{
	const struct log_about about = {
		.priority = LOG_INFO,
		.id = MESSAGE_CHANGED,
		.peer = peer,
		.subject = vm ? vm->name : NULL,
		.add_fields = add_fields,
		.userdata = vm,
	};

	log_about(&about, "%s by process %d (uid %u)", what, (int)peer->pid,
		  (unsigned int)peer->uid);
}
