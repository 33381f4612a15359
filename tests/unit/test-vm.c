// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "vm.h"

static void test_names_of_stages(void **state)
{
	for (int i = 0; i < VM_STAGE_MAX_; i++)
		assert_non_null(vm_stage_to_string((enum vm_stage)i));
}

static void test_names_of_vms(void **state)
{
	static const char *const good[] = {
		"a",	     "42",	    "42.",	     "42.7.1",
		"v42.7",     "42.7-1",	    "web-1.example", "9p_x:y@z+",
		"debian 12", "B\xc3\xbcro", "a,b=c;\"d\"",   ".hidden",
		"-x",	     " a ",	    "\\x41",	     "\xf0\x9f\x90\xa7",
	};
	static const char *const bad[] = {
		"",	    "   ",   "a\n",	 "a/b",	 "a\t", "a\xff",	"a\xc3",
		"\xc2\x9b", "a\177", "a\033[1m", "42.7", "0.0", "\xed\xa0\x80",
	};
	char name[VM_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(vm_name_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(vm_name_is_valid(bad[i]));
	memset(name, 'a', sizeof(name));
	name[VM_NAME_MAX + 1] = '\0';
	assert_false(vm_name_is_valid(name));
	name[VM_NAME_MAX] = '\0';
	assert_true(vm_name_is_valid(name));
}

static void test_survey_splits_and_recoveries(void **state)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	struct survey survey = { .n_slots = 2 };
	struct vm_info info;

	assert_int_equal(vm_new(&vm, NULL, 1, -1, 7, NULL), 0);
	assert_string_equal(vm->id, "1.7");
	assert_string_equal(vm->table.name, "1.7");
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	assert_false(info.surveyed);
	assert_int_equal(info.bytes, 0);

	survey.slots = calloc(2, sizeof(*survey.slots));
	assert_non_null(survey.slots);
	survey.slots[0] = (struct memslot){ .bytes = 100, .blocks = 10, .block_bytes = 80 };
	survey.slots[1] = (struct memslot){ .bytes = 50, .blocks = 1, .block_bytes = 50 };
	vm_take_survey(vm, &survey);
	assert_null(survey.slots);

	vm_note_split(vm, 0, 3, 6 << 20);
	vm_note_split(vm, 1, 5, UINT64_MAX); /* more than there were when it was surveyed */
	vm_note_split(vm, 2, 1, UINT64_MAX);
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	assert_true(info.surveyed);
	assert_int_equal(info.bytes, 150);
	assert_int_equal(info.blocks, 7);
	assert_int_equal(info.block_bytes, 56);
	assert_int_equal(info.n_memslots, 2);
	assert_int_equal(info.memslots[1].blocks, 0);

	vm_note_recovered(vm, 0, 2, 90); /* of the size of those there are */
	vm_note_recovered(vm, 1, 2, 20); /* there are none: all that was passed */
	vm_note_recovered(vm, 1, 0, 30); /* passed over */
	vm_note_recovered(vm, 2, 1, 10);
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	assert_int_equal(info.memslots[0].blocks, 9);
	assert_int_equal(info.memslots[0].block_bytes, 72);
	assert_int_equal(info.memslots[1].blocks, 2);
	assert_int_equal(info.memslots[1].block_bytes, 20);
	vm_note_recovered(vm, 1, 7, 70); /* never more than the memslot has */
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	assert_int_equal(info.memslots[1].block_bytes, 50);
}

static void on_gone(struct vm *vm)
{
	*(int *)vm->owner += 1;
}

/* Told once, also if it was gone before anyone watched. */
static void test_watching(void **state)
{
	for (int late = 0; late < 2; late++) {
		_cleanup_(vm_freep) struct vm *vm = NULL;
		sd_event *event = NULL;
		int gone = 0, pipe_fds[2];
		pid_t pid;

		assert_int_equal(pipe(pipe_fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			char c;

			close(pipe_fds[1]);
			_exit((int)read(pipe_fds[0], &c, 1));
		}
		close(pipe_fds[0]);
		assert_int_equal(sd_event_new(&event), 0);
		assert_int_equal(vm_new(&vm, NULL, pid, pidfd_open(pid, 0), 0, &gone), 0);
		if (late)
			close(pipe_fds[1]);
		if (late)
			assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(vm_watch(vm, event, on_gone), 0);
		if (!late) {
			assert_int_equal(sd_event_run(event, 0), 0);
			assert_int_equal(gone, 0);
			close(pipe_fds[1]);
		}
		assert_true(sd_event_run(event, UINT64_MAX) > 0);
		assert_int_equal(gone, 1);
		assert_int_equal(sd_event_run(event, 0), 0);
		if (!late)
			assert_int_equal(waitpid(pid, NULL, 0), pid);
		sd_event_unref(event);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_stages),
		cmocka_unit_test(test_names_of_vms),
		cmocka_unit_test(test_survey_splits_and_recoveries),
		cmocka_unit_test(test_watching),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
