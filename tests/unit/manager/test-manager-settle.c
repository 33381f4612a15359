// SPDX-License-Identifier: GPL-2.0-or-later
/* When it is settled how a migration ended that nobody has said the end of, whatever the clock is set to. */
#include "unit/manager-fixture.h"

#include <time.h>

#include "manager/course.h"
#include "manager/manager-history.h"
#include "manager/manager-private.h"

/* What the clocks of the daemon are off by, in seconds; not those of the event loop. */
static struct {
	int64_t realtime;
	int64_t boottime;
} set;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = __real_clock_gettime(clock, ret);

	if (clock == CLOCK_REALTIME)
		ret->tv_sec += set.realtime;
	if (clock == CLOCK_BOOTTIME)
		ret->tv_sec += set.boottime;
	return r;
}

/* A clock that is set back by hours in between does not have anybody wait for these. */
static void test_clock_set_back(void **state)
{
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "a");
	pid = info_of(vm).pid;
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	/* It ended long ago. */
	set.realtime = set.boottime = -(int64_t)(COURSE_SETTLE_USEC / USEC_PER_SEC);
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (!f.manager->n_departed)
		run_once(&f);
	set.boottime = 0;
	set.realtime = -6 * 3600;
	while (f.manager->n_departed)
		run_once(&f);
	set.realtime = 0;
	stop(&f);
}

/* Of those of the daemon before there may be one that is to be settled before those that are known. */
static void test_armed_for_later(void **state)
{
	uint64_t usec, now = clock_usec(CLOCK_BOOTTIME);
	struct fixture f;

	start(&f, SIM_QUICK);
	manager_arm_settle(f.manager, now + 7200 * USEC_PER_SEC);
	manager_arm_settle(f.manager, now + 3600 * USEC_PER_SEC);
	manager_arm_settle(f.manager, now + 7200 * USEC_PER_SEC);
	assert_int_equal(sd_event_source_get_time(f.manager->settle, &usec), 0);
	assert_true(usec == now + 3600 * USEC_PER_SEC);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_armed_for_later),
	};

	return cmocka_run_group_tests_name("manager-settle", tests, setup, teardown);
}
