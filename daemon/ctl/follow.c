// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/follow.h"

#include <stdio.h>

#include "ctl/params.h"
#include "varlink/json.h"

enum next follow_vms(const struct ctl *ctl, struct client *client, const char *name,
		     follow_handler handle, void *userdata)
{
	if (client_send(client, "Watch", params_vm(name), true) < 0)
		return NEXT_FAILURE;
	for (;;) {
		_cleanup_(varlink_reply_done) struct varlink_reply reply = { 0 };
		struct ctl_vm vm;
		enum next next;

		if (client_receive(client, &reply) < 0)
			return NEXT_FAILURE;
		if (reply.error) {
			client_report(client, &reply);
			return NEXT_FAILURE;
		}
		if (ctl->json) {
			ctl_json_print(reply.parameters);
			fflush(stdout);
		}
		ctl_vm_from_json(&vm, ctl_json_member(reply.parameters, "vm"));
		vm.gone = ctl_json_bool(reply.parameters, "gone");
		next = handle(ctl, &vm, userdata);
		if (next != NEXT_GO_ON || !reply.continues)
			return next;
	}
}
