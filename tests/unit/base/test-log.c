// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages, in the journal and without it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "unit/journal.h"

static int set_up(void **state)
{
	entries[0] = '\0';
	answer = 0;
	connect_stderr(true);
	return 0;
}

static void test_plain(void **state)
{
	log_error("Cannot %s", "count");
	assert_string_equal(entries, "MESSAGE=Cannot count\nPRIORITY=3\n");
}

static void test_id(void **state)
{
	log_full(LOG_INFO, MESSAGE_RELOADED, "Reloaded");
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

static void add_fields(struct log_fields *fields, const void *userdata)
{
	log_fields_add(fields, "EAGERSPLIT_A=%s", (const char *)userdata);
	log_fields_add(fields, "EAGERSPLIT_B=%d", 2);
}

/* What it is about comes first, and what there is to say of it besides. */
static void test_subject(void **state)
{
	log_about(&(const struct log_about){ .priority = LOG_INFO,
					     .subject = "guest",
					     .add_fields = add_fields,
					     .userdata = "one" },
		  "Gone");
	assert_string_equal(entries, "MESSAGE=guest: Gone\nPRIORITY=6\n"
				     "EAGERSPLIT_A=one\nEAGERSPLIT_B=2\n");
}

static void add_many(struct log_fields *fields, const void *userdata)
{
	for (int i = 0; i < 1000; i++)
		log_fields_add(fields, "EAGERSPLIT_I=%d", i);
}

/* More fields than there is room for are left out. */
static void test_many(void **state)
{
	log_about(&(const struct log_about){ .priority = LOG_INFO, .add_fields = add_many },
		  "Many");
	assert_non_null(strstr(entries, "EAGERSPLIT_I=9\n"));
	assert_null(strstr(entries, "EAGERSPLIT_I=100\n"));
}

/* Where the journal is away, or standard error does not lead there, it is text. */
static void test_without_journal(void **state)
{
	const struct log_about about = { .priority = LOG_INFO, .subject = "guest" };
	char text[128] = "";
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);

	assert_non_null(f);
	assert_true(saved >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	connect_stderr(true);
	answer = -ENOENT;
	log_about(&about, "Gone");
	connect_stderr(false);
	answer = 0;
	log_info("Not there");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	rewind(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, "eagersplitd: guest: Gone\neagersplitd: Not there\n");
	assert_string_equal(entries, "");
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),   TEST(test_id),   TEST(test_peer),
		TEST(test_subject), TEST(test_many), TEST(test_without_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
