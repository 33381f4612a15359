/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon and its helper say to each other, over a Unix socket that keeps messages apart
 * (SOCK_SEQPACKET). Both are of one installation: there are no versions. The helper begins, with a
 * reply of zeroes that says that it is there.
 */
#ifndef EAGERSPLITD_FETCH_PROTOCOL_H
#define EAGERSPLITD_FETCH_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "host/qemu-name.h"

/* The most VMs of one process. */
#define FETCH_VMS_MAX 64

enum fetch_kind {
	/* The VMs of process @pid: a reply for each with its splitter, and one that ends. */
	FETCH_LOOK,
	/* What QEMU of process @pid was told to call its guest. One reply. */
	FETCH_NAMES,
	/* The processes with VMs whose ids are above @pid. A reply before each is looked at in any
	 * way, one if it has any, and one that ends. */
	FETCH_SCAN,
};

/* How many users one can be told to stay away from. */
#define FETCH_AVOID_MAX 64

/**
 * struct fetch_request - what is wanted
 * @kind: enum fetch_kind
 * @pid: see there
 * @n_avoid, @avoid: users whose processes are not to be looked at in a scan
 */
struct fetch_request {
	uint32_t kind;
	int32_t pid;
	uint32_t n_avoid;
	uint32_t avoid[FETCH_AVOID_MAX];
};

/**
 * struct fetch_reply - one of the replies to a request
 * @more: others follow
 * @result: of that which ends: how many VMs there are, 0, or a negative errno. Of another: 0, or
 *	    -EINPROGRESS: process @number is about to be looked at
 * @number: of a VM: its descriptor over there, whose splitter comes along; or the process
 * @uid: of a VM, or of a process that is about to be looked at: whose process that is
 * @names: of its guest
 */
struct fetch_reply {
	uint32_t more;
	int32_t result;
	int32_t number;
	int64_t uid;
	struct guest_names names;
};

#endif /* EAGERSPLITD_FETCH_PROTOCOL_H */
