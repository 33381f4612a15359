// SPDX-License-Identifier: GPL-2.0-or-later
/* Which VM a name means, whoever says it. */
#include "unit/manager-fixture.h"

#include "host/qemu-name.h"
#include "manager/manager-index.h"
#include "manager/manager-private.h"

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static void say(struct fixture *f, const struct vm *vm, const char *name, const char *uuid)
{
	struct guest_names names = { .uid = vm->host_vm->uid };

	snprintf(names.name, sizeof(names.name), "%s", name);
	snprintf(names.uuid, sizeof(names.uuid), "%s", uuid);
	manager_on_guest_names(f->manager, vm->pid, &names);
}

static void assert_means(struct fixture *f, const char *text, const struct vm *vm)
{
	assert_ptr_equal(manager_find_vm(f->manager, text), vm);
}

/* Two that nobody has told of: their ids are their names. */
static void set_up_two(struct fixture *f, struct vm *vms[2])
{
	start(f, SIM_QUICK);
	for (int i = 0; i < 2; i++)
		vms[i] = add_vm(f, NULL);
}

/* Told, then machined's, then its own; in whichever order they come. */
static void test_ranks(void **state)
{
	struct fixture f;
	struct vm *vms[2];

	set_up_two(&f, vms);
	say(&f, vms[0], "web", "");
	assert_means(&f, "web", vms[0]);
	manager_on_machine_name(f.manager, vms[1]->pid, "web");
	assert_means(&f, "web", vms[1]);
	assert_string_equal(info_of(vms[0]).name, vms[0]->id);
	assert_string_equal(info_of(vms[0]).claimed, "web");
	assert_int_equal(manager_tell_name(f.manager, vms[0], "web"), 0);
	assert_means(&f, "web", vms[0]);
	assert_string_equal(info_of(vms[1]).name, vms[1]->id);
	assert_null(info_of(vms[0]).claimed);
	assert_int_equal(manager_tell_name(f.manager, vms[1], "web"), -EEXIST);
	/* And it goes by that one name only. */
	say(&f, vms[0], "db", "");
	assert_means(&f, "db", NULL);
	stop(&f);
}

/* Libvirt has systemd-machined call a guest so, and people call it what libvirt does. */
static void test_libvirts(void **state)
{
	struct fixture f;
	struct vm *vms[2];

	set_up_two(&f, vms);
	manager_on_machine_name(f.manager, vms[0]->pid, "qemu-3-debian12B");
	say(&f, vms[0], "debian 12,B", "");
	assert_string_equal(info_of(vms[0]).name, "debian 12,B");
	assert_means(&f, "qemu-3-debian12B", vms[0]);
	/* Which is worth more than another's own word, but not where it only begins like it. */
	say(&f, vms[1], "debian 12,B", "");
	assert_means(&f, "debian 12,B", vms[0]);
	manager_on_machine_name(f.manager, vms[1]->pid, "qemu-4-debian1");
	assert_means(&f, "debian 12,B", vms[0]);
	assert_string_equal(info_of(vms[1]).name, "qemu-4-debian1");
	manager_on_machine_name(f.manager, vms[1]->pid, "qemu-4-debian12B");
	assert_means(&f, "debian 12,B", NULL);
	stop(&f);
}

static void test_uuid(void **state)
{
	struct fixture f;
	struct vm *vms[2];

	set_up_two(&f, vms);
	say(&f, vms[0], "", UUID);
	assert_means(&f, UUID, vms[0]);
	assert_means(&f, "01234567-89AB-cdef-0123-456789ABCDEF", vms[0]);
	say(&f, vms[1], "web", UUID);
	assert_means(&f, UUID, NULL);
	assert_means(&f, "web", vms[1]);
	assert_string_equal(info_of(vms[1]).uuid, UUID);
	/* Another process's, by now, of somebody else. */
	vms[1]->host_vm->uid++;
	manager_on_guest_names(f.manager, vms[1]->pid,
			       &(struct guest_names){ .uid = vms[0]->host_vm->uid, .name = "x" });
	assert_means(&f, "x", NULL);
	stop(&f);
}

/* Whose word is not to be trusted, and by names that are none. */
static void test_no_names(void **state)
{
	struct fixture f;
	struct vm *vms[2];

	set_up_two(&f, vms);
	manager_claim_name(f.manager, vms[0], "web", (uid_t)vms[0]->host_vm->uid + 1);
	assert_means(&f, "web", NULL);
	manager_claim_name(f.manager, vms[0], "web", (uid_t)vms[0]->host_vm->uid);
	assert_means(&f, "web", vms[0]);
	vms[1]->host_vm->uid++;
	say(&f, vms[1], "db", UUID);
	manager_claim_name(f.manager, vms[1], "db", (uid_t)vms[0]->host_vm->uid);
	assert_means(&f, "db", NULL);
	assert_means(&f, UUID, NULL);
	manager_on_machine_name(f.manager, vms[1]->pid, "1.0");
	assert_means(&f, "1.0", NULL);
	stop(&f);
}

/* Whose process has handed it on and ended, and has its id used again, is not what that process has. */
static void test_pid_used_again(void **state)
{
	uint64_t start_time;
	char pid[16], id[32];
	struct fixture f;
	struct vm *vms[2];

	set_up_two(&f, vms);
	snprintf(pid, sizeof(pid), "%d", (int)vms[0]->pid);
	assert_int_equal(process_get_start_time(vms[0]->pid, &start_time), 0);
	assert_true(vms[0]->start_time == start_time);
	assert_means(&f, pid, vms[0]);
	say(&f, vms[0], "web", UUID);

	/* It was another process, before. */
	vms[0]->start_time--;
	assert_means(&f, pid, NULL);
	assert_true(vm_is_meant(vms[0], vms[0]->id));
	assert_false(vm_is_meant(vms[0], pid));
	assert_false(manager_knows_pid(f.manager, vms[0]->pid));
	manager_on_machine_name(f.manager, vms[0]->pid, "qemu-3-db");
	say(&f, vms[0], "db", "");
	assert_means(&f, "qemu-3-db", NULL);
	assert_means(&f, "db", NULL);
	/* What it is called already it still is. */
	assert_means(&f, "web", vms[0]);
	assert_means(&f, vms[0]->id, vms[0]);

	/* And that process has a VM, of the same number. */
	manager_move_vm(f.manager, vms[1], NULL);
	snprintf(id, sizeof(id), "%s", vms[0]->id);
	free(vms[1]->id);
	vms[1]->id = strdup(id);
	vms[1]->pid = vms[0]->pid;
	vms[1]->start_time = start_time;
	manager_move_vm(f.manager, vms[1], &f.manager->vms);
	assert_means(&f, pid, vms[1]);
	assert_means(&f, id, vms[1]);
	assert_true(manager_knows_pid(f.manager, vms[1]->pid));
	/* They are two VMMs', and what both claim is neither's. */
	say(&f, vms[1], "web", "");
	assert_means(&f, "web", NULL);
	/* What is not known, as of an older daemon, is taken for the same. */
	vms[0]->start_time = 0;
	assert_means(&f, pid, NULL);
	stop(&f);
}

/* Register of the process that has the id by now is not of the VM that goes by the name, and has lost it. */
static void test_register_of_another_process(void **state)
{
	struct fixture f;
	struct vm *vm, *other;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "web");
	vm->table.registered = false;
	vm->start_time--;
	assert_int_equal(register_vm(&f, vm->pid, "web", &other), -EEXIST);
	assert_false(vm->table.registered);
	vm->start_time++;
	assert_int_equal(register_vm(&f, vm->pid, "web", &other), 0);
	assert_ptr_equal(other, vm);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_libvirts),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_pid_used_again),
		cmocka_unit_test(test_register_of_another_process),
	};

	return cmocka_run_group_tests_name("manager-names", tests, setup, teardown);
}
