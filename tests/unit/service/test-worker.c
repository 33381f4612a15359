// SPDX-License-Identifier: GPL-2.0-or-later
/* The thread pool: ends come back, and whatever blocks can be interrupted. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/worker.h"

#define N_JOBS 64

struct test_job {
	struct job job;
	_Atomic(int) started;
	int spins; /* times that it ignores the first signals */
	int again; /* times that it submits itself again */
	int done;
	int result;
	struct worker_pool *pool;
};

static int run_quick(struct job *job)
{
	struct test_job *t = (struct test_job *)job;

	atomic_fetch_add(&t->started, 1);
	return 7;
}

/* Until a signal comes; the first ones do nothing, as if they came too early. */
static int run_blocking(struct job *job)
{
	struct test_job *t = (struct test_job *)job;
	int r = 0;

	atomic_fetch_add(&t->started, 1);
	do {
		r = poll(NULL, 0, -1);
	} while (t->spins-- > 0);
	return r < 0 ? -errno : 0;
}

static void on_done(struct job *job, int result)
{
	struct test_job *t = (struct test_job *)job;

	t->done++;
	t->result = result;
	if (t->again-- > 0)
		worker_pool_submit(t->pool, job);
}

static struct test_job make_job(int (*run)(struct job *job))
{
	return (struct test_job){ .job = { .run = run, .done = on_done } };
}

static sd_event *start(struct worker_pool **ret, unsigned int n_threads)
{
	sd_event *event;

	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(worker_pool_new(ret, event, n_threads), 0);
	return event;
}

static void wait_started(struct test_job *t)
{
	while (!atomic_load(&t->started))
		sched_yield();
}

static void test_many_jobs(void **state)
{
	struct test_job jobs[N_JOBS];
	struct worker_pool *pool;
	sd_event *event = start(&pool, 4);

	for (size_t i = 0; i < N_JOBS; i++) {
		jobs[i] = make_job(run_quick);
		jobs[i].again = 100;
		jobs[i].pool = pool;
		worker_pool_submit(pool, &jobs[i].job);
	}
	for (size_t i = 0; i < N_JOBS; i++) {
		while (jobs[i].done < 101)
			assert_true(sd_event_run(event, UINT64_MAX) >= 0);
		assert_int_equal(jobs[i].result, 7);
		assert_int_equal(atomic_load(&jobs[i].started), 101);
	}
	worker_pool_free(pool);
	sd_event_unref(event);
}

/* Signalled again and again: one that came too early is not the last. */
static void test_cancelling_a_running_job(void **state)
{
	struct test_job t = make_job(run_blocking);
	struct worker_pool *pool;
	sd_event *event = start(&pool, 1);

	t.spins = 5;
	worker_pool_submit(pool, &t.job);
	wait_started(&t);
	worker_pool_cancel(pool, &t.job);
	while (!t.done)
		assert_true(sd_event_run(event, UINT64_MAX) >= 0);
	assert_int_equal(t.result, -EINTR);
	/* Nothing is due any more. */
	assert_true(sd_event_run(event, 20000) >= 0);
	assert_int_equal(sd_event_run(event, 0), 0);

	worker_pool_free(pool);
	sd_event_unref(event);
}

static void test_cancelling_a_queued_job(void **state)
{
	struct test_job first = make_job(run_blocking), second = make_job(run_quick);
	struct worker_pool *pool;
	sd_event *event = start(&pool, 1);

	worker_pool_submit(pool, &first.job);
	wait_started(&first);
	worker_pool_submit(pool, &second.job);
	worker_pool_cancel(pool, &second.job);
	while (!second.done)
		assert_true(sd_event_run(event, UINT64_MAX) >= 0);
	assert_int_equal(second.result, -EINTR);
	assert_int_equal(atomic_load(&second.started), 0);
	assert_int_equal(first.done, 0);

	/* It can be submitted again. */
	worker_pool_cancel(pool, &first.job);
	worker_pool_submit(pool, &second.job);
	while (second.done < 2)
		assert_true(sd_event_run(event, UINT64_MAX) >= 0);
	assert_int_equal(second.result, 7);
	worker_pool_free(pool);
	sd_event_unref(event);
}

/* With those that are submitted meanwhile; not what takes longer. */
static void test_draining(void **state)
{
	struct test_job quick = make_job(run_quick), slow = make_job(run_blocking);
	struct worker_pool *pool;
	sd_event *event = start(&pool, 2);

	assert_true(worker_pool_drain(pool, 0));
	quick.again = 10;
	quick.pool = pool;
	worker_pool_submit(pool, &quick.job);
	assert_true(worker_pool_drain(pool, 60 * USEC_PER_SEC));
	assert_int_equal(quick.done, 11);
	slow.spins = 3;
	worker_pool_submit(pool, &slow.job);
	worker_pool_submit(pool, &quick.job);
	assert_false(worker_pool_drain(pool, 1000));
	assert_int_equal(slow.done, 0);
	/* That the loop does not run keeps no signal from coming again. */
	wait_started(&slow);
	worker_pool_cancel(pool, &slow.job);
	assert_true(worker_pool_drain(pool, 60 * USEC_PER_SEC));
	assert_int_equal(slow.result, -EINTR);
	assert_int_equal(quick.done, 12);
	worker_pool_free(pool);
	sd_event_unref(event);
}

/* Which jobs have run, in their order; by the only thread that there is. */
static struct job *ran[N_JOBS];
static size_t n_ran;

static int run_noted(struct job *job)
{
	ran[n_ran++] = job;
	return 0;
}

/* However many there are of one key, another's take turns with them, in the order in which they came. */
static void test_taking_turns(void **state)
{
	/* The first key has 40, another 10 that come after all of these, and one has one, in the end. */
	static const size_t counts[] = { 40, 10, 1 };
	struct test_job first = make_job(run_blocking), jobs[51];
	struct worker_pool *pool;
	sd_event *event = start(&pool, 1);
	struct worker_load load;
	size_t n = 0;

	worker_pool_submit(pool, &first.job);
	wait_started(&first);
	for (size_t key = 0; key < ARRAY_SIZE(counts); key++) {
		for (size_t i = 0; i < counts[key]; i++) {
			jobs[n] = make_job(run_noted);
			jobs[n].job.key = 1000 + key;
			worker_pool_submit(pool, &jobs[n++].job);
		}
	}
	/* One of the first that does not have its turn. */
	worker_pool_cancel(pool, &jobs[39].job);
	worker_pool_get_load(pool, &load);
	assert_int_equal(load.queued, 50);
	worker_pool_cancel(pool, &first.job);
	assert_true(worker_pool_drain(pool, 60 * USEC_PER_SEC));

	assert_int_equal(n_ran, 50);
	assert_ptr_equal(ran[0], &jobs[0].job);
	assert_ptr_equal(ran[1], &jobs[40].job);
	assert_ptr_equal(ran[2], &jobs[50].job);
	for (size_t i = 1; i < 10; i++) {
		assert_ptr_equal(ran[1 + 2 * i], &jobs[i].job);
		assert_ptr_equal(ran[2 + 2 * i], &jobs[40 + i].job);
	}
	for (size_t i = 10; i < 39; i++)
		assert_ptr_equal(ran[11 + i], &jobs[i].job);

	/* What was cancelled had no turns: it is as if it had never been. */
	n_ran = 0;
	first.started = 0;
	worker_pool_submit(pool, &first.job);
	wait_started(&first);
	for (size_t i = 0; i < 20; i++)
		worker_pool_submit(pool, &jobs[i].job);
	for (size_t i = 40; i < 50; i++)
		worker_pool_submit(pool, &jobs[i].job);
	for (size_t i = 0; i < 20; i++)
		worker_pool_cancel(pool, &jobs[i].job);
	worker_pool_submit(pool, &jobs[20].job);
	worker_pool_cancel(pool, &first.job);
	assert_true(worker_pool_drain(pool, 60 * USEC_PER_SEC));
	assert_int_equal(n_ran, 11);
	assert_ptr_equal(ran[0], &jobs[40].job);
	assert_ptr_equal(ran[1], &jobs[20].job);
	worker_pool_free(pool);
	sd_event_unref(event);
}

static void test_freeing_interrupts(void **state)
{
	struct test_job jobs[8];
	struct worker_pool *pool;
	sd_event *event = start(&pool, 4);

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		jobs[i] = make_job(run_blocking);
		jobs[i].spins = 3;
		worker_pool_submit(pool, &jobs[i].job);
	}
	for (size_t i = 0; i < 4; i++)
		wait_started(&jobs[i]);
	worker_pool_free(pool);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		assert_int_equal(jobs[i].done, 0);
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_jobs),
		cmocka_unit_test(test_cancelling_a_running_job),
		cmocka_unit_test(test_cancelling_a_queued_job),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_taking_turns),
		cmocka_unit_test(test_freeing_interrupts),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
