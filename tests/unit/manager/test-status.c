// SPDX-License-Identifier: GPL-2.0-or-later
/* The line that systemctl status shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "manager/status.h"

static void check(const struct vm_info *infos, size_t n, const char *unsupported,
		  const char *expected)
{
	struct status status = {};
	char buf[STATUS_SIZE];

	for (size_t i = 0; i < n; i++)
		status_add(&status, &infos[i]);
	assert_string_equal(status_format(buf, &status, unsupported), expected);
}

static void test_idle(void **state)
{
	const struct vm_info vm = { .name = "a", .stage = VM_STAGE_WHOLE };

	check(NULL, 0, NULL, "No VMs");
	check(&vm, 1, NULL, "1 VM");
	check(&vm, 1, "no ioctls", "No splitting: no ioctls");
}

static void test_one(void **state)
{
	struct vm_info vm = { .name = "a", .stage = VM_STAGE_SPLITTING, .blocks = 15032 };

	check(&vm, 1, NULL, "1 VM: splitting a, 15032 blocks left");
	vm.has_eta = true;
	vm.eta_usec = 15000001;
	check(&vm, 1, NULL, "1 VM: splitting a, 15032 blocks left, 16s");
	vm.eta_usec = UINT64_C(3601) * 1000000;
	vm.late = true;
	check(&vm, 1, NULL, "1 VM: splitting a, 15032 blocks left, 61min; 1 late");
}

static void test_many(void **state)
{
	const struct vm_info vms[] = {
		{ .name = "a",
		  .stage = VM_STAGE_SPLITTING,
		  .blocks = 10,
		  .has_eta = true,
		  .eta_usec = 1 },
		{ .name = "b", .stage = VM_STAGE_SPLIT },
		{ .name = "c",
		  .stage = VM_STAGE_SPLITTING,
		  .blocks = 5,
		  .has_eta = true,
		  .eta_usec = 9000000 },
		{ .name = "d", .stage = VM_STAGE_RECOVERING },
		{ .name = "e", .stage = VM_STAGE_FAILED },
		{ .name = "f", .stage = VM_STAGE_WHOLE },
		{ .name = "g", .stage = VM_STAGE_SPLIT },
	};

	check(vms, 7, NULL,
	      "7 VMs: splitting 2, 15 blocks left, 9s; 2 split, 1 recovering, 1 failed");
	check(vms + 1, 1, NULL, "1 VM: 1 split");
}

/* The longest name that there can be is no reason to overflow. */
static void test_long(void **state)
{
	char name[VM_NAME_MAX + 1], buf[STATUS_SIZE], reason[2 * STATUS_SIZE];
	struct vm_info vm = { .name = name,
			      .stage = VM_STAGE_SPLITTING,
			      .blocks = UINT64_MAX,
			      .has_eta = true,
			      .eta_usec = UINT64_MAX,
			      .late = true };
	struct status status = {};

	memset(name, 'n', VM_NAME_MAX);
	name[VM_NAME_MAX] = '\0';
	status_add(&status, &vm);
	status_format(buf, &status, NULL);
	assert_non_null(strstr(buf, name));
	assert_non_null(strstr(buf, "; 1 late"));
	status.unsaved = 1;
	status_format(buf, &status, NULL);
	assert_non_null(strstr(buf, "; 1 late, 1 not kept for a restart"));
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	assert_int_equal(strlen(status_format(buf, &status, reason)), STATUS_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
