// SPDX-License-Identifier: GPL-2.0-or-later
/* The manager on a host that cannot split, or not yet. */
#include "unit/manager-fixture.h"

/* The real backend, on a host whose kernel cannot split: all others here. */
static void test_unsupported_host(void **state)
{
	struct host_info host;
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start(&f, "[Split]\nBackend=kvm\n");
	manager_get_host(f.manager, &host);
	if (host.supported) {
		stop(&f);
		print_message("# this host's kernel has the eager-split ioctls\n");
		skip();
	}
	assert_string_equal(host.backend, "kvm");
	assert_non_null(host.unsupported_reason);
	assert_true(host.throttled);
	pid = make_vmm(&f);
	assert_int_equal(register_vm(&f, pid, "a", &vm), -EOPNOTSUPP);
	stop(&f);
}

/*
 * The simulated host, which can do nothing as long as it is so: as one where /dev/kvm
 * comes with a module that is loaded late.
 */
static bool late_host_is_there;
static struct backend_ops late_ops;
static void (*sim_probe)(struct backend *backend, struct backend_host *ret);

static void late_probe(struct backend *backend, struct backend_host *ret)
{
	sim_probe(backend, ret);
	if (!late_host_is_there)
		*ret = (struct backend_host){ .reason = "not yet" };
}

static struct backend *wrap_late(struct backend *backend)
{
	late_host_is_there = false;
	late_ops = *backend->ops;
	sim_probe = late_ops.probe;
	late_ops.probe = late_probe;
	backend->ops = &late_ops;
	return backend;
}

/* What the daemon before knew of the VM of @pid. */
static struct vm_store *make_store(pid_t pid, enum vm_state state, uint64_t told_usec)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sim_image *image;
	struct vm_record record = {
		.pid = pid,
		.name = "kept",
		.registered = true,
		.state = state,
		.stage = VM_STAGE_SPLITTING,
		.told_usec = told_usec,
		.deadline_usec = UINT64_MAX,
	};
	struct vm_store *store;

	assert_int_equal(sim_image_open(&image, fd, pid, 0), 0);
	record.vm_id = image->id;
	sim_image_close(image);
	close(fd);
	assert_int_equal(vm_store_new(&store, dir), 0);
	assert_int_equal(vm_store_save(store, &record), 0);
	return store;
}

/* Once such a host can split it is as if it could have from the start. */
static void assert_late_host_is_used(struct fixture *f, pid_t pid, pid_t other)
{
	struct host_info host;
	struct vm *vm;

	manager_get_host(f->manager, &host);
	assert_true(host.supported);
	assert_false(host.throttled);
	/* It is found as any other. */
	while (!(vm = manager_find_vm(f->manager, "kept")))
		run_once(f);
	assert_int_equal(info_of(vm).pid, pid);
	assert_int_equal(info_of(vm).migration, VM_MIGRATION_SCHEDULED);
	run_to_stage(f, vm, VM_STAGE_SPLIT);
	assert_int_equal(info_of(vm).blocks_split, 512);
	/* One a call, and not one a block. */
	assert_true(info_of(vm).tlbis < 10);
	(void)run_until_found(f, other);
}

#define SIM_NO_BREAK                         \
	"[Budget]\nTlbiLoad=0\nTlbiRate=0\n" \
	"[Split]\nBackend=sim\n[Sim]\nMemory=1G\nTlbiUSec=0\nBatch=1\nBbmLevel=2\n"

/* Which shows when a VM is registered, or the configuration is reloaded. */
static void test_host_that_is_late(void **state)
{
	for (int by_reload = 0; by_reload < 2; by_reload++) {
		pid_t pid, other;
		struct fixture f;
		struct vm *vm;

		start_on(&f, SIM_NO_BREAK, wrap_late);
		pid = make_vm(&f);
		other = make_vm(&f);
		manager_begin(f.manager,
			      make_store(pid, VM_STATE_SCHEDULED, clock_usec(CLOCK_BOOTTIME)), NULL,
			      0);
		assert_int_equal(register_vm(&f, other, "x", &vm), -EOPNOTSUPP);
		assert_null(manager_next_vm(f.manager, NULL));

		late_host_is_there = true;
		if (by_reload)
			assert_int_equal(reload(&f), 0);
		else
			assert_int_equal(register_vm(&f, make_vmm(&f), "x", &vm), 0);
		assert_late_host_is_used(&f, pid, other);
		stop(&f);
	}
}

/* One that comes and goes: what is known of a VM is not replaced by what was kept. */
static void test_host_that_comes_and_goes(void **state)
{
	struct fixture f;
	struct vm *vm;

	start_on(&f, SIM_NO_BREAK, wrap_late);
	late_host_is_there = true;
	assert_int_equal(reload(&f), 0);
	manager_begin(f.manager,
		      make_store(make_vm(&f), VM_STATE_SCHEDULED, clock_usec(CLOCK_BOOTTIME)), NULL,
		      0);
	while (!(vm = manager_find_vm(f.manager, "kept")))
		run_once(&f);

	for (int i = 0; i < 4; i++) {
		late_host_is_there = i % 2;
		assert_int_equal(reload(&f), 0);
	}
	assert_ptr_equal(manager_find_vm(f.manager, "kept"), vm);
	assert_null(manager_next_vm(f.manager, vm));
	stop(&f);
}

/* Whether memory has been logged while there was no daemon, nobody has seen: time begins anew. */
static void test_active_before(void **state)
{
	static const enum vm_state states[] = { VM_STATE_SCHEDULED, VM_STATE_ACTIVE };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		uint64_t began = clock_usec(CLOCK_BOOTTIME);
		struct fixture f;
		struct vm *vm;

		start(&f, SIM_NO_BREAK);
		manager_begin(f.manager, make_store(make_vm(&f), states[i], 1), NULL, 0);
		while (!(vm = manager_find_vm(f.manager, "kept")))
			run_once(&f);
		assert_int_equal(vm->migration.told_usec >= began, states[i] == VM_STATE_ACTIVE);
		stop(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unsupported_host),
		cmocka_unit_test(test_active_before),
		cmocka_unit_test(test_host_that_is_late),
		cmocka_unit_test(test_host_that_comes_and_goes),
	};

	return cmocka_run_group_tests_name("manager-host", tests, setup, teardown);
}
