/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_CTL_FOLLOW_H
#define EAGERSPLITD_CTL_FOLLOW_H

/* Being told of VMs again and again. */

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/json.h"

/* What to do after having been told. */
enum next {
	NEXT_GO_ON,
	NEXT_SUCCESS,
	NEXT_FAILURE,
};

typedef enum next (*follow_handler)(const struct ctl *ctl, const struct ctl_vm *vm, void *userdata);

/*
 * Watches the VM of that name, NULL: all, and gives what comes to handle(), until that has
 * enough of it; with --json it is printed, too. The connection is used up by that.
 */
enum next follow_vms(const struct ctl *ctl, struct client *client, const char *vm,
		     follow_handler handle, void *userdata);

#endif /* EAGERSPLITD_CTL_FOLLOW_H */
