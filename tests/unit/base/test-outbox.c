// SPDX-License-Identifier: GPL-2.0-or-later
/* Letters to somebody who reads when he likes: a pipe that is empty or not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/outbox.h"

int __real_pthread_clockjoin_np(pthread_t thread, void **ret, clockid_t clock,
				const struct timespec *until);
int __wrap_pthread_clockjoin_np(pthread_t thread, void **ret, clockid_t clock,
				const struct timespec *until);

/* Whether the last letters are waited for as long as that takes. */
static bool has_time;

/* How often it was waited for, which is by no clock that is set. */
static unsigned int joined;

int __wrap_pthread_clockjoin_np(pthread_t thread, void **ret, clockid_t clock,
				const struct timespec *until)
{
	assert_int_equal(clock, CLOCK_MONOTONIC);
	joined++;
	return has_time ? pthread_join(thread, ret)
			: __real_pthread_clockjoin_np(thread, ret, clock, until);
}

/* A letter says that it is begun, waits for a byte, and says that it is sent. */
static int begun[2], ask[2], sent[2];

struct note {
	struct letter letter;
	char text;
};

static size_t freed;

static void note_send(struct letter *letter)
{
	char byte;

	assert_int_equal(write(begun[1], "", 1), 1);
	assert_int_equal(read(ask[0], &byte, 1), 1);
	assert_int_equal(write(sent[1], &container_of(letter, struct note, letter)->text, 1), 1);
}

static void note_free(struct letter *letter)
{
	__atomic_add_fetch(&freed, 1, __ATOMIC_SEQ_CST);
	free(container_of(letter, struct note, letter));
}

static void gap(uint64_t dropped)
{
	char text = (char)('0' + dropped);

	assert_int_equal(write(sent[1], &text, 1), 1);
}

static bool post(struct outbox *o, char text)
{
	struct note *note = calloc(1, sizeof(*note));

	assert_non_null(note);
	note->letter.send = note_send;
	note->letter.free = note_free;
	note->text = text;
	return outbox_post(o, &note->letter);
}

static void allow(size_t n)
{
	for (; n; n--)
		assert_int_equal(write(ask[1], "", 1), 1);
}

/* The next of what was sent. */
static void assert_sent(const char *texts)
{
	char byte;

	for (; *texts; texts++) {
		assert_int_equal(read(sent[0], &byte, 1), 1);
		assert_int_equal(byte, *texts);
	}
}

static int set_up(void **state)
{
	freed = 0;
	joined = 0;
	has_time = false;
	return pipe(begun) < 0 || pipe(ask) < 0 || pipe(sent) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	for (int i = 0; i < 2; i++) {
		close(begun[i]);
		close(ask[i]);
		close(sent[i]);
	}
	return 0;
}

static void test_in_order(void **state)
{
	_cleanup_(outbox_freep) struct outbox *o = NULL;

	assert_int_equal(outbox_new(&o, 8, gap), 0);
	assert_true(post(o, 'a'));
	assert_true(post(o, 'b'));
	assert_true(post(o, 'c'));
	allow(3);
	assert_sent("abc");
}

/* What is too much is dropped; where it is missing, that is said. */
static void test_gap(void **state)
{
	_cleanup_(outbox_freep) struct outbox *o = NULL;
	char byte;

	assert_int_equal(outbox_new(&o, 2, gap), 0);
	assert_true(post(o, 'a'));
	assert_int_equal(read(begun[0], &byte, 1), 1);
	/* The thread has that one. */
	assert_true(post(o, 'b'));
	assert_true(post(o, 'c'));
	assert_false(post(o, 'd'));
	assert_false(post(o, 'e'));
	assert_int_equal(freed, 2);
	allow(3);
	assert_sent("abc2");
	assert_true(post(o, 'f'));
	allow(1);
	assert_sent("f");
}

/* What waits when it ends is sent. */
static void test_last(void **state)
{
	struct outbox *o;

	assert_int_equal(outbox_new(&o, 8, gap), 0);
	allow(2);
	assert_true(post(o, 'a'));
	assert_true(post(o, 'b'));
	has_time = true;
	assert_null(outbox_free(o));
	assert_int_equal(joined, 1);
	assert_sent("ab");
	assert_int_equal(freed, 2);
}

/* Nobody reads any more: it ends all the same, and frees what was not sent. */
static void test_deaf(void **state)
{
	struct outbox *o;

	assert_int_equal(outbox_new(&o, 8, gap), 0);
	assert_true(post(o, 'a'));
	assert_true(post(o, 'b'));
	assert_null(outbox_free(o));
	assert_int_equal(freed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_last, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deaf, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
