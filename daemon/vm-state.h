/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows from being told of a migration's state: one table, no more. */
#ifndef EAGERSPLITD_VM_STATE_H
#define EAGERSPLITD_VM_STATE_H

#include "vm.h"

/* What the daemon works towards for a VM. */
enum vm_goal {
	VM_GOAL_NONE, /* nothing but looking */
	VM_GOAL_SPLIT, /* held, and all of it pages */
	VM_GOAL_RELEASE, /* not held, pages as they are */
	VM_GOAL_RECOVER, /* not held, blocks again */
};

/*
 * Whether @from may be followed by @to, and in @ret_goal what to work towards
 * then. 1: yes; 0: yes, and it is the same state, so work goes on as it was
 * (@ret_goal is the goal of that state); -EPROTO: no.
 */
int vm_state_transition(enum vm_migration from, enum vm_migration to, enum vm_goal *ret_goal);

#endif /* EAGERSPLITD_VM_STATE_H */
