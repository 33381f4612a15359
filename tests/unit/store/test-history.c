// SPDX-License-Identifier: GPL-2.0-or-later
/* What is kept of migrations that have ended, and when that is written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/history.h"
#include "unit/scratch.h"
#include "service/worker.h"

static char dir[] = SCRATCH_TEMPLATE;

/* In place of the threads: what is to be done is done when a test says so. */
static struct job *job;
static unsigned int n_jobs;

int worker_pool_new(struct worker_pool **ret, sd_event *event, unsigned int n_threads)
{
	*ret = NULL;
	return 0;
}

struct worker_pool *worker_pool_free(struct worker_pool *pool)
{
	return NULL;
}

void worker_pool_submit(struct worker_pool *pool, struct job *submitted)
{
	assert_null(job);
	job = submitted;
	n_jobs++;
}

static void finish_job(void)
{
	struct job *done = job;

	assert_non_null(done);
	job = NULL;
	done->done(done, done->run(done));
}

bool worker_pool_drain(struct worker_pool *pool, uint64_t usec)
{
	while (job)
		finish_job();
	return true;
}

struct fixture {
	sd_event *event;
	struct history *history;
};

static void start(struct fixture *f)
{
	n_jobs = 0;
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(history_new(&f->history, f->event), 0);
	assert_int_equal(history_open(f->history, dir), 0);
}

static void stop(struct fixture *f)
{
	history_free(f->history);
	sd_event_unref(f->event);
}

/* @n of one VM, each later than that before it. */
static void add_shared(struct fixture *f, const char *vm, unsigned int n, int64_t sharer)
{
	static uint64_t clock;
	struct passage passage = {
		.vm = vm,
		.outcome = COURSE_CANCELLED,
		.sharer = sharer,
	};

	while (n--) {
		passage.course.begun_usec = passage.course.ended_usec = ++clock;
		history_add(f->history, &passage);
	}
}

static void add(struct fixture *f, const char *vm, unsigned int n)
{
	add_shared(f, vm, n, -1);
}

/* Those of that VM, NULL: all, which are told in their order. */
static unsigned int count(struct fixture *f, const char *vm)
{
	uint64_t number = UINT64_MAX, earlier, later = UINT64_MAX;
	unsigned int n = 0;

	while ((number = history_get_previous(f->history, number))) {
		json_object *object = history_get(f->history, number, vm);

		if (!object)
			continue;
		earlier = json_object_get_uint64(json_object_object_get(object, "endedUSec"));
		assert_true(earlier < later);
		later = earlier;
		n++;
		json_object_put(object);
	}
	return n;
}

/* Lines in the file, and that it is gone. */
static unsigned int take_file(void)
{
	unsigned int n = 0;
	char path[64];
	FILE *file;
	int c;

	snprintf(path, sizeof(path), "%s/history", dir);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while ((c = getc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	assert_int_equal(unlink(path), 0);
	return n;
}

/* However much ends, it is written once in a while, and in the end. */
static void test_written(void **state)
{
	struct fixture f;

	start(&f);
	add(&f, "a", 1);
	finish_job();
	assert_int_equal(n_jobs, 1 + 1);
	add(&f, "a", 1);
	finish_job();
	assert_int_equal(take_file(), 1);
	add(&f, "a", 100);
	assert_null(job);
	while (!job)
		assert_true(sd_event_run(f.event, UINT64_MAX) >= 0);
	add(&f, "a", 1);
	finish_job();
	assert_int_equal(take_file(), 102);
	assert_null(job);
	assert_int_equal(n_jobs, 1 + 2);
	stop(&f);
	assert_int_equal(take_file(), 103);
	assert_int_equal(n_jobs, 1 + 3);
}

/* What cannot be read is not written over; once it can, it is there with what came meanwhile. */
static void test_unread(void **state)
{
	char path[64], aside[64];
	struct fixture f;

	snprintf(path, sizeof(path), "%s/history", dir);
	snprintf(aside, sizeof(aside), "%s/aside", dir);
	start(&f);
	add(&f, "a", 3);
	finish_job();
	stop(&f);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(symlink("aside", path), 0);

	start(&f);
	add(&f, "b", 1);
	finish_job();
	assert_int_equal(count(&f, NULL), 1);
	stop(&f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("aside", path), 0);

	start(&f);
	finish_job();
	add(&f, "b", 1);
	while (!job)
		assert_true(sd_event_run(f.event, UINT64_MAX) >= 0);
	finish_job();
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(aside, path), 0);
	add(&f, "b", 1);
	while (!job)
		assert_true(sd_event_run(f.event, UINT64_MAX) >= 0);
	finish_job();
	assert_int_equal(count(&f, NULL), 5);
	stop(&f);
	assert_int_equal(take_file(), 5);
}

/* Who can have migrations end without anybody's word has a share, and all such have one, also anew. */
static void test_shares(void **state)
{
	struct fixture f;
	char name[] = "a";

	start(&f);
	finish_job();
	add(&f, "said", 500);
	add_shared(&f, "mine", 10, 1000);
	add_shared(&f, "his", 400, 1001);
	assert_int_equal(count(&f, "said"), 500);
	assert_int_equal(count(&f, "mine"), 10);
	assert_int_equal(count(&f, "his"), HISTORY_SHARE_MAX);
	for (int64_t uid = 1002; uid < 1012; uid++, name[0]++)
		add_shared(&f, name, 40, uid);
	assert_int_equal(count(&f, "said"), 500);
	assert_int_equal(count(&f, NULL), 500 + HISTORY_SHARES_MAX);
	stop(&f);

	start(&f);
	finish_job();
	assert_int_equal(count(&f, NULL), 500 + HISTORY_SHARES_MAX);
	add_shared(&f, "j", 300, 1011);
	assert_int_equal(count(&f, "said"), 500);
	assert_int_equal(count(&f, "j"), HISTORY_SHARE_MAX);
	assert_int_equal(count(&f, NULL), 500 + HISTORY_SHARES_MAX);
	/* Nor is a share kept for longer than all else. */
	add(&f, "said", 1000);
	assert_int_equal(count(&f, NULL), HISTORY_MAX);
	assert_int_equal(count(&f, "said"), HISTORY_MAX);
	stop(&f);
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	scratch_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_unread),
		cmocka_unit_test(test_shares),
	};

	return cmocka_run_group_tests_name("history", tests, setup, teardown);
}
