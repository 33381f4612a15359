// SPDX-License-Identifier: GPL-2.0-or-later
/* Closing a splitter, which may take as long as the VM has memory, keeps nobody. */
#include "unit/manager-fixture.h"

#include "service/closing.h"

/**
 * struct slow - a host where closing takes until the test lets it
 * @may_end: closings that may end
 * @ended: that have
 * @in_loop: that would have kept the event loop
 */
static struct {
	struct backend_ops ops;
	void (*close_vm)(struct backend_vm *vm);
	pthread_t loop;
	sem_t may_end;
	atomic_uint ended;
	atomic_uint in_loop;
} slow;

static void slow_close(struct backend_vm *vm)
{
	if (pthread_equal(pthread_self(), slow.loop))
		slow.in_loop++;
	else
		while (sem_wait(&slow.may_end) < 0)
			assert_int_equal(errno, EINTR);
	slow.close_vm(vm);
	slow.ended++;
}

static struct backend *wrap_slow(struct backend *backend)
{
	slow.ops = *backend->ops;
	slow.close_vm = slow.ops.close_vm;
	slow.ops.close_vm = slow_close;
	slow.loop = pthread_self();
	slow.ended = slow.in_loop = 0;
	assert_int_equal(sem_init(&slow.may_end, 0, 0), 0);
	backend->ops = &slow.ops;
	return backend;
}

static void let_all_end(void)
{
	for (int i = 0; i < 16; i++)
		sem_post(&slow.may_end);
}

/* A VM that is unregistered, and one that is gone: the others go on meanwhile. */
static void test_slow_closing(void **state)
{
	struct fixture f;
	struct vm *vm;

	start_on(&f, SIM_QUICK, wrap_slow);
	(void)add_vm(&f, "unregistered");
	(void)add_vm(&f, "gone");
	vm = add_vm(&f, "stays");
	assert_int_equal(manager_unregister(f.manager, "unregistered"), 0);
	kill(f.children[1], SIGKILL);
	while (f.removed < 2)
		run_once(&f);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	assert_int_equal(slow.ended, 0);
	let_all_end();
	while (slow.ended < 1)
		run_once(&f);
	assert_int_equal(slow.in_loop, 0);
	stop(&f);
}

static void nothing_to_close(struct backend_vm *vm)
{
}

/* What comes while one is being closed is closed behind it; and what is left, in the end. */
static void test_one_after_the_other(void **state)
{
	const struct backend_ops ops = { .close_vm = slow_close };
	struct backend backend = { .ops = &ops };
	struct backend_vm vms[3] = { [0 ... 2].backend = &backend };
	struct backend real = { .ops = &(const struct backend_ops){ .close_vm =
									    nothing_to_close } };
	struct worker_pool *pool;
	struct closing *c;
	sd_event *event;

	(void)wrap_slow(&real);
	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(worker_pool_new(&pool, event, 1), 0);
	assert_int_equal(closing_new(&c, pool), 0);
	closing_add(c, NULL);
	closing_add(c, &vms[0]);
	closing_add(c, &vms[1]);
	assert_int_equal(slow.ended, 0);
	sem_post(&slow.may_end);
	sem_post(&slow.may_end);
	while (slow.ended < 2)
		assert_true(sd_event_run(event, UINT64_MAX) >= 0);
	worker_pool_free(pool);
	closing_stop(c);
	closing_add(c, &vms[2]);
	assert_int_equal(slow.ended, 2);
	/* Nobody else is there to do it by then. */
	closing_free(c);
	assert_int_equal(slow.ended, 3);
	assert_int_equal(slow.in_loop, 1);
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slow_closing, setup, teardown),
		cmocka_unit_test(test_one_after_the_other),
	};

	return cmocka_run_group_tests_name("closing", tests, NULL, NULL);
}
