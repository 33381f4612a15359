// SPDX-License-Identifier: GPL-2.0-or-later
/* Stopping the manager, and what it tells when nothing happens to a VM. */
#include "unit/told-host.h"

#include "manager/manager-private.h"

/* Calls that would take minutes do not keep the daemon from stopping. */
static void test_stopping_interrupts(void **state)
{
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start(&f, SIM_STUCK);
	vm = add_vm(&f, "a");
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	vm = add_vm(&f, "b");
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	manager_stop(f.manager, on_stopped, &f);
	assert_int_equal(f.removed, 2);
	assert_null(manager_next_vm(f.manager, NULL));
	pid = make_vmm(&f);
	assert_int_equal(register_vm(&f, pid, "c", &vm), -ESHUTDOWN);
	while (!f.stopped)
		run_once(&f);
	stop(&f);
}

/* The service manager's end of sd_notify(). */
static int listen_for_status(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	return fd;
}

/* Returns how many there were, the last of which is in @text. */
static size_t read_status(int fd, char *text, size_t size)
{
	char message[1024];
	size_t n = 0;
	ssize_t r;

	while ((r = recv(fd, message, sizeof(message) - 1, 0)) >= 0) {
		message[r] = '\0';
		if (strncmp(message, "STATUS=", 7) != 0)
			continue;
		snprintf(text, size, "%s", message + 7);
		n++;
	}
	assert_int_equal(errno, EAGAIN);
	return n;
}

/* However much there is to be told, it is told once, from the loop; and not while stopping. */
static void test_status(void **state)
{
	_cleanup_close_ int fd = listen_for_status();
	char text[1024] = "";
	struct fixture f;
	struct vm *vm;
	size_t n;

	start(&f, SIM_STUCK);
	for (int i = 0; i < 4; i++) {
		vm = add_vm(&f, NULL);
		(void)read_status(fd, text, sizeof(text));
	}
	while (sd_event_run(f.event, 0) > 0)
		;
	(void)read_status(fd, text, sizeof(text));
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_COMPLETED), 0);
	assert_int_equal(manager_unregister(f.manager, info_of(vm).name), 0);
	assert_int_equal(read_status(fd, text, sizeof(text)), 0);
	while (!(n = read_status(fd, text, sizeof(text))))
		run_once(&f);
	assert_int_equal(n, 1);
	assert_string_equal(text, "3 VMs");

	assert_int_equal(tell(&f, manager_next_vm(f.manager, NULL), VM_MIGRATION_SCHEDULED), 0);
	manager_stop(f.manager, on_stopped, &f);
	while (!f.stopped)
		run_once(&f);
	assert_int_equal(read_status(fd, text, sizeof(text)), 0);
	stop(&f);
	unsetenv("NOTIFY_SOCKET");
}

static void test_stopping_with_nothing_to_do(void **state)
{
	struct fixture f;

	start(&f, SIM_QUICK);
	manager_stop(f.manager, on_stopped, &f);
	assert_false(f.stopped);
	while (!f.stopped)
		run_once(&f);
	stop(&f);
}

static struct {
	struct vm *vm;
	unsigned int told;
} late;

static void on_late(void *userdata, struct vm *vm, enum vm_change what)
{
	late.told += vm == late.vm && what == VM_CHANGE_STATE && info_of(vm).late;
}

static void on_gone(void *userdata, struct vm *vm)
{
}

static const struct manager_observer late_observer = {
	.reloaded = on_reloaded,
	.vm_changed = on_late,
	.vm_removed = on_gone,
};

/* One of which nothing else is new becomes late by time alone: that is told of, once. */
static void test_late_by_time(void **state)
{
	uint64_t deadline;
	struct fixture f;

	start_in_a_call(&f);
	late.vm = manager_find_vm(f.manager, "a");
	manager_set_observer(f.manager, &late_observer, &f);
	do {
		deadline = clock_usec(CLOCK_REALTIME) + USEC_PER_SEC / 5;
		assert_int_equal(manager_set_migration(f.manager, late.vm, VM_MIGRATION_SCHEDULED,
						       &deadline, NULL),
				 0);
	} while (info_of(late.vm).late);
	late.told = 0;
	while (!info_of(late.vm).late)
		;
	/* Something else happens, in which it has no part. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(reload(&f), 0);
		while (!late.told)
			run_once(&f);
		while (sd_event_run(f.event, 0) > 0)
			;
	}
	assert_int_equal(late.told, 1);
	sem_post(&told.end);
	stop(&f);
}

/* One that is late as soon as it is told is told of with that, and once. */
static void test_late_at_once(void **state)
{
	uint64_t deadline = clock_usec(CLOCK_REALTIME) - 1;
	struct fixture f;
	uint64_t before;

	start_in_a_call(&f);
	late.vm = manager_find_vm(f.manager, "a");
	late.told = 0;
	manager_set_observer(f.manager, &late_observer, NULL);
	assert_int_equal(manager_set_migration(f.manager, late.vm, VM_MIGRATION_SCHEDULED,
					       &deadline, NULL),
			 0);
	assert_int_equal(late.told, 1);
	/* Those who are late are looked for with the next line of what goes on. */
	before = f.manager->status_nsec;
	while (f.manager->status_nsec == before)
		run_once(&f);
	assert_int_equal(late.told, 1);
	sem_post(&told.end);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stopping_interrupts),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_stopping_with_nothing_to_do),
		cmocka_unit_test(test_late_by_time),
		cmocka_unit_test(test_late_at_once),
	};

	return cmocka_run_group_tests_name("manager-stop", tests, setup, teardown);
}
