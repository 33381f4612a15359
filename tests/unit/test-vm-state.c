// SPDX-License-Identifier: GPL-2.0-or-later
/* Every pair of states, written out a second time, from the other side. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm-state.h"

static void test_every_pair(void **state)
{
	/* A row for each state before, a letter for each after; + allowed, = the same. */
	/* clang-format off */
	static const char *const rows[VM_MIGRATION_MAX_] = {
		[VM_MIGRATION_NONE]      = "=++---",
		[VM_MIGRATION_SCHEDULED] = "-=++++",
		[VM_MIGRATION_ACTIVE]    = "--=+++",
		[VM_MIGRATION_COMPLETED] = "-+-=--",
		[VM_MIGRATION_CANCELLED] = "-+--=-",
		[VM_MIGRATION_FAILED]    = "-+---=",
	};
	/* clang-format on */

	for (int from = 0; from < VM_MIGRATION_MAX_; from++) {
		assert_int_equal(strlen(rows[from]), VM_MIGRATION_MAX_);
		for (int to = 0; to < VM_MIGRATION_MAX_; to++) {
			enum vm_goal goal = VM_GOAL_NONE;
			int r;

			r = vm_state_transition((enum vm_migration)from, (enum vm_migration)to,
						&goal);
			if (rows[from][to] == '-')
				assert_int_equal(r, -EPROTO);
			else
				assert_int_equal(r, rows[from][to] == '+');
		}
	}
}

static void test_goals(void **state)
{
	static const struct {
		enum vm_migration from, to;
		enum vm_goal goal;
	} samples[] = {
		{ VM_MIGRATION_NONE, VM_MIGRATION_NONE, VM_GOAL_NONE },
		{ VM_MIGRATION_NONE, VM_MIGRATION_SCHEDULED, VM_GOAL_SPLIT },
		{ VM_MIGRATION_NONE, VM_MIGRATION_ACTIVE, VM_GOAL_SPLIT },
		{ VM_MIGRATION_ACTIVE, VM_MIGRATION_COMPLETED, VM_GOAL_RELEASE },
		{ VM_MIGRATION_ACTIVE, VM_MIGRATION_CANCELLED, VM_GOAL_RECOVER },
		{ VM_MIGRATION_SCHEDULED, VM_MIGRATION_FAILED, VM_GOAL_RECOVER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		enum vm_goal goal;

		assert_true(vm_state_transition(samples[i].from, samples[i].to, &goal) >= 0);
		assert_int_equal(goal, samples[i].goal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_goals),
	};

	return cmocka_run_group_tests_name("vm-state", tests, NULL, NULL);
}
