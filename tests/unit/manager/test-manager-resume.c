// SPDX-License-Identifier: GPL-2.0-or-later
/* What one daemon leaves to the next, whatever comes in between; and which VM is which. */
#include "host/sim-splitter.h"
#include "manager/manager-private.h"
#include "unit/told-host.h"

/* Whether there is too little of something to read records, and splitters that are kept no longer since. */
static bool lacking;
static unsigned int forgotten;

int __real_vm_store_load(struct vm_store *s, bool (*found)(void *, const struct vm_record *),
			 void *userdata);
int __wrap_vm_store_load(struct vm_store *s, bool (*found)(void *, const struct vm_record *),
			 void *userdata);
int __real_vm_store_read(struct vm_store *s, uint64_t vm_id, struct vm_record *ret);
int __wrap_vm_store_read(struct vm_store *s, uint64_t vm_id, struct vm_record *ret);
void __real_fd_store_remove(struct notify *notify, uint64_t vm_id);
void __wrap_fd_store_remove(struct notify *notify, uint64_t vm_id);

int __wrap_vm_store_load(struct vm_store *s, bool (*found)(void *, const struct vm_record *),
			 void *userdata)
{
	return lacking ? -ENFILE : __real_vm_store_load(s, found, userdata);
}

int __wrap_vm_store_read(struct vm_store *s, uint64_t vm_id, struct vm_record *ret)
{
	return lacking ? -ENFILE : __real_vm_store_read(s, vm_id, ret);
}

void __wrap_fd_store_remove(struct notify *notify, uint64_t vm_id)
{
	forgotten++;
	__real_fd_store_remove(notify, vm_id);
}

static bool take_record(void *userdata, const struct vm_record *record)
{
	struct vm_record *kept = userdata;

	assert_int_equal(kept->pid, 0);
	*kept = *record;
	return true;
}

static struct vm_record load_record(void)
{
	struct vm_record kept = {};
	struct vm_store *store;

	assert_int_equal(vm_store_new(&store, dir), 0);
	assert_int_equal(vm_store_load(store, take_record, &kept), 0);
	vm_store_free(store);
	return kept;
}

/* Until no job is under way. */
static void settle(struct fixture *f)
{
	struct manager_metrics metrics;

	do {
		while (sd_event_run(f->event, 0) > 0)
			;
		manager_get_metrics(f->manager, &metrics);
		if (metrics.workers.running || metrics.workers.queued)
			run_once(f);
	} while (metrics.workers.running || metrics.workers.queued);
}

/* A VM that a daemon has found, and was told of that it is going to migrate; that has ended since. */
static pid_t leave_a_schedule(struct fixture *f)
{
	struct vm *vm;
	pid_t pid;

	start(f, SIM_QUICK);
	pid = make_vm(f);
	manager_begin(f->manager, open_store(), NULL, 0);
	vm = run_until_found(f, pid);
	assert_int_equal(tell(f, vm, VM_MIGRATION_SCHEDULED), 0);
	f->manager = manager_free(f->manager);
	assert_int_equal(load_record().state, VM_STATE_SCHEDULED);
	return pid;
}

/* What a daemon has not come to see is not what there is not. */
static void test_stopped_before_it_is_found(void **state)
{
	struct fixture before, f;

	(void)leave_a_schedule(&before);
	start(&f, SIM_QUICK);
	manager_begin(f.manager, open_store(), NULL, 0);
	manager_stop(f.manager, on_stopped, &f);
	while (!f.stopped)
		run_once(&f);
	settle(&f);
	assert_int_equal(load_record().state, VM_STATE_SCHEDULED);
	stop(&f);
	stop(&before);
}

/* What is known of one that the table has no room for is known once it has. */
static void test_no_room_at_first(void **state)
{
	struct fixture before, f;
	pid_t pid;

	pid = leave_a_schedule(&before);
	start_on(&f, SIM_QUICK, wrap_told);
	f.manager->n_vms = MANAGER_VMS_MAX;
	manager_begin(f.manager, open_store(), NULL, 0);
	settle(&f);
	assert_null(manager_next_vm(f.manager, NULL));
	f.manager->n_vms = 0;
	told.event(told.userdata, HOST_VM_CREATED, pid);
	assert_int_equal(info_of(run_until_found(&f, pid)).migration, VM_MIGRATION_SCHEDULED);
	stop(&f);
	stop(&before);
}

/*
 * Whether the VM is meant by the id of its process where what is kept of it has that process start by
 * so much earlier; @kept: and has it at all.
 */
static bool is_meant_by_pid(uint64_t earlier, bool kept)
{
	struct vm_store *store = open_store();
	struct fixture before, f;
	struct vm_record record;
	uint64_t start_time;
	char text[16];
	pid_t pid;
	bool is;

	pid = leave_a_schedule(&before);
	record = load_record();
	start_time = process_find_start(pid);
	assert_true(record.start_time == start_time);
	record.start_time = kept ? start_time - earlier : 0;
	assert_int_equal(vm_store_save(store, &record), 0);
	start(&f, SIM_QUICK);
	manager_begin(f.manager, store, NULL, 0);
	(void)run_until_found(&f, pid);
	snprintf(text, sizeof(text), "%d", (int)pid);
	is = manager_find_vm(f.manager, text) != NULL;
	f.manager = manager_free(f.manager);
	assert_true(load_record().start_time == start_time - earlier);
	stop(&f);
	stop(&before);
	return is;
}

static void test_its_own_pid(void **state)
{
	assert_true(is_meant_by_pid(0, true));
}

/* A process that has got the id since is not the VM's. */
static void test_pid_used_again(void **state)
{
	assert_false(is_meant_by_pid(1, true));
}

/* What an older daemon has not kept begins with the process that there is. */
static void test_older_record(void **state)
{
	assert_true(is_meant_by_pid(0, false));
}

/* As the process makes it that hands it over, of its VM with that number. */
static int make_splitter(pid_t pid, int number)
{
	int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	struct sim_splitter_name name = { .pid = pid, .number = number };
	struct sim_image *image;

	assert_int_equal(sim_image_open(&image, folder, pid, number), 0);
	name.id = image->id;
	sim_image_close(image);
	fd = sim_splitter_make(folder, &name);
	assert_true(fd >= 0);
	close(folder);
	return fd;
}

/* What that comes to, by the word of @teller. */
static int hand_over(struct fixture *f, pid_t pid, int number, int64_t teller)
{
	struct vm *vm;

	f->registered = false;
	assert_int_equal(manager_register(f->manager, pid, NULL, teller, make_splitter(pid, number),
					  f, &vm),
			 0);
	while (!f->registered)
		run_once(f);
	return f->result;
}

/* A splitter that was handed over, and may hold, is not what a VM is remembered by that is not wanted. */
static void test_handed_over_in_vain(void **state)
{
	struct fixture before, f;
	struct vm *vm;
	pid_t pid;

	start(&before, SIM_QUICK);
	pid = make_vm(&before);
	manager_begin(before.manager, open_store(), NULL, 0);
	vm = run_until_found(&before, pid);
	assert_int_equal(manager_unregister(before.manager, info_of(vm).name), 0);
	before.manager = manager_free(before.manager);

	start_on(&f, SIM_QUICK, wrap_told);
	told.refuses = EPERM;
	manager_begin(f.manager, open_store(), NULL, 0);
	f.manager->n_vms = MANAGER_VMS_MAX;
	assert_int_equal(hand_over(&f, pid, 0, REGISTER_TOLD), -EUSERS);
	f.manager->n_vms = 0;
	assert_true(TAILQ_EMPTY(&f.manager->unwanted));
	stop(&f);
	stop(&before);
}

/* Two that a process hands over are called differently. */
static void test_two_handed_over(void **state)
{
	struct vm *vms[2];
	struct fixture f;
	pid_t pid;

	start(&f, SIM_QUICK);
	pid = make_vmm(&f);
	for (int i = 0; i < 2; i++) {
		int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(sim_image_create(folder, pid, i, GIB, GIB / 512), 0);
		close(folder);
		assert_int_equal(hand_over(&f, pid, i, REGISTER_TOLD), 0);
		vms[i] = f.vm;
	}
	assert_string_not_equal(vms[0]->id, vms[1]->id);
	for (int i = 0; i < 2; i++)
		assert_ptr_equal(manager_find_vm(f.manager, vms[i]->id), vms[i]);
	stop(&f);
}

static int scan_nothing(struct backend *backend, int (*found)(void *userdata, pid_t pid),
			void *userdata)
{
	return 0;
}

static struct backend *wrap_blind(struct backend *backend)
{
	backend = wrap_told(backend);
	told.ops.scan = scan_nothing;
	return backend;
}

/*
 * What may not be looked into hands over a splitter, to each daemon anew: until then what is known of it
 * stays, as long as its process is there.
 */
static void test_not_found_but_handed_over(void **state)
{
	struct fixture before, f;
	pid_t pid;

	pid = leave_a_schedule(&before);
	start_on(&f, SIM_QUICK, wrap_blind);
	begin(&f);
	assert_int_equal(load_record().state, VM_STATE_SCHEDULED);
	assert_int_equal(hand_over(&f, pid, 0, REGISTER_TOLD), 0);
	assert_int_equal(info_of(f.vm).migration, VM_MIGRATION_SCHEDULED);
	f.manager = manager_free(f.manager);
	stop(&f);

	start_on(&f, SIM_QUICK, wrap_blind);
	begin(&f);
	assert_int_equal(load_record().pid, pid);
	stop(&before);
	told.event(told.userdata, HOST_EVENTS_LOST, 0);
	while (load_record().pid)
		run_once(&f);
	stop(&f);
}

/* Whose it is who may change nothing is told by whom he is, whoever has that id by then. */
static void test_handed_over_by_its_user(void **state)
{
	int64_t uid = (int64_t)getuid();
	struct fixture f;
	char pid[16];

	start(&f, SIM_QUICK);
	assert_int_equal(hand_over(&f, make_vm(&f), 0, REGISTER_TOLD), 0);
	assert_int_equal(info_of(f.vm).uid, uid);
	assert_true(f.vm->start_time == process_find_start(f.vm->pid));
	assert_int_equal(hand_over(&f, make_vm(&f), 0, uid + 1), 0);
	assert_int_equal(info_of(f.vm).uid, uid + 1);
	/* And the process that has it is not its VMM. */
	snprintf(pid, sizeof(pid), "%d", (int)f.vm->pid);
	assert_null(manager_find_vm(f.manager, pid));
	assert_int_equal(hand_over(&f, make_vm(&f), 0, uid), 0);
	snprintf(pid, sizeof(pid), "%d", (int)f.vm->pid);
	assert_ptr_equal(manager_find_vm(f.manager, pid), f.vm);
	stop(&f);
}

/*
 * What cannot be read for now is known once it can be: until then its VM is neither another one, nor let go
 * of.
 */
static void test_not_read_at_first(void **state)
{
	int *splitters = malloc(sizeof(*splitters));
	struct fixture before, f;
	pid_t pid;

	assert_non_null(splitters);
	pid = leave_a_schedule(&before);
	splitters[0] = make_splitter(pid, 0);
	start_on(&f, SIM_QUICK, wrap_told);
	lacking = true;
	forgotten = 0;
	manager_begin(f.manager, open_store(), splitters, 1);
	settle(&f);
	assert_int_equal(hand_over(&f, pid, 0, REGISTER_TOLD), -ENFILE);
	assert_null(manager_next_vm(f.manager, NULL));
	assert_int_equal(forgotten, 0);
	lacking = false;
	assert_int_equal(load_record().state, VM_STATE_SCHEDULED);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	assert_int_equal(info_of(run_until_found(&f, pid)).migration, VM_MIGRATION_SCHEDULED);
	/* It is held by the other splitter by now. */
	assert_int_equal(forgotten, 1);
	stop(&f);
	stop(&before);
}

static atomic_uint releases;

static int release_later(struct backend_vm *vm)
{
	releases++;
	return -EAGAIN;
}

static struct backend *wrap_release(struct backend *backend)
{
	backend = wrap_told(backend);
	told.ops.release = release_later;
	return backend;
}

/* One that cannot be let go of for now keeps nobody: the next daemon does that. */
static void test_stopped_while_a_release_fails(void **state)
{
	struct fixture f;
	struct vm *vm;

	start_on(&f, SIM_QUICK, wrap_release);
	manager_begin(f.manager, open_store(), NULL, 0);
	vm = add_vm(&f, "a");
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	releases = 0;
	assert_int_equal(manager_unregister(f.manager, "a"), 0);
	while (releases < 2)
		run_once(&f);
	manager_stop(f.manager, on_stopped, &f);
	while (!f.stopped)
		run_once(&f);
	assert_true(load_record().unwanted);
	stop(&f);
}

/* Each has a folder of its own: no VM and no record is left by the one before. */
static int set_up_anew(void **state)
{
	strcpy(strrchr(dir, '.'), ".XXXXXX");
	strcpy(strrchr(path, '.'), ".XXXXXX");
	lacking = false;
	return setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stopped_before_it_is_found, set_up_anew,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_room_at_first, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_its_own_pid, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_pid_used_again, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_older_record, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_handed_over_in_vain, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_two_handed_over, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_not_found_but_handed_over, set_up_anew,
						teardown),
		cmocka_unit_test_setup_teardown(test_handed_over_by_its_user, set_up_anew,
						teardown),
		cmocka_unit_test_setup_teardown(test_not_read_at_first, set_up_anew, teardown),
		cmocka_unit_test_setup_teardown(test_stopped_while_a_release_fails, set_up_anew,
						teardown),
	};

	return cmocka_run_group_tests_name("manager-resume", tests, NULL, NULL);
}
