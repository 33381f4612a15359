// SPDX-License-Identifier: GPL-2.0-or-later
/* What the journal is told of a VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log-quota.h"
#include "unit/journal.h"
#include "vm/vm.h"

static int set_up(void **state)
{
	struct vm *vm;

	entries[0] = '\0';
	answer = 0;
	connect_stderr(true);
	assert_int_equal(vm_new(&vm, NULL, 42, 3, NULL), 0);
	*state = vm;
	return 0;
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

/* A stage that fails is told of with the reason, and again with another. */
static void test_failure(void **state)
{
	struct vm *vm = *state;

	vm->progress.tlbis = 5;
	vm->progress.blocks_split = 3;
	vm_set_deadline(vm, 99);
	vm_set_stage(vm, VM_STAGE_FAILED, "No memory");
	assert_string_equal(entries, "MESSAGE=42.3: No memory\nPRIORITY=3\n"
				     "MESSAGE_ID=" MESSAGE_VM_FAILED "\n"
				     "EAGERSPLIT_VM=42.3\nEAGERSPLIT_PID=42\n"
				     "EAGERSPLIT_MIGRATION=none\nEAGERSPLIT_STAGE=failed\n"
				     "EAGERSPLIT_BLOCKS=0\nEAGERSPLIT_BLOCKS_SPLIT=3\n"
				     "EAGERSPLIT_TLBIS=5\nEAGERSPLIT_DEADLINE_USEC=99\n"
				     "EAGERSPLIT_ERROR=No memory\n");
	entries[0] = '\0';
	vm_set_stage(vm, VM_STAGE_FAILED, "No progress");
	assert_non_null(strstr(entries, "EAGERSPLIT_ERROR=No progress\n"));
}

/* A stage that is set again is no news. */
static void test_no_news(void **state)
{
	struct vm *vm = *state;

	vm_set_stage(vm, VM_STAGE_SPLITTING, NULL);
	assert_non_null(strstr(entries, "MESSAGE_ID=" MESSAGE_VM_STAGE "\n"));
	entries[0] = '\0';
	vm_set_stage(vm, VM_STAGE_SPLITTING, NULL);
	assert_string_equal(entries, "");
}

/* Each deadline once, and only while the VM is being split. */
static void test_late(void **state)
{
	struct vm *vm = *state;

	vm_set_deadline(vm, 1);
	assert_false(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
	vm_set_stage(vm, VM_STAGE_SPLITTING, NULL);
	assert_true(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
	assert_false(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
	vm_set_deadline(vm, 1);
	assert_false(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
	vm_set_deadline(vm, 2);
	assert_true(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
	vm_set_deadline(vm, UINT64_MAX);
	assert_false(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
	vm_set_deadline(vm, INT64_MAX);
	assert_false(vm_note_late(vm, clock_usec(CLOCK_REALTIME)));
}

/* What nobody has said anything of has a limit; what somebody has announced or registered has none. */
static void test_quota(void **state)
{
	_cleanup_(log_quota_freep) struct log_quota *q = NULL;
	struct vm *vm = *state;
	size_t n = 0;

	assert_int_equal(log_quota_new(&q), 0);
	vm->log_quota = q;
	for (int i = 0; i < 2 * LOG_QUOTA_MAX; i++) {
		entries[0] = '\0';
		log_vm_info(vm, NULL, "Found");
		n += entries[0] != '\0';
	}
	assert_int_equal(n, LOG_QUOTA_MAX);
	vm->migration.state = VM_STATE_ACTIVE_SEEN;
	assert_false(vm_may_log(vm));
	vm->migration.state = VM_STATE_SCHEDULED_SEEN;
	assert_true(vm_may_log(vm));
	vm->migration.state = VM_STATE_SCHEDULED;
	assert_true(vm_may_log(vm));
	vm->migration.state = VM_STATE_NONE;
	vm->table.registered = true;
	assert_true(vm_may_log(vm));
	entries[0] = '\0';
	log_vm_info(vm, NULL, "Registered");
	assert_non_null(strstr(entries, "Registered"));
	vm->log_quota = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_failure),
		TEST(test_no_news),
		TEST(test_late),
		TEST(test_quota),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
