// SPDX-License-Identifier: GPL-2.0-or-later
/* Names, asked for by a thread of a host that answers when it likes. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/backend.h"
#include "host/qemu-name.h"
#include "manager/namer.h"
#include "service/worker.h"

struct fixture {
	struct backend backend;
	sd_event *event;
	struct worker_pool *pool;
	struct namer *namer;
	char heard[256];
	bool ask_again;
};

/* Each answer waits for it; those of process 6 are errors, of which there are so many left. */
static sem_t allowed;
static int failures;

/* What is waited for is there at once. */
static uint64_t waits;

int __real_sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec);
int __wrap_sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec);

int __wrap_sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec)
{
	assert_true(usec >= USEC_PER_SEC);
	waits++;
	return __real_sd_event_source_set_time_relative(source, 0);
}

static int fake_names(struct backend *backend, pid_t pid, struct guest_names *ret)
{
	while (sem_wait(&allowed) < 0)
		;
	if (pid % 2)
		return -ENOENT;
	if (pid == 6 && failures > 0)
		return failures-- % 2 ? -ETIMEDOUT : -EBUSY;
	snprintf(ret->name, sizeof(ret->name), "guest%d", (int)pid);
	return 0;
}

static const struct backend_ops ops = { .name = "fake", .guest_names = fake_names };

static void found(void *userdata, pid_t pid, const struct guest_names *names)
{
	struct fixture *f = userdata;
	size_t n = strlen(f->heard);

	snprintf(f->heard + n, sizeof(f->heard) - n, "%d=%s;", (int)pid, names ? names->name : "-");
	if (f->ask_again)
		assert_int_equal(namer_ask(f->namer, 8), 0);
	f->ask_again = false;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	sem_init(&allowed, 0, 0);
	f->backend.ops = &ops;
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(worker_pool_new(&f->pool, f->event, 2), 0);
	assert_int_equal(namer_new(&f->namer, f->event, &f->backend, f->pool, found, f), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 8; i++)
		sem_post(&allowed);
	worker_pool_free(f->pool);
	namer_free(f->namer);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void run_until(struct fixture *f, const char *heard)
{
	while (strcmp(f->heard, heard) != 0)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

static void test_in_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(namer_ask(f->namer, 2), 0);
	assert_int_equal(namer_ask(f->namer, 3), 0);
	assert_int_equal(namer_ask(f->namer, 4), 0);
	sem_post(&allowed);
	run_until(f, "2=guest2;");
	sem_post(&allowed);
	sem_post(&allowed);
	run_until(f, "2=guest2;3=-;4=guest4;");
}

/* Whoever is told may ask for more. */
static void test_again(void **state)
{
	struct fixture *f = *state;

	f->ask_again = true;
	assert_int_equal(namer_ask(f->namer, 2), 0);
	sem_post(&allowed);
	sem_post(&allowed);
	run_until(f, "2=guest2;8=guest8;");
}

/* What failed for want of something is asked again, behind what came meanwhile. */
static void test_transient(void **state)
{
	struct fixture *f = *state;

	failures = 5;
	waits = 0;
	for (int i = 0; i < 8; i++)
		sem_post(&allowed);
	assert_int_equal(namer_ask(f->namer, 6), 0);
	assert_int_equal(namer_ask(f->namer, 2), 0);
	run_until(f, "2=guest2;6=guest6;");
	assert_int_equal(failures, 0);
	assert_int_equal(waits, 5);
}

/* Those that are to be asked again count, too, and are freed in the end. */
static void test_bound_later(void **state)
{
	struct fixture *f = *state;

	failures = 1;
	sem_post(&allowed);
	assert_int_equal(namer_ask(f->namer, 6), 0);
	while (failures)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	for (int i = 1; i < 4096; i++)
		assert_int_equal(namer_ask(f->namer, 2), 0);
	assert_int_equal(namer_ask(f->namer, 2), -ENOBUFS);
}

static void test_bound(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4096; i++)
		assert_int_equal(namer_ask(f->namer, 2), 0);
	assert_int_equal(namer_ask(f->namer, 2), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transient, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bound_later, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("namer", tests, NULL, NULL);
}
