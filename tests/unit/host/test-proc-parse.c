// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "host/proc-parse.h"

static void test_pid(void **state)
{
	static const struct {
		const char *text;
		pid_t pid;
	} samples[] = {
		{ "Name:\tqemu\nTgid:\t4711\nNgid:\t0\n", 4711 },
		{ "Tgid:\t1\n", 1 },
		{ "Tgid:\t2147483647", 2147483647 },
		{ "Tgid:\t2147483648\n", -ESRCH },
		{ "Tgid:\t0\n", -ESRCH },
		{ "Tgid:\t-1\n", -ESRCH },
		{ "Tgid:\t\n", -ESRCH },
		{ "Tgid:\tx\n", -ESRCH },
		{ "Tgid:\t5x\n", -ESRCH },
		{ "Tgid:\t99999999999999999999999999999999999999999\n", -ESRCH },
		/* The kernel escapes what a process is called: a line is a line. */
		{ "Name:\tTgid:\t5\nTgid:\t6\n", 6 },
		{ "NTgid:\t5\n", -ESRCH },
		{ "", -ESRCH },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		assert_int_equal(proc_parse_pid(samples[i].text, "Tgid:"), samples[i].pid);
}

static void test_start_time(void **state)
{
	static const char rest[] =
		" S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 123456789 20 21\n";
	static const char *const names[] = { "cat", "a b", "a) S 1 2", "((", ")" };
	char text[256];
	uint64_t time;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(text, sizeof(text), "42 (%s)%s", names[i], rest);
		time = 0;
		assert_int_equal(proc_parse_start_time(text, &time), 0);
		assert_int_equal(time, 123456789);
	}
	assert_int_equal(proc_parse_start_time("", &time), -EBADMSG);
	assert_int_equal(proc_parse_start_time("42 (cat", &time), -EBADMSG);
	assert_int_equal(proc_parse_start_time("42 (cat) S 1 2 3", &time), -EBADMSG);
	assert_int_equal(
		proc_parse_start_time("42 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -1",
				      &time),
		-EBADMSG);
}

static void test_fdinfo(void **state)
{
	static const struct {
		const char *text;
		bool plain;
	} samples[] = {
		{ "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t9\n", true },
		{ "pos:\t0\nflags:\t02000002\nmnt_id:\t15\n", true },
		{ "pos:\t0\nmnt_id:\t15\nlock:\t1: FLOCK  ADVISORY  WRITE 7 00:0d:1 0 EOF\n",
		  true },
		{ "pos:\t0\nflags:\t02000002\nmnt_id:\t16\n", false },
		{ "pos:\t0\nmnt_id:\t15\neventfd-count: 0\n", false },
		{ "pos:\t0\nmnt_id:\t15\nlock:\t1: FLOCK  ADVISORY  WRITE 7 00:0d:1 0 EOF\nlo",
		  true },
		{ "mnt_id:\tx\n", true },
		{ "", true },
		{ "\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		assert_int_equal(proc_fdinfo_is_plain(samples[i].text, 15), samples[i].plain);
	assert_true(proc_fdinfo_is_plain(samples[3].text, -1));
	assert_int_equal(proc_parse_mount(samples[0].text), 15);
	assert_int_equal(proc_parse_mount("pos:\t0\n"), -1);
}

/* What this kernel says of this process. */
static void test_ourselves(void **state)
{
	char text[4096];
	uint64_t time = 0;
	size_t n;
	FILE *f;

	f = fopen("/proc/self/stat", "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_int_equal(proc_parse_start_time(text, &time), 0);
	assert_true(time > 0);
	f = fopen("/proc/thread-self/status", "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_int_equal(proc_parse_pid(text, "Tgid:"), getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pid),
		cmocka_unit_test(test_start_time),
		cmocka_unit_test(test_fdinfo),
		cmocka_unit_test(test_ourselves),
	};

	return cmocka_run_group_tests_name("proc-parse", tests, NULL, NULL);
}
