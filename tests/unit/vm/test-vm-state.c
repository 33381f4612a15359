// SPDX-License-Identifier: GPL-2.0-or-later
/* Every state with every event, written out a second time, from the other side. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vm/vm-state.h"

/* States by letter: a small one was only seen. */
static const char letters[VM_STATE_MAX_ + 1] = "NSsaACxXF";

/* "-" refused, "." nothing follows, "=" again, else the state from then on. */
static char outcome(enum vm_state from, enum vm_event event)
{
	enum vm_state to = VM_STATE_MAX_;

	switch (vm_state_next(from, event, &to)) {
	case VM_STEP_GO:
		assert_in_range(to, 0, VM_STATE_MAX_ - 1);
		assert_int_not_equal(to, from);
		return letters[to];
	case VM_STEP_REFUSE:
		assert_int_equal(to, from);
		return '-';
	case VM_STEP_KEEP:
		assert_int_equal(to, from);
		return '.';
	case VM_STEP_AGAIN:
		assert_int_equal(to, from);
		return '=';
	}
	return '?';
}

static void test_every_pair(void **state)
{
	/* A string for each event, in it a character for each state before: NSsaACxXF. */
	static const struct {
		enum vm_event event;
		const char *outcomes;
	} events[] = {
		{ VM_EVENT_TOLD + VM_MIGRATION_NONE, "=--------" },
		{ VM_EVENT_TOLD + VM_MIGRATION_SCHEDULED, "S==s-SSSS" },
		{ VM_EVENT_TOLD + VM_MIGRATION_ACTIVE, "AAAA=-A--" },
		{ VM_EVENT_TOLD + VM_MIGRATION_COMPLETED, "-CCCC=C--" },
		{ VM_EVENT_TOLD + VM_MIGRATION_CANCELLED, "-XXXX-X=-" },
		{ VM_EVENT_TOLD + VM_MIGRATION_FAILED, "-FFFF-F-=" },
		{ VM_EVENT_LOG_ON, "as...aaaa" },
		{ VM_EVENT_LOG_ON_IGNORED, ".s......." },
		{ VM_EVENT_LOG_OFF, "..Sxx.===" },
		{ VM_EVENT_TIMEOUT, ".x..x...." },
	};

	assert_int_equal(ARRAY_SIZE(events), VM_EVENT_MAX_);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		assert_int_equal(strlen(events[i].outcomes), VM_STATE_MAX_);
		for (int from = 0; from < VM_STATE_MAX_; from++) {
			char is = outcome((enum vm_state)from, events[i].event);

			if (is != events[i].outcomes[from])
				fail_msg("event %d in state %c: %c, expected %c",
					 (int)events[i].event, letters[from], is,
					 events[i].outcomes[from]);
		}
	}
}

/* Whoever is told a state is in it, whatever was before, unless that is refused. */
static void test_told_is_where_it_leads(void **state)
{
	for (int from = 0; from < VM_STATE_MAX_; from++) {
		for (int told = 0; told < VM_MIGRATION_MAX_; told++) {
			enum vm_state to;
			enum vm_step step;

			step = vm_state_next((enum vm_state)from,
					     (enum vm_event)(VM_EVENT_TOLD + told), &to);
			/* One that is logged is active, whatever was announced of it. */
			if (told == VM_MIGRATION_SCHEDULED &&
			    vm_state_get_migration(to) == VM_MIGRATION_ACTIVE)
				continue;
			if (step == VM_STEP_GO) {
				assert_int_equal(vm_state_get_migration(to), told);
				assert_false(vm_state_is_seen(to));
			} else if (step == VM_STEP_AGAIN) {
				assert_int_equal(vm_state_get_migration(to), told);
			}
		}
	}
}

/* What was seen can be corrected by all that may be said of a migration under way. */
static void test_seen_gives_way(void **state)
{
	for (int from = 0; from < VM_STATE_MAX_; from++) {
		enum vm_state to;

		if (!vm_state_is_seen((enum vm_state)from))
			continue;
		for (int told = VM_MIGRATION_SCHEDULED; told < VM_MIGRATION_MAX_; told++)
			assert_int_not_equal(vm_state_next((enum vm_state)from,
							   (enum vm_event)(VM_EVENT_TOLD + told),
							   &to),
					     VM_STEP_REFUSE);
	}
}

static void test_goals(void **state)
{
	static const enum vm_goal goals[VM_MIGRATION_MAX_] = {
		[VM_MIGRATION_NONE] = VM_GOAL_NONE,
		[VM_MIGRATION_SCHEDULED] = VM_GOAL_SPLIT,
		[VM_MIGRATION_ACTIVE] = VM_GOAL_SPLIT,
		[VM_MIGRATION_COMPLETED] = VM_GOAL_RELEASE,
		[VM_MIGRATION_CANCELLED] = VM_GOAL_RECOVER,
		[VM_MIGRATION_FAILED] = VM_GOAL_RECOVER,
	};

	for (int s = 0; s < VM_STATE_MAX_; s++)
		assert_int_equal(vm_state_get_goal((enum vm_state)s),
				 goals[vm_state_get_migration((enum vm_state)s)]);
}

static void test_names(void **state)
{
	for (int i = 0; i < VM_MIGRATION_MAX_; i++)
		assert_int_equal(
			vm_migration_from_string(vm_migration_to_string((enum vm_migration)i)), i);
	assert_int_equal(vm_migration_from_string("Scheduled"), -EINVAL);
	assert_int_equal(vm_migration_from_string(""), -EINVAL);
	assert_int_equal(vm_migration_from_string(NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_told_is_where_it_leads),
		cmocka_unit_test(test_seen_gives_way),
		cmocka_unit_test(test_goals),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("vm-state", tests, NULL, NULL);
}
