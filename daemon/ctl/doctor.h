/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EAGERSPLITD_DOCTOR_H
#define EAGERSPLITD_DOCTOR_H

/*
 * Whether a host has what eager splitting needs, and what to do where it has not. Looks at
 * files below a root that can be chosen, and at all else through calls that can be replaced.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/unit.h"

#define DOCTOR_FOUND_SIZE  160
#define DOCTOR_ADVICE_SIZE 320

enum check_status {
	CHECK_OK,
	CHECK_WARNING, /* works, but not as one would want */
	CHECK_FAILED,
	CHECK_SKIPPED, /* cannot be told here */
};

/**
 * struct check_result - what a check has found
 * @name: of the check
 * @found: what there is
 * @advice: what to do; empty: nothing
 */
struct check_result {
	const char *name;
	enum check_status status;
	char found[DOCTOR_FOUND_SIZE];
	char advice[DOCTOR_ADVICE_SIZE];
};

/**
 * struct doctor_daemon - what a running daemon says of itself
 * @not_kept: why it cannot write what is to outlive it; empty: it can
 */
struct doctor_daemon {
	char version[32];
	char backend[16];
	bool supported;
	char not_kept[64];
};

/**
 * struct doctor_ops - what is no file
 * @check_extension: opens a /dev/kvm and asks for KVM_CAP_ARM_EAGER_SPLIT; the mask, or a
 *		     negative errno
 * @get_unit: 0, or a negative errno: there is no service manager to ask
 * @connect: to the control socket. 0 or a negative errno
 * @get_host: on a connection of its own; 0 or a negative errno
 */
struct doctor_ops {
	int (*check_extension)(void *userdata, const char *path);
	int (*get_unit)(void *userdata, const char *name, struct unit_state *ret);
	int (*connect)(void *userdata);
	int (*get_host)(void *userdata, struct doctor_daemon *ret);
};

/**
 * struct doctor - the patient
 * @root: put before the paths of all files, "" for those of this host
 * @machine: as uname(2) has it
 * @release: the same, of the kernel
 * @socket: the control socket
 * @kvm_gid: of the group kvm, which the daemon is in; -1: there is none
 */
struct doctor {
	const char *root;
	const char *machine;
	const char *release;
	const char *socket;
	gid_t kvm_gid;
	const struct doctor_ops *ops;
	void *userdata;
};

/* The number of checks that there are. */
size_t doctor_count(void);

/* Makes check i, below that number. */
void doctor_check(const struct doctor *doctor, size_t i, struct check_result *result);

/* "ok", "warning", "failed", "skipped". */
const char *check_status_to_string(enum check_status status);

#endif /* EAGERSPLITD_DOCTOR_H */
