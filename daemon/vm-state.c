// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm-state.h"

#include <errno.h>
#include <stdbool.h>

#define STATE(s) [VM_MIGRATION_##s]

static const enum vm_goal goals[VM_MIGRATION_MAX_] = {
	STATE(NONE) = VM_GOAL_NONE,	    STATE(SCHEDULED) = VM_GOAL_SPLIT,
	STATE(ACTIVE) = VM_GOAL_SPLIT,	    STATE(COMPLETED) = VM_GOAL_RELEASE,
	STATE(CANCELLED) = VM_GOAL_RECOVER, STATE(FAILED) = VM_GOAL_RECOVER,
};

/*
 * A migration begins by being scheduled, or by being active where nobody said
 * so before; it ends once, in one way; after its end another may begin.
 */
static const bool allowed[VM_MIGRATION_MAX_][VM_MIGRATION_MAX_] = {
	STATE(NONE) = { STATE(NONE) = true, STATE(SCHEDULED) = true, STATE(ACTIVE) = true },
	STATE(SCHEDULED) = { STATE(SCHEDULED) = true, STATE(ACTIVE) = true, STATE(COMPLETED) = true,
			     STATE(CANCELLED) = true, STATE(FAILED) = true },
	STATE(ACTIVE) = { STATE(ACTIVE) = true, STATE(COMPLETED) = true, STATE(CANCELLED) = true,
			  STATE(FAILED) = true },
	STATE(COMPLETED) = { STATE(COMPLETED) = true, STATE(SCHEDULED) = true },
	STATE(CANCELLED) = { STATE(CANCELLED) = true, STATE(SCHEDULED) = true },
	STATE(FAILED) = { STATE(FAILED) = true, STATE(SCHEDULED) = true },
};

int vm_state_transition(enum vm_migration from, enum vm_migration to, enum vm_goal *ret_goal)
{
	if (!allowed[from][to])
		return -EPROTO;
	*ret_goal = goals[to];
	return from != to;
}
