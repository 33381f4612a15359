/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes on, in a line: what systemctl status shows. */
#ifndef EAGERSPLITD_STATUS_H
#define EAGERSPLITD_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "vm/vm.h"

#define STATUS_SIZE 512

/**
 * struct status - the VMs, counted; all zeroes is none
 * @unsaved: what is known of so many could not be written for the next daemon
 * @name: of the last one that is being split, borrowed
 * @blocks: left to split of those that are being split
 * @eta_usec: until the last of them is split, where it can be told
 */
struct status {
	size_t vms, splitting, split, recovering, failed, late, unsaved;
	const char *name;
	uint64_t blocks;
	uint64_t eta_usec;
};

/* Counts a VM. */
void status_add(struct status *status, const struct vm_info *info);

/*
 * "3 VMs: splitting guest1, 15032 blocks left, 16s; 1 split, 1 late". @unsupported: why no
 * VM can be split here, or NULL. Returns buf.
 */
char *status_format(char buf[static STATUS_SIZE], const struct status *status,
		    const char *unsupported);

#endif /* EAGERSPLITD_STATUS_H */
