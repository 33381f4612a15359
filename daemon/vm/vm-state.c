// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/vm-state.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

struct transition {
	enum vm_step step;
	enum vm_state to; /* of VM_STEP_GO */
};

#define REFUSE                    \
	{                         \
		VM_STEP_REFUSE, 0 \
	}
#define KEEP                    \
	{                       \
		VM_STEP_KEEP, 0 \
	}
#define AGAIN                    \
	{                        \
		VM_STEP_AGAIN, 0 \
	}
#define GO(state)                            \
	{                                    \
		VM_STEP_GO, VM_STATE_##state \
	}

#define TOLD(migration) [VM_EVENT_TOLD + VM_MIGRATION_##migration]

/*
 * A migration begins by being scheduled, or by being active where nobody said
 * so before; it ends once, in one way; after its end another may begin. What was
 * scheduled ends by being told, or by nobody following it up, and by nothing else.
 *
 * What was only seen is no end yet. A migration that has succeeded stops
 * dirty logging too, and orchestration says which it was a moment later; it
 * may also be late to say that it has scheduled what has begun by then.
 */
static const struct transition table[VM_STATE_MAX_][VM_EVENT_MAX_] = {
	[VM_STATE_NONE] = {
		TOLD(NONE) = AGAIN,
		TOLD(SCHEDULED) = GO(SCHEDULED),
		TOLD(ACTIVE) = GO(ACTIVE),
		TOLD(COMPLETED) = REFUSE,
		TOLD(CANCELLED) = REFUSE,
		TOLD(FAILED) = REFUSE,
		[VM_EVENT_LOG_ON] = GO(ACTIVE_SEEN),
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		[VM_EVENT_LOG_OFF] = KEEP,
		[VM_EVENT_TIMEOUT] = KEEP,
	},
	[VM_STATE_SCHEDULED] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = AGAIN,
		TOLD(ACTIVE) = GO(ACTIVE),
		TOLD(COMPLETED) = GO(COMPLETED),
		TOLD(CANCELLED) = GO(CANCELLED),
		TOLD(FAILED) = GO(FAILED),
		/* What was announced has come: there is nothing to be ignored. */
		[VM_EVENT_LOG_ON] = GO(SCHEDULED_SEEN),
		[VM_EVENT_LOG_ON_IGNORED] = GO(SCHEDULED_SEEN),
		/* Of whatever was logged before: it has not begun yet. */
		[VM_EVENT_LOG_OFF] = KEEP,
		[VM_EVENT_TIMEOUT] = GO(CANCELLED_SEEN),
	},
	[VM_STATE_SCHEDULED_SEEN] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = AGAIN,
		TOLD(ACTIVE) = GO(ACTIVE),
		TOLD(COMPLETED) = GO(COMPLETED),
		TOLD(CANCELLED) = GO(CANCELLED),
		TOLD(FAILED) = GO(FAILED),
		[VM_EVENT_LOG_ON] = KEEP,
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		/* It may have been a look at how much is written, or a snapshot: that ends no schedule. */
		[VM_EVENT_LOG_OFF] = GO(SCHEDULED),
		[VM_EVENT_TIMEOUT] = KEEP,
	},
	[VM_STATE_ACTIVE_SEEN] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = GO(SCHEDULED_SEEN),
		TOLD(ACTIVE) = GO(ACTIVE),
		TOLD(COMPLETED) = GO(COMPLETED),
		TOLD(CANCELLED) = GO(CANCELLED),
		TOLD(FAILED) = GO(FAILED),
		[VM_EVENT_LOG_ON] = KEEP,
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		[VM_EVENT_LOG_OFF] = GO(CANCELLED_SEEN),
		[VM_EVENT_TIMEOUT] = KEEP,
	},
	[VM_STATE_ACTIVE] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = REFUSE,
		TOLD(ACTIVE) = AGAIN,
		TOLD(COMPLETED) = GO(COMPLETED),
		TOLD(CANCELLED) = GO(CANCELLED),
		TOLD(FAILED) = GO(FAILED),
		[VM_EVENT_LOG_ON] = KEEP,
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		[VM_EVENT_LOG_OFF] = GO(CANCELLED_SEEN),
		[VM_EVENT_TIMEOUT] = GO(CANCELLED_SEEN),
	},
	[VM_STATE_COMPLETED] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = GO(SCHEDULED),
		TOLD(ACTIVE) = REFUSE,
		TOLD(COMPLETED) = AGAIN,
		TOLD(CANCELLED) = REFUSE,
		TOLD(FAILED) = REFUSE,
		[VM_EVENT_LOG_ON] = GO(ACTIVE_SEEN),
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		[VM_EVENT_LOG_OFF] = KEEP,
		[VM_EVENT_TIMEOUT] = KEEP,
	},
	[VM_STATE_CANCELLED_SEEN] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = GO(SCHEDULED),
		TOLD(ACTIVE) = GO(ACTIVE),
		TOLD(COMPLETED) = GO(COMPLETED),
		TOLD(CANCELLED) = GO(CANCELLED),
		TOLD(FAILED) = GO(FAILED),
		[VM_EVENT_LOG_ON] = GO(ACTIVE_SEEN),
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		/* Memory that is logged cannot be recovered: now it can. */
		[VM_EVENT_LOG_OFF] = AGAIN,
		[VM_EVENT_TIMEOUT] = KEEP,
	},
	[VM_STATE_CANCELLED] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = GO(SCHEDULED),
		TOLD(ACTIVE) = REFUSE,
		TOLD(COMPLETED) = REFUSE,
		TOLD(CANCELLED) = AGAIN,
		TOLD(FAILED) = REFUSE,
		[VM_EVENT_LOG_ON] = GO(ACTIVE_SEEN),
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		[VM_EVENT_LOG_OFF] = AGAIN,
		[VM_EVENT_TIMEOUT] = KEEP,
	},
	[VM_STATE_FAILED] = {
		TOLD(NONE) = REFUSE,
		TOLD(SCHEDULED) = GO(SCHEDULED),
		TOLD(ACTIVE) = REFUSE,
		TOLD(COMPLETED) = REFUSE,
		TOLD(CANCELLED) = REFUSE,
		TOLD(FAILED) = AGAIN,
		[VM_EVENT_LOG_ON] = GO(ACTIVE_SEEN),
		[VM_EVENT_LOG_ON_IGNORED] = KEEP,
		[VM_EVENT_LOG_OFF] = AGAIN,
		[VM_EVENT_TIMEOUT] = KEEP,
	},
};

static const struct {
	enum vm_migration migration;
	enum vm_goal goal;
	bool seen;
} states[VM_STATE_MAX_] = {
	[VM_STATE_NONE] = { VM_MIGRATION_NONE, VM_GOAL_NONE, false },
	[VM_STATE_SCHEDULED] = { VM_MIGRATION_SCHEDULED, VM_GOAL_SPLIT, false },
	[VM_STATE_SCHEDULED_SEEN] = { VM_MIGRATION_ACTIVE, VM_GOAL_SPLIT, true },
	[VM_STATE_ACTIVE_SEEN] = { VM_MIGRATION_ACTIVE, VM_GOAL_SPLIT, true },
	[VM_STATE_ACTIVE] = { VM_MIGRATION_ACTIVE, VM_GOAL_SPLIT, false },
	[VM_STATE_COMPLETED] = { VM_MIGRATION_COMPLETED, VM_GOAL_RELEASE, false },
	[VM_STATE_CANCELLED_SEEN] = { VM_MIGRATION_CANCELLED, VM_GOAL_RECOVER, true },
	[VM_STATE_CANCELLED] = { VM_MIGRATION_CANCELLED, VM_GOAL_RECOVER, false },
	[VM_STATE_FAILED] = { VM_MIGRATION_FAILED, VM_GOAL_RECOVER, false },
};

enum vm_step vm_state_next(enum vm_state from, enum vm_event event, enum vm_state *ret)
{
	const struct transition *t = &table[from][event];

	*ret = t->step == VM_STEP_GO ? t->to : from;
	return t->step;
}

enum vm_goal vm_state_get_goal(enum vm_state state)
{
	return states[state].goal;
}

enum vm_migration vm_state_get_migration(enum vm_state state)
{
	return states[state].migration;
}

bool vm_state_is_seen(enum vm_state state)
{
	return states[state].seen;
}

bool vm_state_is_told(enum vm_state state)
{
	/* What was announced, and has come, is no news of somebody else's. */
	return state == VM_STATE_SCHEDULED_SEEN || (state != VM_STATE_NONE && !states[state].seen);
}

static const char *const migrations[VM_MIGRATION_MAX_] = {
	[VM_MIGRATION_NONE] = "none",		[VM_MIGRATION_SCHEDULED] = "scheduled",
	[VM_MIGRATION_ACTIVE] = "active",	[VM_MIGRATION_COMPLETED] = "completed",
	[VM_MIGRATION_CANCELLED] = "cancelled", [VM_MIGRATION_FAILED] = "failed",
};

const char *vm_migration_to_string(enum vm_migration migration)
{
	return migrations[migration];
}

int vm_migration_from_string(const char *s)
{
	for (size_t i = 0; s && i < ARRAY_SIZE(migrations); i++)
		if (strcmp(migrations[i], s) == 0)
			return (int)i;
	return -EINVAL;
}
