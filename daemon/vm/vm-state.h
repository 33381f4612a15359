/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a VM's migration: what follows from each thing that can happen
 * in each state. One table, no more.
 */
#ifndef EAGERSPLITD_VM_STATE_H
#define EAGERSPLITD_VM_STATE_H

#include <stdbool.h>

/* The state of a VM's migration, as the control interface names it. */
enum vm_migration {
	VM_MIGRATION_NONE,
	VM_MIGRATION_SCHEDULED,
	VM_MIGRATION_ACTIVE,
	VM_MIGRATION_COMPLETED,
	VM_MIGRATION_CANCELLED,
	VM_MIGRATION_FAILED,
	VM_MIGRATION_MAX_,
};

/*
 * The same, with what makes a difference for what may follow: a state that
 * was only seen gives way to what orchestration says of it later.
 */
enum vm_state {
	VM_STATE_NONE,
	VM_STATE_SCHEDULED,
	VM_STATE_SCHEDULED_SEEN, /* it was scheduled, and dirty logging has started */
	VM_STATE_ACTIVE_SEEN, /* dirty logging has started, and nobody has announced it */
	VM_STATE_ACTIVE,
	VM_STATE_COMPLETED,
	VM_STATE_CANCELLED_SEEN, /* dirty logging has stopped, or nothing came of it */
	VM_STATE_CANCELLED,
	VM_STATE_FAILED,
	VM_STATE_MAX_,
};

/* What can happen to a migration. */
enum vm_event {
	VM_EVENT_TOLD, /* plus an enum vm_migration: SetMigrationState() */
	VM_EVENT_LOG_ON = VM_EVENT_TOLD + VM_MIGRATION_MAX_, /* dirty logging: OnDirtyLog=split */
	VM_EVENT_LOG_ON_IGNORED, /* the same with OnDirtyLog=ignore */
	VM_EVENT_LOG_OFF,
	VM_EVENT_TIMEOUT, /* ScheduledTimeoutSec= is over */
	VM_EVENT_MAX_,
};

/* What the daemon works towards for a VM. */
enum vm_goal {
	VM_GOAL_NONE, /* nothing but looking */
	VM_GOAL_SPLIT, /* held, and all of it pages */
	VM_GOAL_RELEASE, /* not held, pages as they are */
	VM_GOAL_RECOVER, /* not held, blocks again */
};

enum vm_step {
	VM_STEP_REFUSE, /* contradicts what was told: nothing changes */
	VM_STEP_KEEP, /* nothing follows from it */
	VM_STEP_AGAIN, /* the state stays; what failed or was reached is taken up again */
	VM_STEP_GO, /* another state */
};

/* What follows from @event in state @from, and in @ret the state from then on. */
enum vm_step vm_state_next(enum vm_state from, enum vm_event event, enum vm_state *ret);

/* What to work towards in @state. */
enum vm_goal vm_state_get_goal(enum vm_state state);

/* What the control interface calls @state. */
enum vm_migration vm_state_get_migration(enum vm_state state);

/* Whether @state is one that was seen and not told. */
bool vm_state_is_seen(enum vm_state state);

/* Whether somebody has said what @state is. */
bool vm_state_is_told(enum vm_state state);

/* The name used in the control interface, never NULL. */
const char *vm_migration_to_string(enum vm_migration migration);

/* The state of that name (NULL is none), or -EINVAL. */
int vm_migration_from_string(const char *s);

#endif /* EAGERSPLITD_VM_STATE_H */
