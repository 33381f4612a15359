// SPDX-License-Identifier: GPL-2.0-or-later
/* Processes that share their open files, and others. */
#include <errno.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/file-tables.h"
#include "unit/child.h"

#define N 40

/* Whose the processes are said to be. */
#define UID 1000

/* Not all kernels have it, nor do all containers let it through. */
static void need_kcmp(void)
{
	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILES, 0, 0) == 0)
		return;
	print_message("# no open files can be compared here: %s\n", strerror(errno));
	skip();
}

static pid_t start_child(unsigned long flags)
{
	pid_t parent = getpid(),
	      pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);

	assert_true(pid >= 0);
	if (pid == 0) {
		child_end_with(parent);
		for (;;)
			pause();
	}
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Whatever the order in which they come. */
static void test_shared(void **state)
{
	_cleanup_(file_tables_freep) struct file_tables *t = NULL;
	pid_t own[N], shared[N];

	need_kcmp();
	for (int i = 0; i < N; i++) {
		own[i] = start_child(0);
		shared[i] = start_child(CLONE_FILES);
	}
	assert_int_equal(file_tables_new(&t), 0);
	for (int i = 0; i < N; i++) {
		assert_true(file_tables_add(t, own[(i * 7) % N], UID));
		/* All have ours. */
		assert_int_equal(file_tables_add(t, shared[i], UID), i == 0);
	}
	assert_false(file_tables_add(t, getpid(), UID));
	for (int i = 0; i < N; i++)
		assert_false(file_tables_add(t, own[i], UID));
	for (int i = 0; i < N; i++) {
		end_child(own[i]);
		end_child(shared[i]);
	}
}

/* Of one that is gone nothing is known, so it is new. */
static void test_gone(void **state)
{
	_cleanup_(file_tables_freep) struct file_tables *t = NULL;
	pid_t pid;

	need_kcmp();
	pid = start_child(0);
	assert_int_equal(file_tables_new(&t), 0);
	assert_true(file_tables_add(t, getpid(), UID));
	end_child(pid);
	assert_true(file_tables_add(t, pid, UID));
	assert_false(file_tables_add(t, getpid(), UID));
}

/* Whoever comes and goes meanwhile, tables that have been seen are known. */
static void test_gone_meanwhile(void **state)
{
	_cleanup_(file_tables_freep) struct file_tables *t = NULL;
	pid_t own[N];

	need_kcmp();
	assert_int_equal(file_tables_new(&t), 0);
	for (int i = 0; i < N; i++) {
		own[i] = start_child(0);
		assert_true(file_tables_add(t, own[i], UID));
	}
	assert_true(file_tables_add(t, getpid(), UID));
	for (int i = 0; i < N; i += 2)
		end_child(own[i]);
	assert_false(file_tables_add(t, getpid(), UID));
	for (int i = 1; i < N; i += 2) {
		assert_false(file_tables_add(t, own[i], UID));
		end_child(own[i]);
	}
	assert_false(file_tables_add(t, getpid(), UID));
}

/* Comparing waits for both processes: nobody is made to wait for another user's, nor blamed for it. */
static void test_of_other_users(void **state)
{
	_cleanup_(file_tables_freep) struct file_tables *t = NULL;

	need_kcmp();
	assert_int_equal(file_tables_new(&t), 0);
	for (int64_t i = 0; i < N; i++)
		assert_true(file_tables_add(t, getpid(), UID + (i * 7) % N));
	for (int64_t i = 0; i < N; i++)
		assert_false(file_tables_add(t, getpid(), UID + i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_gone_meanwhile),
		cmocka_unit_test(test_of_other_users),
	};

	return cmocka_run_group_tests_name("file-tables", tests, NULL, NULL);
}
