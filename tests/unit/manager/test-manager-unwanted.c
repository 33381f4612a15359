// SPDX-License-Identifier: GPL-2.0-or-later
/* VMs that were unregistered, and the records that are kept of them. */
#include "host/sim-splitter.h"
#include "manager/manager-private.h"
#include "unit/told-host.h"

static void replace_image(pid_t pid, bool create)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	sim_image_remove(fd, pid, 0);
	sim_splitter_tell_all(fd, pid, 0);
	if (create)
		assert_int_equal(sim_image_create(fd, pid, 0, GIB, GIB / 512), 0);
	close(fd);
}

/* One that is not wanted, and not let go of yet: it is not found, but what comes in its place is. */
static void test_unregistered_in_the_middle_of_a_call(void **state)
{
	struct fixture f;
	unsigned int n;
	pid_t pid;

	pid = start_in_a_call(&f);
	assert_int_equal(manager_unregister(f.manager, "a"), 0);

	/* It is looked for again when it has been looked for in vain. */
	n = told.in_thread;
	told.event(told.userdata, HOST_VM_CREATED, pid);
	while (told.in_thread < n + 2)
		run_once(&f);
	assert_null(manager_next_vm(f.manager, NULL));

	replace_image(pid, false);
	n = told.in_thread;
	told.event(told.userdata, HOST_VM_DESTROYED, pid);
	while (told.in_thread < n + 1)
		run_once(&f);
	replace_image(pid, true);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	run_until_found(&f, pid);
	sem_post(&told.end);
	stop(&f);
}

/* That a VM which nobody wants was closed is seen also where the host could not tell. */
static void test_unwanted_and_lost(void **state)
{
	struct fixture f;
	pid_t pid, other;
	struct vm *vm;

	start_on(&f, SIM_QUICK, wrap_told);
	pid = make_vm(&f);
	begin(&f);
	vm = run_until_found(&f, pid);
	while (!info_of(vm).surveyed)
		run_once(&f);
	assert_int_equal(manager_unregister(f.manager, info_of(vm).name), 0);

	replace_image(pid, false);
	other = make_vm(&f);
	told.event(told.userdata, HOST_EVENTS_LOST, 0);
	run_until_found(&f, other);
	/* One that is told of by then is looked at after all of the others. */
	other = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, other);
	run_until_found(&f, other);
	make_image(pid);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	run_until_found(&f, pid);
	stop(&f);
}

/* One that is registered again in vain, as there is no room, stays what it was. */
static void test_no_room_to_be_registered(void **state)
{
	struct fixture f;
	pid_t pid, other;
	struct vm *vm;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	pid = info_of(add_vm(&f, "a")).pid;
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	f.manager->n_vms = MANAGER_VMS_MAX;
	assert_int_equal(register_vm(&f, pid, "b", &vm), -EUSERS);
	f.manager->n_vms = 0;

	told.event(told.userdata, HOST_VM_DESTROYED, pid);
	/* It is looked at after that one. */
	other = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, other);
	vm = run_until_found(&f, other);
	assert_ptr_equal(manager_next_vm(f.manager, NULL), vm);
	stop(&f);
}

static bool take_record(void *userdata, const struct vm_record *record)
{
	struct vm_record *kept = userdata;

	assert_int_equal(kept->pid, 0);
	*kept = *record;
	return true;
}

/* What the next daemon finds, of one VM at the most. */
static struct vm_record load_record(void)
{
	struct vm_record kept = {};
	struct vm_store *store = open_store();

	assert_int_equal(vm_store_load(store, take_record, &kept), 0);
	vm_store_free(store);
	return kept;
}

/* Its first life, "a", is in the middle of a call that takes minutes when it begins the next one. */
static struct vm *register_twice(struct fixture *f)
{
	struct vm *vm;
	pid_t pid;

	start(f, SIM_STUCK);
	begin(f);
	vm = add_vm(f, "a");
	pid = info_of(vm).pid;
	assert_int_equal(tell(f, vm, VM_MIGRATION_SCHEDULED), 0);
	while (f->progress < 3)
		run_once(f);
	assert_int_equal(manager_unregister(f->manager, "a"), 0);
	/* Also if it is killed now. */
	assert_true(load_record().unwanted);
	assert_int_equal(register_vm(f, pid, "b", &vm), 0);
	return vm;
}

/* The second life is let go of before the first: what is kept is of the second. */
static void test_record_of_one_registered_again(void **state)
{
	struct vm_record kept;
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	pid = start_in_a_call(&f);
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	assert_int_equal(register_vm(&f, pid, "b", &vm), 0);
	manager_stop(f.manager, on_stopped, &f);
	while (f.removed < 2)
		run_once(&f);
	while (sd_event_run(f.event, 0) > 0)
		;
	assert_false(f.stopped);
	sem_post(&told.end);
	while (!f.stopped)
		run_once(&f);
	kept = load_record();
	assert_string_equal(kept.name, "b");
	assert_int_equal(kept.state, VM_STATE_NONE);
	stop(&f);
}

/* So is that it is not wanted, after all. */
static void test_record_of_one_unregistered_again(void **state)
{
	struct manager_metrics metrics;
	struct fixture f;

	(void)register_twice(&f);
	assert_int_equal(manager_unregister(f.manager, "b"), 0);
	do {
		run_once(&f);
		manager_get_metrics(f.manager, &metrics);
	} while (!metrics.splitter->latency[STEP_RELEASE].count);
	assert_true(load_record().unwanted);
	stop(&f);
}

/* Nothing is kept of a VM that was not wanted when its VMM is gone. */
static void test_unwanted_and_gone(void **state)
{
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start_on(&f, SIM_QUICK, wrap_told);
	begin(&f);
	vm = add_vm(&f, "a");
	pid = info_of(vm).pid;
	/* So that it is let go of at once. */
	assert_false(manager_is_surveying_vm(vm));
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	assert_int_equal(load_record().pid, pid);
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (load_record().pid)
		run_once(&f);
	stop(&f);
}

/* Nor if that was before it was let go of. */
static void test_gone_before_it_is_let_go_of(void **state)
{
	struct fixture f;
	siginfo_t si;
	pid_t pid;

	pid = start_in_a_call(&f);
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	/* That is before all else; the call has not ended. */
	run_once(&f);
	sem_post(&told.end);
	while (load_record().pid)
		run_once(&f);
	stop(&f);
}

/* What the daemon before knew of the VM of @pid. */
static void keep_record(pid_t pid, bool unwanted)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vm_store *store = open_store();
	struct vm_record record = {
		.pid = pid,
		.name = "kept",
		.unwanted = unwanted,
		.state = VM_STATE_SCHEDULED,
		.told_usec = clock_usec(CLOCK_BOOTTIME),
		.deadline_usec = UINT64_MAX,
	};
	struct sim_image *image;

	assert_int_equal(sim_image_open(&image, fd, pid, 0), 0);
	record.vm_id = image->id;
	sim_image_close(image);
	close(fd);
	assert_int_equal(vm_store_save(store, &record), 0);
	vm_store_free(store);
}

/* A VM of before is registered while the first look has it in hand. */
static struct vm *register_while_looked_at(struct fixture *f, bool unwanted)
{
	struct vm *vm;
	pid_t pid;

	start_on(f, SIM_STUCK, wrap_told);
	pid = make_vm(f);
	keep_record(pid, unwanted);
	told.last = true;
	begin_to_look(f);
	while (!told.in_thread)
		assert_true(sd_event_run(f->event, 1000) >= 0);
	sem_wait(&told.looked);
	assert_int_equal(register_vm(f, pid, "new", &vm), 0);
	return vm;
}

/* What is known of it holds, and is kept. */
static void test_registered_before_found(void **state)
{
	struct fixture f;
	struct vm *vm;

	vm = register_while_looked_at(&f, false);
	assert_string_equal(info_of(vm).name, "new");
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_SCHEDULED);
	sem_post(&told.go_on);
	run_until_looked(&f);
	assert_string_equal(load_record().name, "new");
	assert_int_equal(load_record().state, VM_STATE_SCHEDULED);
	stop(&f);
}

/* It is neither found by that look, nor by the next daemon's. */
static void test_unregistered_before_found(void **state)
{
	struct fixture f;

	(void)register_while_looked_at(&f, false);
	assert_int_equal(manager_unregister(f.manager, "new"), 0);
	sem_post(&told.go_on);
	run_until_looked(&f);
	assert_null(manager_next_vm(f.manager, NULL));
	assert_true(load_record().unwanted);
	stop(&f);
}

/* One that was not wanted is, from then on, and is told nothing of what was before. */
static void test_wanted_before_found(void **state)
{
	struct fixture f;
	struct vm *vm;

	vm = register_while_looked_at(&f, true);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_NONE);
	sem_post(&told.go_on);
	run_until_looked(&f);
	assert_string_equal(load_record().name, "new");
	assert_false(load_record().unwanted);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unwanted_and_lost),
		cmocka_unit_test(test_no_room_to_be_registered),
		cmocka_unit_test(test_unregistered_in_the_middle_of_a_call),
		cmocka_unit_test(test_record_of_one_registered_again),
		cmocka_unit_test(test_record_of_one_unregistered_again),
		cmocka_unit_test(test_unwanted_and_gone),
		cmocka_unit_test(test_gone_before_it_is_let_go_of),
		cmocka_unit_test(test_registered_before_found),
		cmocka_unit_test(test_unregistered_before_found),
		cmocka_unit_test(test_wanted_before_found),
	};

	return cmocka_run_group_tests_name("manager-unwanted", tests, setup, teardown);
}
