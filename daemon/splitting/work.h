/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done about a VM. It has a goal; at most one call is in flight at a
 * time, and from what that returned follows the next one.
 */
#ifndef EAGERSPLITD_WORK_H
#define EAGERSPLITD_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "vm/vm-state.h"

struct vm;
struct work;
struct work_group;

/*
 * Creates the work for @vm, which outlives it, and begins with a survey. 0 or
 * -ENOMEM.
 */
int work_new(struct work **ret, struct work_group *group, struct vm *vm);

/* Frees @work, no call of which is in flight (or ever comes back). Returns NULL. */
struct work *work_free(struct work *work);
DEFINE_CLEANUP(struct work *, work_free);

/*
 * Sets what to work towards; what is in flight for something else is
 * interrupted. The goal it has already: takes up what had failed, and checks
 * what was reached. What fails for want of something, or because others hold the VM, is tried
 * again for as long as that is the goal.
 */
void work_set_goal(struct work *work, enum vm_goal goal);

/* Takes up @goal with a splitter of which it is not known whether it holds the VM. */
void work_resume(struct work *work, enum vm_goal goal);

/*
 * Begins the goal's walk anew, whether it has ended or not: memory that was
 * out of its reach may be within now.
 */
void work_repeat(struct work *work);

/* vm->migration.tlbi_rate has changed. */
void work_update_ceiling(struct work *work);

/*
 * The VM has told of something: has it surveyed as it is from now on, even if a survey is under way;
 * in a second at the latest, where it tells of something all the time. A survey that is made earlier, for
 * something else, is another one, and vm->progress.early.
 */
void work_look(struct work *work);

/* See manager_survey_vm() and manager_is_surveying_vm(). */
int work_survey(struct work *work);
bool work_is_surveying(const struct work *work);

/*
 * Ends all work: interrupts what is in flight, releases the hold if that is to be, and
 * calls left(), maybe at once.
 */
void work_leave(struct work *work, bool release);

/* Does the next step, if there is one, or asks the budget for it. */
void work_step(struct work *work);

/* Goes on with what the budget has granted. */
void work_granted(struct work *work, uint64_t tlbis);

#endif /* EAGERSPLITD_WORK_H */
