// SPDX-License-Identifier: GPL-2.0-or-later
/* Who gets a place in the table when there are few left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "host/backend.h"
#include "manager/manager-index.h"
#include "manager/manager-private.h"
#include "manager/manager-table.h"

struct entry {
	struct backend_vm host_vm;
	struct vm vm;
};

/* A manager that has a table, and nothing else. */
static int setup(void **state)
{
	struct manager *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	TAILQ_INIT(&m->vms);
	m->config = config_new("/nonexistent", false);
	assert_non_null(m->config);
	m->config->trusted_users = (struct config_users){ .uids = { 64055 }, .n = 1 };
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct manager *m = *state;
	struct vm *vm;

	while ((vm = TAILQ_FIRST(&m->vms))) {
		manager_move_vm(m, vm, NULL);
		free(container_of(vm, struct entry, vm));
	}
	config_free(m->config);
	free(m);
	return 0;
}

/* Adds VMs of a user until there is no room for another one, up to @most. How many. */
static size_t fill(struct manager *m, int64_t uid, enum manager_reason reason, size_t most)
{
	size_t n = 0;

	for (; n < most && manager_has_room(m, uid, reason); n++) {
		struct entry *entry = calloc(1, sizeof(*entry));

		assert_non_null(entry);
		entry->host_vm.id = m->n_vms + 1;
		entry->host_vm.uid = uid;
		entry->vm.host_vm = &entry->host_vm;
		manager_move_vm(m, &entry->vm, &m->vms);
		m->n_vms++;
	}
	return n;
}

/* One user leaves 256 places, of which another gets some, and Register all of the rest. */
static void test_users(void **state)
{
	struct manager *m = *state;

	assert_int_equal(fill(m, 70000, MANAGER_FOUND, SIZE_MAX), 3840);
	assert_false(manager_has_room(m, 70000, MANAGER_FOUND));
	assert_int_equal(fill(m, 70001, MANAGER_FOUND, SIZE_MAX), 128);
	assert_false(manager_has_room(m, 70002, MANAGER_FOUND));
	assert_int_equal(fill(m, 70000, MANAGER_WANTED, SIZE_MAX), 128);
	assert_int_equal(m->n_vms, MANAGER_VMS_MAX);
	assert_false(manager_has_room(m, 70100, MANAGER_WANTED));
	assert_false(manager_has_room(m, 70100, MANAGER_KEPT));
}

/* Many users together leave what is for Register. */
static void test_many_users(void **state)
{
	struct manager *m = *state;

	for (int64_t uid = 70000; uid < 70040; uid++)
		fill(m, uid, MANAGER_FOUND, 100);
	assert_int_equal(m->n_vms, 3968);
	assert_int_equal(fill(m, 70100, MANAGER_WANTED, SIZE_MAX), 128);
}

/* Whoever is told to be there may be one user's, all of them. */
static void test_wanted(void **state)
{
	assert_int_equal(fill(*state, 70000, MANAGER_WANTED, SIZE_MAX), 4096);
}

/* And all found ones are where one user has the VMs of orchestration. */
static void test_trusted(void **state)
{
	assert_int_equal(fill(*state, 64055, MANAGER_FOUND, SIZE_MAX), 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trusted, setup, teardown),
	};

	return cmocka_run_group_tests_name("manager-room", tests, NULL, NULL);
}
