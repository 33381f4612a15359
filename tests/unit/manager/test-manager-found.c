// SPDX-License-Identifier: GPL-2.0-or-later
/* VMs that are found, by what the host tells. */
#include "unit/told-host.h"

/* What looking takes is up to the process: the loop does none of it, and no process gets more. */
static void test_many_events_of_a_process(void **state)
{
	struct fixture f;
	pid_t pid, other;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	pid = make_vm(&f);
	other = make_vm(&f);
	for (int i = 0; i < 64; i++) {
		told.event(told.userdata, HOST_VM_DESTROYED, pid);
	}
	told.event(told.userdata, HOST_VM_CREATED, other);
	run_until_found(&f, pid);
	run_until_found(&f, other);
	assert_int_equal(told.in_loop, 0);
	/* One that began with the first event, one after it, the other. */
	assert_in_range(told.in_thread, 2, 3);
	stop(&f);
}

/* A look knows nothing of what was registered since it began, though it ends later. */
static void test_registered_while_looked_at(void **state)
{
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	pid = make_vmm(&f);
	told.last = true;
	told.event(told.userdata, HOST_VM_DESTROYED, pid);
	sem_wait(&told.looked);
	assert_int_equal(register_vm(&f, pid, "a", &vm), 0);
	sem_post(&told.go_on);

	/* Those come one after the other. */
	pid = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	run_until_found(&f, pid);
	assert_ptr_equal(manager_find_vm(f.manager, "a"), vm);
	assert_int_equal(f.removed, 0);
	stop(&f);
}

/* A look that waits until the test has it go on. */
static int look_for_long(struct backend *backend, int pidfd, pid_t pid, int numbers[])
{
	while (sem_wait(&told.go_on) < 0)
		;
	return -ENOTTY;
}

/* Looks take as long as others like, and splitting waits for none of them, however many there are. */
static void test_splitting_beside_looks(void **state)
{
	struct vm *vm, *other;
	struct fixture f;
	pid_t pid;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	vm = add_vm(&f, "a");
	pid = make_vmm(&f);
	told.list_vms = look_for_long;
	f.registered = false;
	told.event(told.userdata, HOST_VM_DESTROYED, pid);
	for (int i = 0; i < 8; i++)
		assert_int_equal(
			manager_register(f.manager, pid, NULL, REGISTER_TOLD, -1, &f, &other), 0);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	assert_false(f.registered);
	for (int i = 0; i < 9; i++)
		sem_post(&told.go_on);
	stop(&f);
}

/* One that is gone as soon as it is looked at is not found over and over. */
static void test_found_and_gone(void **state)
{
	struct fixture f;
	pid_t pid, other;
	struct vm *first, *vm;

	start_on(&f, SIM_QUICK, wrap_told);
	pid = make_vm(&f);
	begin(&f);
	first = run_until_found(&f, pid);
	while (!info_of(first).surveyed)
		run_once(&f);
	told.no_survey = true;
	pid = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	while (!f.removed)
		run_once(&f);
	told.no_survey = false;
	/* It would be looked at before this one. */
	other = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, other);
	vm = run_until_found(&f, other);
	assert_ptr_equal(manager_next_vm(f.manager, first), vm);
	assert_int_equal(f.removed, 1);
	stop(&f);
}

/*
 * As QEMU does, which makes a VM to see what KVM can do, and closes it: once there is the one
 * that it makes then, there is nothing left to look for.
 */
static void test_tried_first(void **state)
{
	struct fixture f;
	pid_t pid, without;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	pid = make_vm(&f);
	without = make_vmm(&f);
	told.other = without;
	told.event(told.userdata, HOST_VM_CREATED, pid);
	told.event(told.userdata, HOST_VM_DESTROYED, pid);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	/* Of this one there is, and as often would the other be looked at. */
	told.event(told.userdata, HOST_VM_CREATED, without);
	while (told.at_other < 6)
		run_once(&f);
	assert_non_null(manager_next_vm(f.manager, NULL));
	assert_in_range(told.in_thread - told.at_other, 1, 3);
	stop(&f);
}

/* As the VM of @pid, by a process that has a descriptor of it, too. */
static pid_t make_second(struct fixture *f, pid_t pid)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sim_image *image, *second;
	pid_t other = make_vm(f);

	assert_int_equal(sim_image_open(&image, fd, pid, 0), 0);
	assert_int_equal(sim_image_open(&second, fd, other, 0), 0);
	second->id = image->id;
	sim_image_close(image);
	sim_image_close(second);
	close(fd);
	return other;
}

/* A VM of which another process has a descriptor as well is one, and what is said of it holds. */
static void test_listed_twice(void **state)
{
	pid_t pid, other, third;
	struct fixture f;
	struct vm *vm;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	pid = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	vm = run_until_found(&f, pid);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);

	other = make_second(&f, pid);
	told.event(told.userdata, HOST_VM_CREATED, other);
	/* It is looked at after that one. */
	third = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, third);
	assert_ptr_equal(manager_next_vm(f.manager, vm), run_until_found(&f, third));
	assert_int_equal(info_of(vm).stage, VM_STAGE_SPLIT);
	assert_true(manager_survey_vm(f.manager, vm) >= 0);
	while (manager_is_surveying_vm(vm))
		run_once(&f);
	assert_true(vm->progress.survey.held);
	assert_int_equal(vm->progress.survey.holders, 1);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_events_of_a_process),
		cmocka_unit_test(test_registered_while_looked_at),
		cmocka_unit_test(test_splitting_beside_looks),
		cmocka_unit_test(test_tried_first),
		cmocka_unit_test(test_found_and_gone),
		cmocka_unit_test(test_listed_twice),
	};

	return cmocka_run_group_tests_name("manager-found", tests, setup, teardown);
}
