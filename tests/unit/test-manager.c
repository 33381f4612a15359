// SPDX-License-Identifier: GPL-2.0-or-later
/* The manager on the simulated host, with its real loop, threads and clock. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"
#include "host/backend.h"
#include "host/process.h"
#include "host/sim-image.h"
#include "manager.h"
#include "manager-migration.h"
#include "manager-register.h"
#include "manager-table.h"
#include "splitter.h"
#include "unit/child.h"
#include "unit/scratch.h"
#include "vm-store.h"

#define GIB (UINT64_C(1) << 30)

static char path[] = "/tmp/test-manager.XXXXXX";
static char dir[] = SCRATCH_TEMPLATE;

struct fixture {
	sd_event *event;
	struct manager *manager;
	unsigned int states, progress, removed;
	char removed_name[VM_NAME_MAX + 1];
	bool stopped;
	pid_t children[4];
	size_t n_children;
};

static void on_changed(void *userdata, struct vm *vm, enum vm_change what)
{
	struct fixture *f = userdata;

	if (what == VM_CHANGE_STATE)
		f->states++;
	else
		f->progress++;
}

static void on_removed(void *userdata, struct vm *vm)
{
	struct fixture *f = userdata;
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	snprintf(f->removed_name, sizeof(f->removed_name), "%s", info.name);
	f->removed++;
}

static const struct manager_observer observer = {
	.vm_changed = on_changed,
	.vm_removed = on_removed,
};

static void write_config(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* @wrap: puts something between the manager and its backend; NULL: nothing */
static void start_on(struct fixture *f, const char *text,
		     struct backend *(*wrap)(struct backend *backend))
{
	_cleanup_free_ char *error = NULL;
	struct backend *backend;
	struct config *config;

	*f = (struct fixture){};
	write_config(text);
	assert_int_equal(config_load(&config, path, true, &error), 0);
	if (config->backend == CONFIG_BACKEND_SIM)
		assert_int_equal(backend_sim_new(&backend, &config->sim, dir), 0);
	else
		assert_int_equal(backend_kvm_new(&backend), 0);
	if (wrap)
		backend = wrap(backend);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(manager_new(&f->manager, f->event, config, backend), 0);
	manager_set_observer(f->manager, &observer, f);
}

static void start(struct fixture *f, const char *text)
{
	start_on(f, text, NULL);
}

static void stop(struct fixture *f)
{
	manager_free(f->manager);
	sd_event_unref(f->event);
	while (f->n_children) {
		pid_t pid = f->children[--f->n_children];

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* A process to be registered as a VMM. */
static pid_t make_vmm(struct fixture *f)
{
	pid_t pid = child_fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	f->children[f->n_children++] = pid;
	return pid;
}

static struct vm_info info_of(struct vm *vm)
{
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	return info;
}

static void run_once(struct fixture *f)
{
	assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

static struct vm *add_vm(struct fixture *f, const char *name)
{
	struct vm *vm;

	assert_int_equal(manager_register(f->manager, make_vmm(f), name, &vm), 0);
	while (!info_of(vm).surveyed)
		run_once(f);
	return vm;
}

static void run_to_stage(struct fixture *f, struct vm *vm, enum vm_stage stage)
{
	while (info_of(vm).stage != stage)
		run_once(f);
}

static int tell(struct fixture *f, struct vm *vm, enum vm_migration to)
{
	return manager_set_migration(f->manager, vm, to, NULL, NULL);
}

#define SIM_QUICK                                                 \
	"[Budget]\nTlbiLoad=0\nTlbiRate=100000\nTlbiBurst=1000\n" \
	"[Split]\nBackend=sim\n[Sim]\nMemory=8G\nTlbiUSec=1\nBatch=1\n"
#define SIM_STUCK                            \
	"[Budget]\nTlbiLoad=0\nTlbiRate=0\n" \
	"[Split]\nBackend=sim\n[Sim]\nMemory=8G\nTlbiUSec=1000000\nBatch=1\n"

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
	assert_int_equal(manager_register(f.manager, pid, "b", &other), -EEXIST);
	assert_int_equal(manager_register(f.manager, pid, NULL, &other), -EEXIST);
	pid = make_vmm(&f);
	assert_int_equal(manager_register(f.manager, pid, "a", &other), -EEXIST);
	assert_int_equal(manager_register(f.manager, pid, "not good", &other), -EINVAL);
	assert_int_equal(manager_register(f.manager, pid, "", &other), -EINVAL);
	assert_int_equal(manager_register(f.manager, 0, "x", &other), -EINVAL);
	assert_int_equal(manager_register(f.manager, -1, "x", &other), -EINVAL);
	assert_int_equal(manager_register(f.manager, INT32_MAX, "x", &other), -ESRCH);

	assert_int_equal(manager_register(f.manager, pid, NULL, &other), 0);
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
	assert_int_equal(manager_register(f.manager, pid, "x", &vm), -ESRCH);
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

static void on_stopped(void *userdata)
{
	((struct fixture *)userdata)->stopped = true;
}

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
	assert_int_equal(manager_register(f.manager, pid, "c", &vm), -ESHUTDOWN);
	while (!f.stopped)
		run_once(&f);
	stop(&f);
}

/* One that is let go of at once does not keep the others' holds from being released. */
static void test_stopping_an_idle_one_first(void **state)
{
	struct manager_metrics metrics;
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_STUCK);
	add_vm(&f, "idle");
	vm = add_vm(&f, "held");
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	while (f.progress < 3)
		run_once(&f);
	manager_stop(f.manager, on_stopped, &f);
	while (!f.stopped)
		run_once(&f);
	manager_get_metrics(f.manager, &metrics);
	assert_int_equal(metrics.splitter->latency[STEP_RELEASE].count, 1);
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
	for (int i = 0; i < 4; i++)
		assert_int_equal(manager_register(f.manager, make_vmm(&f), NULL, &vm), 0);
	vm = manager_next_vm(f.manager, NULL);
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
	assert_int_equal(manager_register(f.manager, pid, "a", &vm), 0);
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
	char *error = NULL;
	struct host_info host;
	struct fixture f;
	struct vm *vm;

	start(&f, SIM_QUICK);
	vm = add_vm(&f, "a");
	write_config("[Budget]\nTlbiRate=1\nTlbiBurst=1\n[Split]\nBackend=sim\n[Sim]\nBatch=1\n");
	assert_int_equal(manager_reload(f.manager, &error), 0);
	assert_null(error);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.tlbi_rate, 1);
	assert_int_equal(host.tlbi_burst, 1);
	assert_true(host.throttled);
	assert_int_equal(tell(&f, vm, VM_MIGRATION_SCHEDULED), 0);
	assert_true(info_of(vm).eta_usec > 4000 * USEC_PER_SEC);

	/* A bad file changes nothing, and says where. */
	write_config("[Budget]\nTlbiRate=2\nTlbiBurst=none\n");
	assert_true(manager_reload(f.manager, &error) < 0);
	assert_non_null(strstr(error, ":3: TlbiBurst=none: not a number"));
	free(error);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.tlbi_rate, 1);

	/* What is being worked on follows from its next call on. */
	write_config("[Budget]\nTlbiRate=1\n[Split]\nBackend=sim\n[Sim]\nBbmLevel=2\n");
	assert_int_equal(manager_reload(f.manager, NULL), 0);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.bbm_level, 2);
	assert_false(host.throttled);
	run_to_stage(&f, vm, VM_STAGE_SPLIT);
	assert_true(info_of(vm).tlbis < 100);
	assert_int_equal(info_of(vm).blocks_split, 4096);

	write_config("[Split]\nBackend=sim\nBbm=off\n[Sim]\nBbmLevel=2\n");
	assert_int_equal(manager_reload(f.manager, NULL), 0);
	manager_get_host(f.manager, &host);
	assert_int_equal(host.bbm_level, 0);
	assert_true(host.throttled);
	stop(&f);
}

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
	assert_int_equal(manager_register(f.manager, pid, "a", &vm), -EOPNOTSUPP);
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

/* What is a VM of the simulated host, of 512 blocks. */
static void make_image(pid_t pid)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(sim_image_create(fd, pid, 0, GIB, GIB / 512), 0);
	close(fd);
}

/* A VM that nobody registers. */
static pid_t make_vm(struct fixture *f)
{
	pid_t pid = make_vmm(f);

	make_image(pid);
	return pid;
}

/* What the daemon before knew of the VM of @pid. */
static struct vm_store *make_store(pid_t pid)
{
	struct vm_record record = {
		.pid = pid,
		.name = "kept",
		.registered = true,
		.state = VM_STATE_SCHEDULED,
		.stage = VM_STAGE_SPLITTING,
		.scheduled_usec = clock_usec(CLOCK_BOOTTIME),
		.deadline_usec = UINT64_MAX,
	};
	struct vm_store *store;

	assert_int_equal(process_get_start_time(pid, &record.start_time), 0);
	assert_int_equal(vm_store_new(&store, dir), 0);
	assert_int_equal(vm_store_save(store, &record), 0);
	return store;
}

/* The VM of that process, once it is in the table. */
static struct vm *run_until_found(struct fixture *f, pid_t pid)
{
	struct vm *vm;
	char id[32];

	snprintf(id, sizeof(id), "%d.0", (int)pid);
	while (!(vm = manager_find_vm(f->manager, id)))
		run_once(f);
	return vm;
}

/* Once such a host can split it is as if it could have from the start. */
static void assert_late_host_is_used(struct fixture *f, pid_t pid, pid_t other)
{
	struct host_info host;
	struct vm *vm;

	manager_get_host(f->manager, &host);
	assert_true(host.supported);
	assert_false(host.throttled);
	vm = manager_find_vm(f->manager, "kept");
	assert_non_null(vm);
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
		manager_begin(f.manager, make_store(pid), NULL, 0);
		assert_int_equal(manager_register(f.manager, other, "x", &vm), -EOPNOTSUPP);
		assert_null(manager_next_vm(f.manager, NULL));

		late_host_is_there = true;
		if (by_reload)
			assert_int_equal(manager_reload(f.manager, NULL), 0);
		else
			assert_int_equal(manager_register(f.manager, make_vmm(&f), "x", &vm), 0);
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
	assert_int_equal(manager_reload(f.manager, NULL), 0);
	manager_begin(f.manager, make_store(make_vm(&f)), NULL, 0);
	vm = manager_find_vm(f.manager, "kept");
	assert_non_null(vm);

	for (int i = 0; i < 4; i++) {
		late_host_is_there = i % 2;
		assert_int_equal(manager_reload(f.manager, NULL), 0);
	}
	assert_ptr_equal(manager_find_vm(f.manager, "kept"), vm);
	assert_null(manager_next_vm(f.manager, vm));
	stop(&f);
}

/*
 * The simulated host, of which the test tells what happens. Looks at processes are
 * counted, and one in a thread that is not the loop's can be made to last; as can be a
 * call that splits, whatever interrupts it.
 */
static struct {
	struct backend_ops ops;
	int (*list_vms)(struct backend *backend, int pidfd, pid_t pid, int numbers[]);
	host_event_fn event;
	void *userdata;
	pthread_t loop;
	atomic_uint in_loop, in_thread;
	atomic_int other; /* of which looks are counted apart */
	atomic_uint at_other;
	atomic_bool last;
	sem_t looked, go_on;
	int (*split)(struct backend_vm *vm, struct split_call *call);
	atomic_bool no_end;
	sem_t splits, end;
	int (*survey)(struct backend_vm *vm, struct survey *ret);
	atomic_bool no_survey;
} told;

static int told_watch(struct backend *backend, sd_event *event, host_event_fn fn, void *userdata)
{
	told.event = fn;
	told.userdata = userdata;
	return 0;
}

static int told_list_vms(struct backend *backend, int pidfd, pid_t pid,
			 int numbers[BACKEND_VMS_MAX])
{
	int n = told.list_vms(backend, pidfd, pid, numbers);

	if (pthread_equal(pthread_self(), told.loop)) {
		told.in_loop++;
		return n;
	}
	told.in_thread++;
	told.at_other += pid == told.other;
	if (atomic_exchange(&told.last, false)) {
		sem_post(&told.looked);
		sem_wait(&told.go_on);
	}
	return n;
}

static int told_split(struct backend_vm *vm, struct split_call *call)
{
	if (call->flags & BACKEND_SPLIT && atomic_exchange(&told.no_end, false)) {
		sem_post(&told.splits);
		while (sem_wait(&told.end) < 0)
			;
	}
	return told.split(vm, call);
}

static int told_survey(struct backend_vm *vm, struct survey *ret)
{
	return told.no_survey ? -EIO : told.survey(vm, ret);
}

static struct backend *wrap_told(struct backend *backend)
{
	told.ops = *backend->ops;
	told.list_vms = told.ops.list_vms;
	told.ops.list_vms = told_list_vms;
	told.ops.watch = told_watch;
	told.split = told.ops.split;
	told.ops.split = told_split;
	told.no_end = false;
	told.survey = told.ops.survey;
	told.ops.survey = told_survey;
	told.no_survey = false;
	assert_int_equal(sem_init(&told.splits, 0, 0), 0);
	assert_int_equal(sem_init(&told.end, 0, 0), 0);
	told.loop = pthread_self();
	told.in_loop = 0;
	told.in_thread = 0;
	told.other = 0;
	told.at_other = 0;
	told.last = false;
	assert_int_equal(sem_init(&told.looked, 0, 0), 0);
	assert_int_equal(sem_init(&told.go_on, 0, 0), 0);
	backend->ops = &told.ops;
	return backend;
}

/* What looking takes is up to the process: the loop does none of it, and no process gets more. */
static void test_many_events_of_a_process(void **state)
{
	struct fixture f;
	pid_t pid, other;

	start_on(&f, SIM_QUICK, wrap_told);
	manager_begin(f.manager, NULL, NULL, 0);
	pid = make_vm(&f);
	other = make_vm(&f);
	for (int i = 0; i < 64; i++) {
		told.event(told.userdata, HOST_VM_DESTROYED, pid);
		told.event(told.userdata, HOST_DIRTY_LOG, pid);
	}
	told.event(told.userdata, HOST_VM_CREATED, other);
	run_until_found(&f, pid);
	run_until_found(&f, other);
	assert_int_equal(told.in_loop, 0);
	/* One that began with the first event, one for what came after, and the other's. */
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
	manager_begin(f.manager, NULL, NULL, 0);
	pid = make_vmm(&f);
	told.last = true;
	told.event(told.userdata, HOST_VM_DESTROYED, pid);
	sem_wait(&told.looked);
	assert_int_equal(manager_register(f.manager, pid, "a", &vm), 0);
	sem_post(&told.go_on);

	/* Those come one after the other. */
	pid = make_vm(&f);
	told.event(told.userdata, HOST_VM_CREATED, pid);
	run_until_found(&f, pid);
	assert_ptr_equal(manager_find_vm(f.manager, "a"), vm);
	assert_int_equal(f.removed, 0);
	stop(&f);
}

/* It is of no concern to the VMs of other processes. */
static void test_dirty_logging_of_a_process(void **state)
{
	struct fixture f;
	struct vm *a, *b;

	start_on(&f, SIM_QUICK, wrap_told);
	manager_begin(f.manager, NULL, NULL, 0);
	a = add_vm(&f, "a");
	b = add_vm(&f, "b");
	told.event(told.userdata, HOST_DIRTY_LOG, info_of(a).pid);
	assert_true(manager_is_surveying_vm(a));
	assert_false(manager_is_surveying_vm(b));
	while (manager_is_surveying_vm(a))
		run_once(&f);
	/* Of one that cannot be told. */
	told.event(told.userdata, HOST_DIRTY_LOG, 0);
	assert_true(manager_is_surveying_vm(a));
	assert_true(manager_is_surveying_vm(b));
	stop(&f);
}

/* One that is gone as soon as it is looked at is not found over and over. */
static void test_found_and_gone(void **state)
{
	struct fixture f;
	pid_t pid, other;
	struct vm *vm;

	start_on(&f, SIM_QUICK, wrap_told);
	manager_begin(f.manager, NULL, NULL, 0);
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
	assert_ptr_equal(manager_next_vm(f.manager, NULL), vm);
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
	manager_begin(f.manager, NULL, NULL, 0);
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

static void replace_image(pid_t pid, bool create)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	sim_image_remove(fd, pid, 0);
	if (create)
		assert_int_equal(sim_image_create(fd, pid, 0, GIB, GIB / 512), 0);
	close(fd);
}

/* A VM, "a", that is in the middle of a call, whatever happens, until told.end. */
static pid_t start_in_a_call(struct fixture *f, struct vm_store *store)
{
	struct vm *vm;

	start_on(f, SIM_STUCK, wrap_told);
	manager_begin(f->manager, store, NULL, 0);
	vm = add_vm(f, "a");
	told.no_end = true;
	assert_int_equal(tell(f, vm, VM_MIGRATION_SCHEDULED), 0);
	while (f->progress < 3)
		run_once(f);
	while (sd_event_run(f->event, 0) > 0)
		;
	sem_wait(&told.splits);
	return info_of(vm).pid;
}

/* One that is not wanted, and not let go of yet: it is not found, but what comes in its place is. */
static void test_unregistered_in_the_middle_of_a_call(void **state)
{
	struct fixture f;
	unsigned int n;
	pid_t pid;

	pid = start_in_a_call(&f, NULL);
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
	manager_begin(f.manager, NULL, NULL, 0);
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
	struct vm_store *store;

	assert_int_equal(vm_store_new(&store, dir), 0);
	assert_int_equal(vm_store_load(store, take_record, &kept), 0);
	vm_store_free(store);
	return kept;
}

/* Its first life, "a", is in the middle of a call that takes minutes when it begins the next one. */
static struct vm *register_twice(struct fixture *f)
{
	struct vm_store *store;
	struct vm *vm;
	pid_t pid;

	start(f, SIM_STUCK);
	assert_int_equal(vm_store_new(&store, dir), 0);
	manager_begin(f->manager, store, NULL, 0);
	vm = add_vm(f, "a");
	pid = info_of(vm).pid;
	assert_int_equal(tell(f, vm, VM_MIGRATION_SCHEDULED), 0);
	while (f->progress < 3)
		run_once(f);
	assert_int_equal(manager_unregister(f->manager, "a"), 0);
	/* Also if it is killed now. */
	assert_true(load_record().unwanted);
	assert_int_equal(manager_register(f->manager, pid, "b", &vm), 0);
	return vm;
}

/* The second life may be let go of before the first: what is kept is of the second. */
static void test_record_of_one_registered_again(void **state)
{
	struct vm_record kept;
	struct fixture f;

	(void)register_twice(&f);
	manager_stop(f.manager, on_stopped, &f);
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
	struct vm_store *store;
	struct fixture f;
	struct vm *vm;
	pid_t pid;

	start_on(&f, SIM_QUICK, wrap_told);
	assert_int_equal(vm_store_new(&store, dir), 0);
	manager_begin(f.manager, store, NULL, 0);
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
	struct vm_store *store;
	struct fixture f;
	siginfo_t si;
	pid_t pid;

	assert_int_equal(vm_store_new(&store, dir), 0);
	pid = start_in_a_call(&f, store);
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

static int setup(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_registering),
		cmocka_unit_test(test_registering_a_zombie),
		cmocka_unit_test(test_vmm_exits),
		cmocka_unit_test(test_stopping_interrupts),
		cmocka_unit_test(test_stopping_an_idle_one_first),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_stopping_with_nothing_to_do),
		cmocka_unit_test(test_freeing_in_the_middle),
		cmocka_unit_test(test_registered_again_at_once),
		cmocka_unit_test(test_deadline_and_rate),
		cmocka_unit_test(test_reloading),
		cmocka_unit_test(test_unsupported_host),
		cmocka_unit_test(test_host_that_is_late),
		cmocka_unit_test(test_host_that_comes_and_goes),
		cmocka_unit_test(test_many_events_of_a_process),
		cmocka_unit_test(test_registered_while_looked_at),
		cmocka_unit_test(test_tried_first),
		cmocka_unit_test(test_unwanted_and_lost),
		cmocka_unit_test(test_dirty_logging_of_a_process),
		cmocka_unit_test(test_found_and_gone),
		cmocka_unit_test(test_unregistered_in_the_middle_of_a_call),
		cmocka_unit_test(test_record_of_one_registered_again),
		cmocka_unit_test(test_record_of_one_unregistered_again),
		cmocka_unit_test(test_unwanted_and_gone),
		cmocka_unit_test(test_gone_before_it_is_let_go_of),
	};

	int failed;

	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	failed = cmocka_run_group_tests_name("manager", tests, setup, teardown);
	scratch_remove(dir);
	return failed;
}
