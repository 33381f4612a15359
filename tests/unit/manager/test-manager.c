// SPDX-License-Identifier: GPL-2.0-or-later
/* The manager on the simulated host, with its real loop, threads and clock. */
#include "unit/manager-fixture.h"

#include "manager/manager-private.h"
#include "splitting/work.h"

static void test_whole_life(void **state)
{
	struct host_info host;
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "web");
	assert_int_equal(info_of(vm).blocks, 4096);
	assert_int_equal(info_of(vm).n_memslots, 1);

	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_SCHEDULED);
	assert_int_equal(info_of(vm).stage, VM_STAGE_SPLITTING);
	assert_true(info_of(vm).has_eta);
	assert_true(info_of(vm).eta_usec > 0);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	assert_int_equal(info_of(vm).tlbis, 4096);
	assert_int_equal(info_of(vm).blocks_split, 4096);
	assert_int_equal(info_of(vm).blocks, 0);
	assert_true(info_of(vm).memslots[0].blocks == 0);
	assert_true(f.progress > 4);

	manager_get_host(f.manager, &host);
	assert_int_equal(host.tlbis_total, 4096);
	assert_int_equal(host.blocks_total, 4096);
	assert_true(host.supported);
	assert_null(host.unsupported_reason);
	assert_string_equal(host.backend, "sim");

	assert_int_equal(tell(&f, vm, VM_MIGRATION_ACTIVE), 0);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), -EPROTO);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_FAILED), 0);
	assert_int_equal(info_of(vm).stage, VM_STAGE_RECOVERING);
	run_to_stage(&f, vm, VM_STAGE_WHOLE);
	assert_int_equal(info_of(vm).blocks, 4096);

	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_COMPLETED), 0);
	run_to_stage(&f, vm, VM_STAGE_WHOLE);
	assert_int_equal(info_of(vm).blocks, 0);
	stop(&f);
}

static void test_registering(void **state)
{
	struct fixture f;
	struct vm *vm, *other;
	char name[64];
	pid_t pid;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "a");
	pid = info_of(vm).pid;
	assert_int_equal(register_vm(&f, pid, "b", &other), -EEXIST);
	assert_int_equal(register_vm(&f, pid, NULL, &other), -EEXIST);
	pid = make_vmm(&f);
	assert_int_equal(register_vm(&f, pid, "a", &other), -EEXIST);
	assert_int_equal(register_vm(&f, pid, "not/good", &other), -EINVAL);
	assert_int_equal(register_vm(&f, pid, "", &other), -EINVAL);
	assert_int_equal(register_vm(&f, 0, "x", &other), -EINVAL);
	assert_int_equal(register_vm(&f, -1, "x", &other), -EINVAL);
	assert_int_equal(register_vm(&f, INT32_MAX, "x", &other), -ESRCH);

	assert_int_equal(register_vm(&f, pid, NULL, &other), 0);
	snprintf(name, sizeof(name), "%d.0", (int)pid);
	assert_string_equal(info_of(other).name, name);

	assert_ptr_equal(manager_find_vm(f.manager, "a"), vm);
	assert_ptr_equal(manager_find_vm(f.manager, name), other);
	assert_null(manager_find_vm(f.manager, "b"));
	assert_ptr_equal(manager_next_vm(f.manager, NULL), vm);
	assert_ptr_equal(manager_next_vm(f.manager, vm), other);
	assert_null(manager_next_vm(f.manager, other));

	assert_int_equal(manager_unregister(f.manager, "b"), -ENOENT);
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	assert_int_equal(f.removed, 1);
	assert_string_equal(f.removed_name, "a");
	assert_null(manager_find_vm(f.manager, "a"));
	assert_ptr_equal(manager_next_vm(f.manager, NULL), other);
	stop(&f);
}

/* A process that has ended, but whose parent has not yet looked. */
static void test_registering_a_zombie(void **state)
{
	struct fixture f;
	siginfo_t si;
	struct vm *vm;
	pid_t pid;

	start(&f, SIM_QUICK);
	pid = make_vmm(&f);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_int_equal(register_vm(&f, pid, "x", &vm), -ESRCH);
	stop(&f);
}

static void test_vmm_exits(void **state)
{
	struct fixture f;
	struct vm *vm, *other;
	pid_t pid;

	start(&f, SIM_STUCK);
	vm = add_vm(&f, "dies");
	other = add_vm(&f, "lives");
	pid = info_of(vm).pid;
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_int_equal(tell(&f, other, VM_MIGRATION_SCHEDULED), 0);
	/* Surveyed twice and held, both: now they split. */
	while (f.progress < 6)
		run_once(&f);
	kill(pid, SIGKILL);
	while (!f.removed)
		run_once(&f);
	assert_string_equal(f.removed_name, "dies");
	assert_null(manager_find_vm(f.manager, "dies"));
	assert_int_equal(info_of(other).stage, VM_STAGE_SPLITTING);
	stop(&f);
}

/* What the last survey is to have seen of dirty logging, of all memory or none, and is then looked at. */
static void look_at_log(struct fixture *f, struct vm *vm, bool on, bool early)
{
	const struct memslot_extent all = { .bytes = GIB, .largest = GIB }, none = {};
	struct memslot_sums *sums = &vm->progress.survey.sums;

	sums->logged = on ? all : none;
	sums->other = on ? none : all;
	vm->progress.early = early;
	manager_look_at_log(f->manager, vm);
}

/* Dirty logging that a survey has seen too early is acted on by a later one. */
static void test_logging_seen_early(void **state)
{
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "web");
	look_at_log(&f, vm, true, true);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_NONE);
	assert_true(work_is_surveying(vm->work));
	look_at_log(&f, vm, true, false);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_ACTIVE);
	stop(&f);
}

/*
 * Dirty logging that was seen to end, if too early, behind a migration that has ended is another one's when it
 * begins anew; and if it does not, what could not be recovered can be.
 */
static void test_logging_that_ends_early(void **state)
{
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "web");
	for (int again = 0; again < 2; again++) {
		look_at_log(&f, vm, true, false);
		assert_int_equal(info_of(vm).migration, VM_MIGRATION_ACTIVE);
		/* While it goes on that may be a look between two. */
		look_at_log(&f, vm, false, true);
		assert_true(vm->migration.dirty_logging);
		assert_int_equal(tell(&f, vm, VM_MIGRATION_CANCELLED), 0);
		look_at_log(&f, vm, true, true);
		look_at_log(&f, vm, true, false);
		assert_int_equal(info_of(vm).migration, VM_MIGRATION_CANCELLED);
		look_at_log(&f, vm, false, true);
		assert_false(vm->migration.dirty_logging);
		assert_int_equal(info_of(vm).migration, VM_MIGRATION_CANCELLED);
		run_to_stage(&f, vm, VM_STAGE_WHOLE);
	}
	look_at_log(&f, vm, true, true);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_CANCELLED);
	look_at_log(&f, vm, false, false);
	assert_false(vm->migration.log_ended);
	assert_int_equal(info_of(vm).stage, VM_STAGE_RECOVERING);
	stop(&f);
}

/* Nor is it the end of one that has been told since, and is not logged yet. */
static void test_logging_that_ends_before_another(void **state)
{
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "web");
	look_at_log(&f, vm, true, false);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_CANCELLED), 0);
	look_at_log(&f, vm, false, true);
	assert_true(vm->migration.log_ended);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_ACTIVE), 0);
	look_at_log(&f, vm, false, false);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_ACTIVE);
	stop(&f);
}

/* As when the loop has failed: threads are stopped, all memory is freed. */
static void test_freeing_in_the_middle(void **state)
{
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_STUCK);
	vm = add_vm(&f, "a");
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	while (f.progress < 3)
		run_once(&f);
	stop(&f);
}

static void test_registered_again_at_once(void **state)
{
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start(&f, SIM_STUCK);
	vm = add_vm(&f, "a");
	pid = info_of(vm).pid;
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	assert_int_equal(register_vm(&f, pid, "a", &vm), 0);
	while (!info_of(vm).surveyed)
		run_once(&f);
	assert_int_equal(info_of(vm).stage, VM_STAGE_WHOLE);
	stop(&f);
}

static void test_deadline_and_rate(void **state)
{
	uint64_t deadline = 1, rate = 10;
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "a");
	assert_int_equal(
		manager_set_migration(f.manager, vm, VM_MIGRATION_SCHEDULED, &deadline, &rate), 0);
	assert_true(info_of(vm).late);
	assert_int_equal(info_of(vm).deadline_usec, 1);
	assert_true(info_of(vm).eta_usec > 300 * USEC_PER_SEC);

	/* The same state again: what is not given stays. */
	deadline = UINT64_MAX - 1;
	assert_int_equal(
		manager_set_migration(f.manager, vm, VM_MIGRATION_SCHEDULED, &deadline, NULL), 0);
	assert_false(info_of(vm).late);
	assert_true(info_of(vm).eta_usec > 300 * USEC_PER_SEC);
	rate = 0;
	assert_int_equal(manager_set_migration(f.manager, vm, VM_MIGRATION_ACTIVE, NULL, &rate), 0);
	assert_int_equal(info_of(vm).deadline_usec, deadline);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);

	/* A new migration knows nothing of the old one's. */
	assert_int_equal(tell(&f, vm, VM_MIGRATION_COMPLETED), 0);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_false(info_of(vm).has_deadline);
	stop(&f);
}

static void test_reloading(void **state)
{
	struct host_info host;
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "a");
	write_config("[Budget]\nTlbiRate=1\nTlbiBurst=1\n[Split]\nBackend=sim\n[Sim]\nBatch=1\n");
	assert_int_equal(reload(&f), 0);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.tlbi_rate, 1);
	assert_int_equal(host.tlbi_burst, 1);
	assert_true(host.throttled);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_true(info_of(vm).eta_usec > 4000 * USEC_PER_SEC);

	/* A bad file changes nothing, and says where. */
	write_config("[Budget]\nTlbiRate=2\nTlbiBurst=none\n");
	assert_true(reload(&f) < 0);
	assert_non_null(strstr(f.error, ":3: TlbiBurst=none: not a number"));
	manager_get_host(f.manager, &host);
	assert_int_equal(host.tlbi_rate, 1);

	/* What is being worked on follows from its next call on. */
	write_config("[Budget]\nTlbiRate=1\n[Split]\nBackend=sim\n[Sim]\nBbmLevel=2\n");
	assert_int_equal(reload(&f), 0);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.bbm_level, 2);
	assert_false(host.throttled);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	assert_true(info_of(vm).tlbis < 100);
	assert_int_equal(info_of(vm).blocks_split, 4096);

	write_config("[Split]\nBackend=sim\nBbm=off\n[Sim]\nBbmLevel=2\n");
	assert_int_equal(reload(&f), 0);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.bbm_level, 0);
	assert_true(host.throttled);
	stop(&f);
}

/* What is asked for while it is being read is one more reading, for all who ask. */
static void test_reloading_meanwhile(void **state)
{
	struct host_info host;
	struct fixture f;

	start(&f, SIM_QUICK);
	assert_int_equal(manager_reload(f.manager), 1);
	assert_int_equal(manager_reload(f.manager), 2);
	assert_int_equal(manager_reload(f.manager), 3);
	write_config("[Budget]\nTlbiRate=7\n[Split]\nBackend=sim\n");
	while (f.reloaded < 1)
		run_once(&f);
	assert_int_equal(f.reloaded, 1);
	while (f.reloaded < 2)
		run_once(&f);
	assert_int_equal(f.reloaded, 3);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.tlbi_rate, 7);
	assert_int_equal(reload(&f), 0);
	assert_int_equal(f.reloaded, 4);
	/* Nobody is told of one whose end does not come. */
	manager_reload(f.manager);
	stop(&f);
	assert_int_equal(f.reloaded, 4);
}

/* One of whom nothing is known but that he has begun it: its end is not looked at before the loop runs. */
static int begin_registration(struct fixture *f, pid_t pid, int64_t teller)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), r;
	struct vm *vm;

	assert_true(fd >= 0);
	r = manager_register(f->manager, pid, NULL, teller, fd, f, &vm);
	if (r < 0)
		close(fd);
	return r;
}

/*
 * Whoever asks and leaves, again and again, has no more under way than whoever stays; what is left is
 * for others, and some of it for who may change something.
 */
static void test_too_many_registrations(void **state)
{
	struct fixture f;
	pid_t pid;

	start(&f, SIM_QUICK);
	pid = make_vmm(&f);
	for (int i = 0; i < REGISTRATIONS_UID_MAX; i++)
		assert_int_equal(begin_registration(&f, pid, 1000), 0);
	assert_int_equal(begin_registration(&f, pid, 1000), -EAGAIN);
	for (int i = REGISTRATIONS_UID_MAX; i < REGISTRATIONS_MAX - REGISTRATIONS_TOLD_MIN; i++)
		assert_int_equal(begin_registration(&f, pid, 2000 + i), 0);
	assert_int_equal(begin_registration(&f, pid, 5000), -EAGAIN);
	for (int i = 0; i < REGISTRATIONS_TOLD_MIN; i++)
		assert_int_equal(begin_registration(&f, pid, REGISTER_TOLD), 0);
	assert_int_equal(begin_registration(&f, pid, REGISTER_TOLD), -EAGAIN);
	/* Each that ends makes room for another one. */
	while (!TAILQ_EMPTY(&f.manager->registrations))
		run_once(&f);
	assert_int_equal(begin_registration(&f, pid, 1000), 0);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_registering),
		cmocka_unit_test(test_registering_a_zombie),
		cmocka_unit_test(test_vmm_exits),
		cmocka_unit_test(test_logging_seen_early),
		cmocka_unit_test(test_logging_that_ends_early),
		cmocka_unit_test(test_logging_that_ends_before_another),
		cmocka_unit_test(test_freeing_in_the_middle),
		cmocka_unit_test(test_registered_again_at_once),
		cmocka_unit_test(test_too_many_registrations),
		cmocka_unit_test(test_deadline_and_rate),
		cmocka_unit_test(test_reloading),
		cmocka_unit_test(test_reloading_meanwhile),
	};

	return cmocka_run_group_tests_name("manager", tests, setup, teardown);
}
