// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "host/backend.h"
#include "vm/vm.h"

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
	struct survey survey = {};
	struct memslot *slots;
	struct vm_info info;

	assert_int_equal(vm_new(&vm, NULL, 1, 7, NULL), 0);
	assert_string_equal(vm->id, "1.7");
	assert_string_equal(vm->table.name, "1.7");
	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	assert_false(info.surveyed);
	assert_int_equal(info.bytes, 0);

	slots = calloc(2, sizeof(*slots));
	assert_non_null(slots);
	slots[0] = (struct memslot){ .bytes = 100, .blocks = 10, .block_bytes = 80 };
	slots[1] = (struct memslot){ .gpa = 100, .bytes = 50, .blocks = 1, .block_bytes = 50 };
	assert_int_equal(survey_set_memslots(&survey, slots, 2), 0);
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

/* A splitter of which the test says what it tells. */
static unsigned int fake_read_events(struct backend_vm *vm, uint32_t revents)
{
	uint64_t told = 0;

	return read(vm->fd, &told, sizeof(told)) < 0 ? 0 : (unsigned int)told;
}

static void fake_close_vm(struct backend_vm *vm)
{
	close(vm->fd);
	vm->fd = -1;
}

static const struct backend_ops fake_ops = {
	.close_vm = fake_close_vm,
	.read_events = fake_read_events,
};

static void on_tells(struct vm *vm, unsigned int what)
{
	*(unsigned int *)vm->owner = *(unsigned int *)vm->owner * 10 + what;
}

static unsigned int flood_read_events(struct backend_vm *vm, uint32_t revents)
{
	eventfd_t n;

	(void)!eventfd_read(vm->fd, &n);
	return VM_TELLS_LOG;
}

static const struct backend_ops flood_ops = {
	.close_vm = fake_close_vm,
	.read_events = flood_read_events,
};

static void on_flood(struct vm *vm, unsigned int what)
{
	++*(unsigned int *)vm->owner;
}

/* What it tells is told as often as it does; that it is gone once, and then no more. */
static void test_watching(void **state)
{
	struct backend backend = { .ops = &fake_ops };
	struct backend_vm host_vm = { .backend = &backend, .fd = eventfd(0, EFD_NONBLOCK) };
	sd_event *event = NULL;
	unsigned int told = 0;
	struct vm *vm;

	assert_int_equal(sd_event_new(&event), 0);
	/* Also what it has said before anyone watched. */
	assert_int_equal(eventfd_write(host_vm.fd, VM_TELLS_LOG), 0);
	assert_int_equal(vm_new(&vm, &host_vm, 1, 0, &told), 0);
	assert_true(vm_watch(vm, event, on_tells) >= 0);
	assert_true(sd_event_run(event, 0) > 0);
	assert_int_equal(told, 2);
	assert_int_equal(sd_event_run(event, 0), 0);
	assert_int_equal(eventfd_write(host_vm.fd, VM_TELLS_LOG), 0);
	assert_true(sd_event_run(event, 0) > 0);
	assert_int_equal(told, 22);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(eventfd_write(host_vm.fd, VM_TELLS_GONE), 0);
		assert_int_equal(sd_event_run(event, 0) > 0, i == 0);
	}
	assert_int_equal(told, 221);
	vm_free(vm);
	assert_int_equal(host_vm.fd, -1);
	sd_event_unref(event);
}

/* One that tells without end is not listened to all the time, and its last word is heard. */
static void test_watching_a_flood(void **state)
{
	struct backend backend = { .ops = &flood_ops };
	struct backend_vm host_vm = { .backend = &backend, .fd = eventfd(0, EFD_NONBLOCK) };
	sd_event *event = NULL;
	unsigned int told = 0;
	int64_t priority;
	struct vm *vm;

	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(vm_new(&vm, &host_vm, 1, 0, &told), 0);
	assert_true(vm_watch(vm, event, on_flood) >= 0);
	/* It has its turn as others have. */
	assert_true(sd_event_source_get_priority(vm->watch, &priority) >= 0);
	assert_int_equal(priority, SD_EVENT_PRIORITY_NORMAL);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(eventfd_write(host_vm.fd, 1), 0);
		assert_true(sd_event_run(event, 0) >= 0);
	}
	assert_in_range(told, 2, 100);
	told = 0;
	assert_int_equal(eventfd_write(host_vm.fd, 1), 0);
	while (!told)
		assert_true(sd_event_run(event, UINT64_MAX) >= 0);
	vm_free(vm);
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_stages),
		cmocka_unit_test(test_names_of_vms),
		cmocka_unit_test(test_survey_splits_and_recoveries),
		cmocka_unit_test(test_watching),
		cmocka_unit_test(test_watching_a_flood),
	};

	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
