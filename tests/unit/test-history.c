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

#include "history.h"
#include "unit/scratch.h"
#include "worker.h"

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

/* @n of one VM, that were announced. */
static void add(struct fixture *f, const char *vm, unsigned int n)
{
	const struct passage passage = {
		.vm = vm,
		.course = { .announced = true, .begun_usec = 1, .ended_usec = 2 },
		.outcome = COURSE_CANCELLED,
	};

	while (n--)
		history_add(f->history, &passage);
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
	};

	return cmocka_run_group_tests_name("history", tests, setup, teardown);
}
