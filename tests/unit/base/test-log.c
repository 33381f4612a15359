// SPDX-License-Identifier: GPL-2.0-or-later
/* What the journal is given, in place of which there is a list here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "base/log.h"
#include "vm.h"

int __wrap_sd_journal_sendv(const struct iovec *iov, int n);

/* The entries that came, a field a line; and what the journal answers. */
static char entries[8192];
static int answer;

int __wrap_sd_journal_sendv(const struct iovec *iov, int n)
{
	if (answer < 0)
		return answer;
	for (int i = 0; i < n; i++)
		snprintf(entries + strlen(entries), sizeof(entries) - strlen(entries), "%.*s\n",
			 (int)iov[i].iov_len, (const char *)iov[i].iov_base);
	return 0;
}

/* Where stderr is what systemd connected, by what systemd says of it. */
static void connect_stderr(bool journal)
{
	struct stat st;
	char stream[64];

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino + !journal);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

static int set_up(void **state)
{
	struct vm *vm;

	entries[0] = '\0';
	answer = 0;
	connect_stderr(true);
	assert_int_equal(vm_new(&vm, NULL, 42, -1, 3, NULL), 0);
	*state = vm;
	return 0;
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

static void test_plain(void **state)
{
	log_error("Cannot %s", "count");
	assert_string_equal(entries, "MESSAGE=Cannot count\nPRIORITY=3\n");
}

static void test_id(void **state)
{
	log_full(LOG_INFO, MESSAGE_RELOADED, NULL, "Reloaded");
	assert_string_equal(entries,
			    "MESSAGE=Reloaded\nPRIORITY=6\nMESSAGE_ID=" MESSAGE_RELOADED "\n");
}

static void test_peer(void **state)
{
	const struct ucred peer = { .pid = 7, .uid = 1000 };

	log_about(&(const struct log_about){ .priority = LOG_NOTICE, .peer = &peer }, "Refused");
	assert_string_equal(entries, "MESSAGE=Refused\nPRIORITY=5\n"
				     "EAGERSPLIT_PEER_PID=7\nEAGERSPLIT_PEER_UID=1000\n");
}

/* A stage that fails is told of with the reason, and again with another. */
static void test_failure(void **state)
{
	struct vm *vm = *state;

	vm->tlbis = 5;
	vm->blocks_split = 3;
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
	assert_false(vm_note_late(vm));
	vm_set_stage(vm, VM_STAGE_SPLITTING, NULL);
	assert_true(vm_note_late(vm));
	assert_false(vm_note_late(vm));
	vm_set_deadline(vm, 1);
	assert_false(vm_note_late(vm));
	vm_set_deadline(vm, 2);
	assert_true(vm_note_late(vm));
	vm_set_deadline(vm, UINT64_MAX);
	assert_false(vm_note_late(vm));
	vm_set_deadline(vm, INT64_MAX);
	assert_false(vm_note_late(vm));
}

/* Where the journal is away, or standard error does not lead there, it is text. */
static void test_without_journal(void **state)
{
	char text[128] = "";
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);

	assert_non_null(f);
	assert_true(saved >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	connect_stderr(true);
	answer = -ENOENT;
	log_vm_info(*state, MESSAGE_VM_GONE, "Gone");
	connect_stderr(false);
	answer = 0;
	log_info("Not there");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	rewind(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, "eagersplitd: 42.3: Gone\neagersplitd: Not there\n");
	assert_string_equal(entries, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),	    TEST(test_id),	TEST(test_peer),
		TEST(test_failure),	    TEST(test_no_news), TEST(test_late),
		TEST(test_without_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
