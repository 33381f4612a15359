// SPDX-License-Identifier: GPL-2.0-or-later
/* What is kept for the next daemon: it comes back as it was, or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/backend.h"
#include "unit/scratch.h"
#include "store/vm-record.h"
#include "store/vm-store.h"

static char dir[] = SCRATCH_TEMPLATE;

static struct vm_record sample(enum vm_state state, enum vm_stage stage)
{
	return (struct vm_record){
		.pid = 4711,
		.start_time = 815,
		.number = 12,
		.uid = 1000,
		.vm_id = 123456789,
		.name = "web-1",
		.told = true,
		.uuid = "01234567-89ab-cdef-0123-456789abcdef",
		.registered = true,
		.state = state,
		.stage = stage,
		.dirty_logging = true,
		.told_usec = 1000,
		.deadline_usec = UINT64_MAX,
		.tlbi_rate = 50,
		.blocks_split = UINT64_C(1) << 40,
		.tlbis = 7,
		.tlbi_nsec = 7000,
		.course = { .begun_usec = 100, .ended_usec = 300, .ended_boottime_usec = 200 },
	};
}

static void assert_same(const struct vm_record *a, const struct vm_record *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_true(a->start_time == b->start_time);
	assert_int_equal(a->number, b->number);
	assert_true(a->uid == b->uid);
	assert_true(a->vm_id == b->vm_id);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->told, b->told);
	assert_string_equal(a->uuid, b->uuid);
	assert_int_equal(a->registered, b->registered);
	assert_int_equal(a->unwanted, b->unwanted);
	assert_int_equal(a->state, b->state);
	assert_int_equal(a->stage, b->stage);
	assert_int_equal(a->dirty_logging, b->dirty_logging);
	assert_true(a->told_usec == b->told_usec);
	assert_true(a->course.begun_usec == b->course.begun_usec);
	assert_true(a->course.ended_usec == b->course.ended_usec);
	assert_true(a->course.ended_boottime_usec == b->course.ended_boottime_usec);
	assert_true(a->deadline_usec == b->deadline_usec);
	assert_true(a->tlbi_rate == b->tlbi_rate);
	assert_true(a->blocks_split == b->blocks_split);
	assert_true(a->tlbis == b->tlbis);
	assert_true(a->tlbi_nsec == b->tlbi_nsec);
}

/* In memory of exactly its size, so that a sanitizer sees a step beyond. */
static int parse(const char *text, size_t size, struct vm_record *ret)
{
	_cleanup_free_ char *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, text, size);
	return vm_record_parse(copy, size, ret);
}

static void test_there_and_back(void **state)
{
	for (int s = 0; s < VM_STATE_MAX_; s++) {
		for (int stage = 0; stage < VM_STAGE_MAX_; stage++) {
			struct vm_record before = sample((enum vm_state)s, (enum vm_stage)stage);
			struct vm_record after;
			char text[VM_RECORD_MAX];
			int n;

			if (s % 2) {
				before.deadline_usec = 1700000000000000;
				before.uid = UINT64_MAX;
			}
			if (stage % 2)
				before.name[0] = '\0';
			before.unwanted = stage == VM_STAGE_FAILED;
			n = vm_record_format(&before, text);
			assert_in_range(n, 1, VM_RECORD_MAX - 1);
			assert_int_equal(parse(text, (size_t)n, &after), 0);
			assert_same(&before, &after);
		}
	}
}

/* What tells its process from others of the same id is the VM's own, as the rest. */
static void test_from_a_vm(void **state)
{
	struct backend_vm host_vm = { .id = 123456789, .uid = 1000 };
	struct vm vm = {
		.table.name = (char[]){ "web-1" },
		.names.told = (char[]){ "web-1" },
		.names.own = (char[]){ "web" },
		.names.uuid = "01234567-89ab-cdef-0123-456789abcdef",
		.id = (char[]){ "4711.12" },
		.pid = 4711,
		.start_time = 815,
		.number = 12,
		.host_vm = &host_vm,
		.table.registered = true,
		.migration.state = VM_STATE_ACTIVE,
		.progress.stage = VM_STAGE_SPLIT,
		.migration.dirty_logging = true,
		.migration.told_usec = 1000,
		.migration.deadline_usec = UINT64_MAX,
		.migration.tlbi_rate = 50,
		.progress.blocks_split = UINT64_C(1) << 40,
		.progress.tlbis = 7,
		.progress.tlbi_nsec = 7000,
		.course = { .begun_usec = 100, .ended_usec = 300, .ended_boottime_usec = 200 },
	};
	struct vm_record record, expected = sample(VM_STATE_ACTIVE, VM_STAGE_SPLIT);

	vm_record_from_vm(&record, &vm);
	assert_same(&record, &expected);
	/* Whoever named it, also where that is another's name, too. */
	vm.names.told = NULL;
	vm.table.name = vm.id;
	vm_record_from_vm(&record, &vm);
	assert_string_equal(record.name, "web");
	assert_false(record.told);
}

/* No part of a record is one. */
static void test_cut(void **state)
{
	struct vm_record record = sample(VM_STATE_ACTIVE, VM_STAGE_SPLIT);
	char text[VM_RECORD_MAX];
	int n;

	n = vm_record_format(&record, text);
	/* The last byte ends the line. */
	for (int i = 0; i < n - 1; i++)
		assert_int_equal(parse(text, (size_t)i, &record), -EBADMSG);
}

#define HEAD "{\"version\":1,\"pid\":1,\"number\":0,\"vmId\":5,"
#define TAIL "\"migration\":\"active\",\"seen\":true,\"stage\":\"split\"}"

static void test_good_and_bad(void **state)
{
	static const struct {
		const char *text;
		int r;
	} records[] = {
		{ HEAD TAIL, 0 },
		{ HEAD TAIL "\n", 0 },
		{ HEAD "\"later\":[1],\"tlbis\":9223372036854775807," TAIL, 0 },
		{ "", -EBADMSG },
		{ "{}", -EBADMSG },
		{ "[]", -EBADMSG },
		{ "null", -EBADMSG },
		{ HEAD TAIL "x", -EBADMSG },
		{ HEAD TAIL HEAD TAIL, -EBADMSG },
		{ "{\"version\":2,\"pid\":1,\"number\":0,\"vmId\":5," TAIL, -EBADMSG },
		{ "{\"version\":1,\"number\":0,\"vmId\":5," TAIL, -EBADMSG },
		{ "{\"version\":1,\"pid\":0,\"number\":0,\"vmId\":5," TAIL, -EBADMSG },
		{ "{\"version\":1,\"pid\":2147483648,\"number\":0,\"vmId\":5," TAIL, -EBADMSG },
		{ "{\"version\":1,\"pid\":1,\"number\":-1,\"vmId\":5," TAIL, -EBADMSG },
		{ "{\"version\":1,\"pid\":1.5,\"number\":0,\"vmId\":5," TAIL, -EBADMSG },
		{ HEAD "\"tlbis\":-1," TAIL, -EBADMSG },
		{ HEAD "\"tlbis\":\"1\"," TAIL, -EBADMSG },
		{ HEAD "\"unwanted\":1," TAIL, -EBADMSG },
		{ HEAD "\"name\":\"not/good\"," TAIL, -EBADMSG },
		{ HEAD "\"name\":7," TAIL, -EBADMSG },
		{ HEAD "\"uuid\":7," TAIL, -EBADMSG },
		{ HEAD "\"uuid\":\"01234567-89ab-cdef-0123-456789abcde\"," TAIL, -EBADMSG },
		{ HEAD "\"name\":\"a\\u0000b\"," TAIL, -EBADMSG },
		{ HEAD "\"deep\":[[[[1]]]]," TAIL, 0 },
		{ HEAD "\"deep\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]," TAIL, -EBADMSG },
		{ HEAD "\"migration\":\"active\",\"stage\":\"split\"}", -EBADMSG },
		{ HEAD "\"migration\":\"paused\",\"seen\":true,\"stage\":\"split\"}", -EBADMSG },
		{ HEAD "\"migration\":\"failed\",\"seen\":true,\"stage\":\"split\"}", -EBADMSG },
		{ HEAD "\"migration\":\"active\",\"seen\":true,\"stage\":\"done\"}", -EBADMSG },
		{ HEAD "\"migration\":\"active\",\"seen\":true}", -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		struct vm_record record;
		int r = parse(records[i].text, strlen(records[i].text), &record);

		if (r != records[i].r)
			fail_msg("%s: %d", records[i].text, r);
	}
}

/* What others call a VM that was registered without a name is no name. */
static void test_id_for_a_name(void **state)
{
	static const char text[] = HEAD "\"name\":\"1.0\"," TAIL;
	struct backend_vm host_vm = { .id = 5, .uid = -1 };
	struct vm_record record;
	struct vm *vm;

	assert_int_equal(vm_new(&vm, &host_vm, 1, 7, NULL), 0);
	vm->table.registered = true;
	vm_record_from_vm(&record, vm);
	assert_true(record.registered);
	assert_string_equal(record.name, "");
	(void)vm_take_host_vm(vm);
	vm_free(vm);

	/* As records had it when an id could be a name. */
	assert_int_equal(parse(text, strlen(text), &record), 0);
	assert_string_equal(record.name, "");
}

static void test_too_long(void **state)
{
	char text[VM_RECORD_MAX + 1];
	struct vm_record record;

	memset(text, ' ', sizeof(text));
	memcpy(text + sizeof(text) - strlen(HEAD TAIL), HEAD TAIL, strlen(HEAD TAIL));
	assert_int_equal(parse(text + 1, VM_RECORD_MAX, &record), 0);
	assert_int_equal(parse(text, VM_RECORD_MAX + 1, &record), -EBADMSG);
}

struct loaded {
	struct vm_record records[4];
	size_t n;
	pid_t refused;
};

static bool on_found(void *userdata, const struct vm_record *record)
{
	struct loaded *loaded = userdata;

	assert_true(loaded->n < ARRAY_SIZE(loaded->records));
	loaded->records[loaded->n++] = *record;
	return record->pid != loaded->refused;
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/vms/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_store(void **state)
{
	struct vm_record a = sample(VM_STATE_ACTIVE, VM_STAGE_SPLIT);
	struct vm_record b = sample(VM_STATE_NONE, VM_STAGE_WHOLE);
	struct loaded loaded = {};
	struct vm_store *store;

	assert_int_equal(vm_store_new(&store, "/nowhere/at/all"), 0);
	assert_int_equal(vm_store_open(store), -ENOENT);
	assert_int_equal(vm_store_load(store, on_found, &loaded), 0);
	vm_store_free(store);
	assert_int_equal(vm_store_new(&store, dir), 0);
	assert_int_equal(vm_store_open(store), 0);
	b.pid = 5;
	b.vm_id = 6;
	assert_int_equal(vm_store_save(store, &a), 0);
	assert_int_equal(vm_store_save(store, &b), 0);
	a.state = VM_STATE_FAILED;
	assert_int_equal(vm_store_save(store, &a), 0);
	/* Cut off, half written, of another VM than it says, none of ours. */
	write_file("7", "{\"version\":1,");
	write_file(".8.new", "{");
	write_file("9", HEAD TAIL);
	write_file("notes", "x");
	vm_store_free(store);

	assert_int_equal(vm_store_new(&store, dir), 0);
	loaded.refused = 5;
	assert_int_equal(vm_store_load(store, on_found, &loaded), 0);
	assert_int_equal(loaded.n, 2);
	assert_same(&loaded.records[0], &b);
	assert_same(&loaded.records[1], &a);

	/* What was refused or was no record is not there any more. */
	loaded = (struct loaded){};
	assert_int_equal(vm_store_load(store, on_found, &loaded), 0);
	assert_int_equal(loaded.n, 1);
	assert_same(&loaded.records[0], &a);
	vm_store_remove(store, a.vm_id);
	loaded = (struct loaded){};
	assert_int_equal(vm_store_load(store, on_found, &loaded), 0);
	assert_int_equal(loaded.n, 0);
	vm_store_free(store);
}

/* Nothing can be opened from now on, until the limit that it gives is set again. */
static struct rlimit open_nothing(void)
{
	struct rlimit before, none;
	int fd = dup(STDIN_FILENO);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = (rlim_t)fd, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return before;
}

/* What cannot be read for now is there once it can be. */
static void test_store_without_descriptors(void **state)
{
	struct vm_record a = sample(VM_STATE_ACTIVE, VM_STAGE_SPLIT), read;
	struct vm_store *store, *later;
	struct loaded loaded = {};
	struct rlimit before;

	assert_int_equal(vm_store_new(&store, dir), 0);
	assert_int_equal(vm_store_save(store, &a), 0);
	before = open_nothing();
	assert_int_equal(vm_store_load(store, on_found, &loaded), -EMFILE);
	assert_int_equal(vm_store_read(store, a.vm_id, &read), -EMFILE);
	assert_int_equal(vm_store_new(&later, dir), 0);
	assert_int_equal(vm_store_load(later, on_found, &loaded), -EMFILE);
	assert_int_equal(vm_store_read(later, a.vm_id, &read), -EMFILE);
	assert_int_equal(vm_store_open(later), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(loaded.n, 0);

	assert_int_equal(vm_store_read(store, a.vm_id, &read), 0);
	assert_same(&read, &a);
	assert_int_equal(vm_store_open(later), 1);
	assert_int_equal(vm_store_load(later, on_found, &loaded), 0);
	assert_int_equal(loaded.n, 1);
	assert_int_equal(vm_store_read(later, a.vm_id + 1, &read), -ENOENT);
	write_file("7", "{\"version\":1,");
	assert_int_equal(vm_store_read(later, 7, &read), -EBADMSG);
	vm_store_remove(later, a.vm_id);
	vm_store_free(later);
	vm_store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_from_a_vm),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_good_and_bad),
		cmocka_unit_test(test_id_for_a_name),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_store_without_descriptors),
	};
	int failed;

	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	failed = cmocka_run_group_tests_name("vm-record", tests, NULL, NULL);
	scratch_remove(dir);
	return failed;
}
