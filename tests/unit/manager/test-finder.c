// SPDX-License-Identifier: GPL-2.0-or-later
/* When the finder looks at which process: on a host that is told, and a clock that is set. */
#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/finder.h"
#include "manager/look-time.h"
#include "host/backend.h"
#include "service/worker.h"

#define LOOKS_MAX 1000

/* Processes that there are not: they are looked at, and that says so. */
#define PID(i) ((pid_t)(INT_MAX - (i)))

/* The clock of the loop, and the finder's timer, which is due when the test says so. */
static uint64_t now_usec, due_usec;
static sd_event_source *timer;

/* Whose such a process would be; one that there is is somebody else's. */
#define USER(i) ((i)*1000)

int64_t __wrap_process_get_uid(pid_t pid);

int64_t __wrap_process_get_uid(pid_t pid)
{
	return (INT_MAX - pid) / USER(1);
}

int __real_sd_event_source_set_time(sd_event_source *source, uint64_t usec);
int __wrap_sd_event_source_set_time(sd_event_source *source, uint64_t usec);
int __wrap_sd_event_now(sd_event *event, clockid_t clock, uint64_t *ret);

int __wrap_sd_event_source_set_time(sd_event_source *source, uint64_t usec)
{
	timer = source;
	due_usec = usec;
	return __real_sd_event_source_set_time(source, UINT64_MAX - 1);
}

int __wrap_sd_event_now(sd_event *event, clockid_t clock, uint64_t *ret)
{
	*ret = now_usec;
	return 0;
}

/*
 * @processes: what a scan finds
 * @seen: what was looked at, in order
 * @answer: what is said of that
 * @known: whether any VM of the process is
 * @wait: looks at this process itself, and scans, wait for @go_on
 */
struct fixture {
	struct backend backend;
	sd_event *event;
	struct worker_pool *pool;
	struct finder *finder;
	host_event_fn told;
	void *told_userdata;
	pid_t processes[200];
	size_t n_processes;
	unsigned int scans;
	unsigned int ends;
	int scan_result;
	pid_t seen[LOOKS_MAX];
	size_t n_seen;
	int answer;
	bool known;
	bool wait;
	sem_t go_on;
};

static int fake_watch(struct backend *backend, sd_event *event, host_event_fn fn, void *userdata)
{
	struct fixture *f = (struct fixture *)backend;

	f->told = fn;
	f->told_userdata = userdata;
	return 0;
}

static void fake_wait(struct fixture *f)
{
	if (f->wait)
		while (sem_wait(&f->go_on) < 0)
			;
}

static int fake_scan(struct backend *backend, int (*found)(void *userdata, pid_t pid),
		     void *userdata)
{
	struct fixture *f = (struct fixture *)backend;
	int r = 0;

	f->scans++;
	fake_wait(f);
	for (size_t i = 0; i < f->n_processes && r == 0; i++)
		r = found(userdata, f->processes[i]);
	return r ?: f->scan_result;
}

static int fake_list_vms(struct backend *backend, int pidfd, pid_t pid,
			 int numbers[BACKEND_VMS_MAX])
{
	fake_wait((struct fixture *)backend);
	return -ENOTTY;
}

static const struct backend_ops fake_ops = {
	.name = "fake",
	.watch = fake_watch,
	.scan = fake_scan,
	.list_vms = fake_list_vms,
};

/* Those of user 1 take their time. */
static int slow_look(struct backend *backend, pid_t pid, int numbers[BACKEND_VMS_MAX],
		     struct backend_vm *vms[BACKEND_VMS_MAX])
{
	if (__wrap_process_get_uid(pid) == 1)
		usleep(2000);
	return -ENOTTY;
}

static const struct backend_ops slow_ops = {
	.name = "fake",
	.watch = fake_watch,
	.scan = fake_scan,
	.look = slow_look,
};

static int on_seen(void *userdata, struct look *look)
{
	struct fixture *f = userdata;

	assert_true(f->n_seen < LOOKS_MAX);
	f->seen[f->n_seen++] = look->pid;
	return f->answer;
}

static bool on_is_known(void *userdata, pid_t pid)
{
	struct fixture *f = userdata;

	return f->known;
}

static void on_scanned(void *userdata)
{
	struct fixture *f = userdata;

	f->ends++;
}

static const struct finder_ops finder_ops = {
	.scanned = on_scanned,
	.seen = on_seen,
	.is_known = on_is_known,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	now_usec = USEC_PER_SEC;
	due_usec = UINT64_MAX;
	f->backend.ops = &fake_ops;
	f->answer = -ENOTTY;
	assert_int_equal(sem_init(&f->go_on, 0, 0), 0);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(worker_pool_new(&f->pool, f->event, 2), 0);
	assert_int_equal(finder_new(&f->finder, f->event, &f->backend, f->pool, &finder_ops, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	worker_pool_free(f->pool);
	finder_free(f->finder);
	sd_event_unref(f->event);
	sem_destroy(&f->go_on);
	free(f);
	return 0;
}

/* Until there is nothing to be done before the timer is due. */
static void settle(struct fixture *f)
{
	struct worker_load load;
	bool busy;
	int r;

	do {
		worker_pool_get_load(f->pool, &load);
		busy = load.running || load.queued;
		r = sd_event_run(f->event, busy ? UINT64_MAX : 0);
		assert_true(r >= 0);
	} while (busy || r > 0);
}

/* Until the timer is due, and what follows. False: it never will be. */
static bool pass_time(struct fixture *f)
{
	if (due_usec == UINT64_MAX)
		return false;
	now_usec = max_u64(now_usec, due_usec);
	assert_int_equal(__real_sd_event_source_set_time(timer, 0), 0);
	settle(f);
	return true;
}

static void tell(struct fixture *f, enum host_event event, pid_t pid)
{
	now_usec++;
	f->told(f->told_userdata, event, pid);
}

/* What is there is looked at before it returns. */
static void test_start(void **state)
{
	struct fixture *f = *state;

	f->processes[0] = PID(1);
	f->processes[1] = PID(2);
	f->n_processes = 2;
	f->wait = true;
	finder_start(f->finder);
	/* Nobody waits for it: it takes as long as others like. */
	assert_int_equal(f->n_seen, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sem_post(&f->go_on), 0);
	settle(f);
	assert_int_equal(f->scans, 1);
	assert_int_equal(f->n_seen, 2);
	assert_int_equal(f->seen[0], PID(1));
	assert_int_equal(f->seen[1], PID(2));
	assert_int_equal(f->ends, 1);
}

/* One that fails is no answer, and made again later. */
static void test_scan_that_fails(void **state)
{
	struct fixture *f = *state;

	f->scan_result = -EMFILE;
	finder_start(f->finder);
	settle(f);
	assert_int_equal(f->scans, 1);
	assert_int_equal(f->ends, 0);
	f->scan_result = 0;
	assert_true(pass_time(f));
	assert_int_equal(f->scans, 2);
	assert_int_equal(f->ends, 1);
	assert_false(pass_time(f));
}

/* Whoever makes one fail for ever has the others made less and less often, but made. */
static void test_scans_that_fail(void **state)
{
	struct fixture *f = *state;
	uint64_t last, pause = 0;

	f->scan_result = -EBUSY;
	finder_start(f->finder);
	settle(f);
	for (unsigned int i = 2; i < 20; i++) {
		last = now_usec;
		assert_true(pass_time(f));
		assert_int_equal(f->scans, i);
		assert_true(now_usec - last >= pause && now_usec - last <= 80 * USEC_PER_SEC);
		pause = now_usec - last;
	}
	assert_true(pause == 80 * USEC_PER_SEC);
	f->scan_result = 0;
	assert_true(pass_time(f));
	assert_int_equal(f->ends, 1);
	assert_false(pass_time(f));
}

/* Looks that fail for want of something are made again for as long as they do, and end no scan. */
static void test_looks_that_fail(void **state)
{
	struct fixture *f = *state;
	size_t seen;

	f->answer = -EMFILE;
	f->processes[0] = PID(1);
	f->n_processes = 1;
	finder_start(f->finder);
	tell(f, HOST_VM_CREATED, PID(2));
	settle(f);
	for (int i = 0; i < 200; i++) {
		seen = f->n_seen;
		assert_true(pass_time(f));
		assert_true(f->n_seen > seen && f->n_seen <= seen + 4);
	}
	assert_int_equal(f->ends, 0);
	/* Hours, by then, in short intervals. */
	assert_true(now_usec > 120 * USEC_PER_SEC);
	f->answer = 1;
	assert_true(pass_time(f));
	assert_true(due_usec <= now_usec + 80 * USEC_PER_SEC);
	f->answer = -ENOTTY;
	while (pass_time(f))
		assert_true(f->ends <= 1);
	assert_int_equal(f->ends, 1);
}

/* A helper that was too slow has not said that there is no VM. */
static void test_looks_that_take_too_long(void **state)
{
	struct fixture *f = *state;

	f->answer = -ETIMEDOUT;
	f->processes[0] = PID(1);
	f->n_processes = 1;
	finder_start(f->finder);
	settle(f);
	tell(f, HOST_VM_CREATED, PID(2));
	settle(f);
	assert_int_equal(f->n_seen, 2);
	for (int i = 0; i < 20; i++)
		assert_true(pass_time(f));
	assert_int_equal(f->ends, 0);
	f->answer = 1;
	while (pass_time(f) && !f->ends)
		;
	assert_int_equal(f->ends, 1);
}

/* What may not be looked into is not said to have no VMs; nor is it looked at again and again. */
static void test_looks_that_are_refused(void **state)
{
	struct fixture *f = *state;

	f->answer = -EPERM;
	f->processes[0] = PID(1);
	f->n_processes = 1;
	finder_start(f->finder);
	settle(f);
	assert_int_equal(f->n_seen, 1);
	assert_int_equal(f->ends, 0);
	assert_false(pass_time(f));
}

/* A VM that is told of before it is there is looked for again, and no more once it is. */
static void test_created_and_there_later(void **state)
{
	struct fixture *f = *state;

	finder_start(f->finder);
	tell(f, HOST_VM_CREATED, PID(1));
	settle(f);
	assert_int_equal(f->n_seen, 1);
	/* It has others, which were known. */
	f->answer = 0;
	assert_true(pass_time(f));
	assert_int_equal(f->n_seen, 2);
	f->answer = 1;
	assert_true(pass_time(f));
	assert_int_equal(f->n_seen, 3);
	assert_false(pass_time(f));
}

/* One that is gone, or may not be looked into, will not have it. */
static void test_created_and_gone(void **state)
{
	struct fixture *f = *state;

	finder_start(f->finder);
	f->answer = -ESRCH;
	tell(f, HOST_VM_CREATED, PID(1));
	settle(f);
	assert_int_equal(f->n_seen, 1);
	assert_false(pass_time(f));
}

/* For half a minute, in ever longer intervals; looks for another reason are none of these. */
static void test_created_and_never_there(void **state)
{
	for (int others = 0; others < 100; others += 99) {
		struct fixture *f;
		uint64_t began;
		size_t before;

		setup((void **)&f);
		/* What goes is not what is looked for. */
		f->known = true;
		finder_start(f->finder);
		began = now_usec;
		tell(f, HOST_VM_CREATED, PID(1));
		settle(f);
		for (int i = 0; i < others; i++) {
			tell(f, HOST_VM_DESTROYED, PID(1));
			settle(f);
		}
		assert_int_equal(f->n_seen, 1 + others);
		before = f->n_seen;
		while (pass_time(f))
			assert_true(f->n_seen < before + 30);
		assert_in_range(f->n_seen, before + 10, before + 30);
		assert_in_range(now_usec - began, 25 * USEC_PER_SEC, 60 * USEC_PER_SEC);
		teardown((void **)&f);
	}
}

/* What happens while it is looked at may not have been seen. */
static void test_told_during_a_look(void **state)
{
	struct fixture *f = *state;

	finder_start(f->finder);
	settle(f);
	f->wait = true;
	for (int i = 0; i < 3; i++)
		tell(f, HOST_VM_DESTROYED, getpid());
	assert_int_equal(sem_post(&f->go_on), 0);
	assert_int_equal(sem_post(&f->go_on), 0);
	settle(f);
	assert_int_equal(f->n_seen, 2);
	assert_int_equal(sem_trywait(&f->go_on), -1);
}

/* Whoever has waited longest is next. */
static void test_order(void **state)
{
	struct fixture *f = *state;

	finder_start(f->finder);
	for (int i = 0; i < 5; i++)
		tell(f, HOST_VM_DESTROYED, PID(i));
	settle(f);
	assert_int_equal(f->n_seen, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(f->seen[i], PID(i));
}

/* More at once than are kept: all processes are looked through, which finds the others. */
static void test_too_many_at_once(void **state)
{
	struct fixture *f = *state;

	finder_start(f->finder);
	f->processes[0] = PID(500);
	f->n_processes = 1;
	for (int i = 0; i < 500; i++)
		tell(f, HOST_VM_DESTROYED, PID(i));
	settle(f);
	assert_in_range(f->scans, 2, 3);
	assert_in_range(f->n_seen, 2, 250);
	for (size_t i = 0; f->seen[i] != PID(500); i++)
		assert_true(i < f->n_seen);
}

/* Nor is one that there was no room for forgotten, while it may not have its VM yet. */
static void test_too_many_that_are_there_later(void **state)
{
	struct fixture *f = *state;
	uint64_t began = now_usec;
	unsigned int scans = 0;

	finder_start(f->finder);
	for (int i = 0; i < 500; i++)
		tell(f, HOST_VM_CREATED, PID(i));
	settle(f);
	f->processes[0] = PID(600);
	f->n_processes = 1;
	do {
		f->n_seen = 0;
		scans = f->scans;
		assert_true(pass_time(f));
	} while (f->scans == scans);
	/* It has it by now. */
	for (size_t i = 0; f->seen[i] != PID(600); i++)
		assert_true(i < f->n_seen);
	while (pass_time(f)) {
		f->n_seen = 0;
		assert_true(f->scans < 30);
	}
	assert_in_range(now_usec - began, 25 * USEC_PER_SEC, 60 * USEC_PER_SEC);
}

/* What was lost may be anything; what is told during a scan it may not have seen. */
static void test_scans(void **state)
{
	struct fixture *f = *state;

	finder_start(f->finder);
	tell(f, HOST_EVENTS_LOST, 0);
	settle(f);
	assert_int_equal(f->scans, 2);
	tell(f, HOST_VM_CREATED, 0);
	settle(f);
	assert_int_equal(f->scans, 3);

	f->wait = true;
	for (int i = 0; i < 3; i++)
		finder_scan_all(f->finder);
	assert_int_equal(sem_post(&f->go_on), 0);
	assert_int_equal(sem_post(&f->go_on), 0);
	settle(f);
	assert_int_equal(f->scans, 5);
}

/* How many were looked at from then on, up to that one. */
static size_t count_looks(struct fixture *f, size_t from, pid_t pid)
{
	for (size_t i = from; i < f->n_seen; i++)
		if (f->seen[i] == pid)
			return i - from + 1;
	fail();
	return 0;
}

/* Whoever has very many that take their time, again and again, has others wait for one of them. */
static void test_slow_user(void **state)
{
	pid_t other = PID(USER(2)), late = PID(USER(3));
	struct fixture *f = *state;
	size_t from;

	f->backend.ops = &slow_ops;
	finder_start(f->finder);
	settle(f);
	for (int i = 0; i < 128; i++)
		tell(f, HOST_VM_CREATED, PID(USER(1) + i));
	tell(f, HOST_VM_CREATED, other);
	settle(f);
	assert_in_range(count_looks(f, 0, other), 1, 3);
	assert_in_range(f->n_seen, 128, 140);
	for (int round = 0; round < 3; round++) {
		from = f->n_seen;
		for (int i = 0; i < 128; i++)
			tell(f, HOST_VM_DESTROYED, PID(USER(1) + i));
		tell(f, HOST_VM_DESTROYED, other);
		tell(f, HOST_VM_DESTROYED, late);
		settle(f);
		assert_in_range(count_looks(f, from, other), 1, 3);
		assert_in_range(count_looks(f, from, late), 1, 3);
	}
}

/* Nor where all processes are looked through, and one is told of meanwhile. */
static void test_slow_user_in_a_scan(void **state)
{
	pid_t other = PID(USER(2)), late = PID(USER(3));
	struct fixture *f = *state;

	f->backend.ops = &slow_ops;
	for (int i = 0; i < 150; i++)
		f->processes[f->n_processes++] = PID(USER(1) + i);
	f->processes[f->n_processes++] = other;
	finder_start(f->finder);
	while (!f->n_seen)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	tell(f, HOST_VM_CREATED, late);
	settle(f);
	assert_int_equal(f->ends, 1);
	assert_in_range(f->n_seen, 152, 153);
	assert_in_range(count_looks(f, 0, other), 1, 3);
	assert_in_range(count_looks(f, 0, late), 1, 4);
}

/* That a user's processes took their time is forgotten when they do not any more. */
static void test_look_time(void **state)
{
	const uint64_t half = LOOK_TIME_HALF_USEC;
	struct look_time t = {};

	assert_int_equal(look_time_get(&t, 7, 0), 0);
	look_time_add(&t, 7, 1000, half);
	look_time_add(&t, -1, 300, half);
	assert_int_equal(look_time_get(&t, 7, half), 1000);
	assert_int_equal(look_time_get(&t, -1, half), 300);
	assert_int_equal(look_time_get(&t, 7, 2 * half), 500);
	/* Also of one who goes on. */
	look_time_add(&t, 7, 0, 2 * half + half / 2);
	assert_int_equal(look_time_get(&t, 7, 3 * half), 250);
	assert_int_equal(look_time_get(&t, 7, 1000 * half), 0);
	/* Of too many those that took least are. */
	for (int i = 0; i < 2 * LOOK_TIME_USERS; i++)
		look_time_add(&t, 100 + i, 10, 3 * half);
	assert_int_equal(t.n_users, LOOK_TIME_USERS);
	assert_int_equal(look_time_get(&t, 7, 3 * half), 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scans_that_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_looks_that_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_looks_that_take_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_looks_that_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_created_and_there_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_created_and_gone, setup, teardown),
		cmocka_unit_test(test_created_and_never_there),
		cmocka_unit_test_setup_teardown(test_told_during_a_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_that_are_there_later, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_scans, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_user_in_a_scan, setup, teardown),
		cmocka_unit_test(test_look_time),
	};

	return cmocka_run_group_tests_name("finder", tests, NULL, NULL);
}
