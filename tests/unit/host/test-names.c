// SPDX-License-Identifier: GPL-2.0-or-later
/* What others call a VM, and what tells a process from another. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/process.h"
#include "host/qemu-name.h"

static int parse(const char *cmdline, size_t size, char name[16])
{
	_cleanup_free_ char *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, cmdline, size);
	memset(name, 0, 16);
	return qemu_name_parse(copy, size, name, 16);
}

/* A string literal of arguments; its own NUL ends the last of them. */
#define NAME_IS(cmdline, expected)                                          \
	do {                                                                \
		char name[16];                                              \
		assert_int_equal(parse(cmdline, sizeof(cmdline), name), 0); \
		assert_string_equal(name, expected);                        \
	} while (0)
#define NO_NAME(cmdline, r)                                                 \
	do {                                                                \
		char name[16];                                              \
		assert_int_equal(parse(cmdline, sizeof(cmdline), name), r); \
	} while (0)

static void test_qemu(void **state)
{
	NAME_IS("qemu-system-aarch64\0-name\0web", "web");
	NAME_IS("/usr/bin/qemu-system-aarch64\0-m\0"
		"1G\0-name\0guest=web,debug-threads=on\0-S",
		"web");
	NAME_IS("/usr/libexec/qemu-kvm\0--name\0debug-threads=on,guest=db", "db");
	NAME_IS("kvm\0-name\0process=x,guest=db", "db");
	NAME_IS("qemu\0-name\0web,debug-threads=on", "web");
	NAME_IS("qemu\0-name\0a,,b", "a,b");
	NAME_IS("qemu\0-name\0guest=a,,guest=b,,,process=p", "a,guest=b,");
	NAME_IS("qemu\0-name\0first\0-name\0second", "second");
	NAME_IS("qemu\0-name\0fifteen-letters", "fifteen-letters");
}

static void test_no_qemu_or_no_name(void **state)
{
	NO_NAME("", -ENOENT);
	NO_NAME("qemu", -ENOENT);
	NO_NAME("qemu\0-m\0"
		"1G",
		-ENOENT);
	NO_NAME("qemu\0-name", -ENOENT);
	NO_NAME("qemu\0-name\0", -ENOENT);
	NO_NAME("qemu\0-name\0guest=", -ENOENT);
	NO_NAME("qemu\0-name\0debug-threads=on", -ENOENT);
	NO_NAME("qemu\0-name\0debug-threads=on,web", -ENOENT);
	NO_NAME("crosvm\0-name\0web", -ENOENT);
	NO_NAME("/qemu/vmm\0-name\0web", -ENOENT);
	NO_NAME("qemu\0-name\0sixteen-letters-", -ENAMETOOLONG);
}

/* A command line that was read in part: what is cut off is not a name. */
static void test_cut(void **state)
{
	static const char whole[] = "qemu\0-name\0guest=web,debug-threads=on";
	char name[16];

	for (size_t n = 0; n < sizeof(whole); n++)
		assert_int_equal(parse(whole, n, name), -ENOENT);
}

static void test_uuid(void **state)
{
#define UUID "01234567-89ab-cdef-0123-456789abcdef"
	static const char last[] = "qemu\0-uuid\0x\0--uuid\0"
				   "01234567-89AB-cdef-0123-456789abcdeF";
	static const char bad[] = "qemu\0-uuid\0" UUID "0";
	static const char other[] = "vmm\0-uuid\0" UUID;
	static const char *const wrong[] = { "", "0123456789abcdef0123456789abcdef",
					     "01234567-89ab-cdef-0123-456789abcde",
					     "01234567-89ab-cdef-0123-456789abcdeg",
					     "01234567-89ab-cdef-01234-56789abcdef" };
	char uuid[UUID_SIZE];

	assert_int_equal(qemu_uuid_parse(last, sizeof(last), uuid), 0);
	assert_string_equal(uuid, UUID);
	assert_int_equal(qemu_uuid_parse(bad, sizeof(bad), uuid), -ENOENT);
	assert_int_equal(qemu_uuid_parse(other, sizeof(other), uuid), -ENOENT);
	for (size_t n = 0; n < sizeof(last); n++)
		assert_int_equal(qemu_uuid_parse(last, n, uuid), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(uuid_parse(wrong[i], uuid), -EINVAL);
#undef UUID
}

static void test_processes(void **state)
{
	uint64_t ours, theirs;
	int status, pidfd;
	pid_t pid;

	assert_int_equal(process_get_start_time(getpid(), &ours), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		_exit(0);
	}
	pidfd = process_open(pid);
	assert_true(pidfd >= 0);
	assert_int_equal(process_get_pid(pidfd), pid);
	assert_int_equal(process_get_start_time(pid, &theirs), 0);
	assert_true(theirs >= ours);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(process_is_gone(pidfd));
	assert_int_equal(process_get_pid(pidfd), -ESRCH);
	assert_int_equal(process_get_start_time(pid, &theirs), -ESRCH);
	assert_int_equal(process_open(pid), -ESRCH);
	assert_int_equal(process_open(0), -EINVAL);
	close(pidfd);

	assert_int_equal(process_of_thread((pid_t)syscall(SYS_gettid)), getpid());
	assert_int_equal(process_of_thread(pid), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qemu),	  cmocka_unit_test(test_no_qemu_or_no_name),
		cmocka_unit_test(test_cut),	  cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
