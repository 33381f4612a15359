/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A manager on the simulated host, with its real loop, threads and clock. */
#ifndef MANAGER_FIXTURE_H
#define MANAGER_FIXTURE_H

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

#include "conf/conf.h"
#include "host/backend.h"
#include "host/process.h"
#include "host/sim-image.h"
#include "manager/manager.h"
#include "manager/manager-migration.h"
#include "manager/manager-names.h"
#include "manager/manager-register.h"
#include "manager/manager-reload.h"
#include "manager/manager-table.h"
#include "splitting/splitter.h"
#include "unit/child.h"
#include "unit/scratch.h"
#include "store/vm-store.h"

#define GIB (UINT64_C(1) << 30)

static char path[] = "/tmp/test-manager.XXXXXX";
static char dir[] = SCRATCH_TEMPLATE;

struct fixture {
	sd_event *event;
	struct manager *manager;
	unsigned int states, progress, removed;
	char removed_name[VM_NAME_MAX + 1];
	/* what the last registration has come to, once it has ended */
	bool registered;
	int result;
	struct vm *vm;
	bool stopped;
	/* what the last reading of the configuration has come to, and which that was for */
	uint64_t reloaded;
	char error[256];
	pid_t children[4];
	size_t n_children;
};

static inline void on_changed(void *userdata, struct vm *vm, enum vm_change what)
{
	struct fixture *f = userdata;

	if (what == VM_CHANGE_STATE)
		f->states++;
	else
		f->progress++;
}

static inline void on_removed(void *userdata, struct vm *vm)
{
	struct fixture *f = userdata;
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	snprintf(f->removed_name, sizeof(f->removed_name), "%s", info.name);
	f->removed++;
}

static inline void on_registered(void *userdata, void *caller, int r, struct vm *vm)
{
	struct fixture *f = userdata;

	assert_ptr_equal(caller, f);
	f->registered = true;
	f->result = r;
	f->vm = vm;
}

static inline void on_reloaded(void *userdata, uint64_t number, int r, const char *error)
{
	struct fixture *f = userdata;

	f->reloaded = number;
	f->result = r;
	snprintf(f->error, sizeof(f->error), "%s", r < 0 ? error : "");
}

static const struct manager_observer observer = {
	.reloaded = on_reloaded,
	.vm_registered = on_registered,
	.vm_changed = on_changed,
	.vm_removed = on_removed,
};

static inline void write_config(const char *text)
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
		assert_int_equal(backend_kvm_new(&backend, "/nonexistent"), 0);
	if (wrap)
		backend = wrap(backend);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(manager_new(&f->manager, f->event, config, backend), 0);
	manager_set_observer(f->manager, &observer, f);
}

static inline void start(struct fixture *f, const char *text)
{
	start_on(f, text, NULL);
}

static inline void stop(struct fixture *f)
{
	manager_free(f->manager);
	sd_event_unref(f->event);
	while (f->n_children) {
		pid_t pid = f->children[--f->n_children];

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static inline void run_once(struct fixture *f)
{
	assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

/* The configuration, until it is in force. */
static inline int reload(struct fixture *f)
{
	uint64_t number = manager_reload(f->manager);

	while (f->reloaded < number)
		run_once(f);
	return f->result;
}

/* What daemons keep in the folder of this test. */
static inline struct vm_store *open_store(void)
{
	struct vm_store *store;

	assert_int_equal(vm_store_new(&store, dir), 0);
	return store;
}

/*
 * Begins to look at all processes. What is kept of a VM that there never was is dropped once that has
 * ended.
 */
static inline void begin_to_look(struct fixture *f)
{
	struct vm_record marker = { .vm_id = 1, .pid = 1 };
	struct vm_store *store = open_store();

	assert_int_equal(vm_store_save(store, &marker), 0);
	manager_begin(f->manager, store, NULL, 0);
}

/* Until that has ended. */
static inline void run_until_looked(struct fixture *f)
{
	char marker[64];

	snprintf(marker, sizeof(marker), "%s/vms/1", dir);
	while (access(marker, F_OK) == 0)
		run_once(f);
}

/* From then on the manager does only what the test has it do. */
static inline void begin(struct fixture *f)
{
	begin_to_look(f);
	run_until_looked(f);
}

/* A process to be registered as a VMM. */
static inline pid_t make_vmm(struct fixture *f)
{
	pid_t pid = child_fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	f->children[f->n_children++] = pid;
	return pid;
}

static inline struct vm_info info_of(struct vm *vm)
{
	struct vm_info info;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	return info;
}

/* Once it has come to an end, be it at once. */
static inline int register_vm(struct fixture *f, pid_t pid, const char *name, struct vm **ret)
{
	int r;

	f->registered = false;
	r = manager_register(f->manager, pid, name, REGISTER_TOLD, -1, f, ret);
	if (r != 0)
		return r < 0 ? r : 0;
	while (!f->registered)
		run_once(f);
	*ret = f->vm;
	return f->result;
}

static inline struct vm *add_vm(struct fixture *f, const char *name)
{
	struct vm *vm;

	assert_int_equal(register_vm(f, make_vmm(f), name, &vm), 0);
	while (!info_of(vm).surveyed)
		run_once(f);
	return vm;
}

static inline void run_to_stage(struct fixture *f, struct vm *vm, enum vm_stage stage)
{
	while (info_of(vm).stage != stage)
		run_once(f);
}

static inline int tell(struct fixture *f, struct vm *vm, enum vm_migration to)
{
	return manager_set_migration(f->manager, vm, to, NULL, NULL);
}

#define SIM_QUICK                                                 \
	"[Budget]\nTlbiLoad=0\nTlbiRate=100000\nTlbiBurst=1000\n" \
	"[Split]\nBackend=sim\n[Sim]\nMemory=8G\nTlbiUSec=1\nBatch=1\n"
#define SIM_STUCK                            \
	"[Budget]\nTlbiLoad=0\nTlbiRate=0\n" \
	"[Split]\nBackend=sim\n[Sim]\nMemory=8G\nTlbiUSec=1000000\nBatch=1\n"

static inline void on_stopped(void *userdata)
{
	((struct fixture *)userdata)->stopped = true;
}

/* What is a VM of the simulated host, of 512 blocks. */
static inline void make_image(pid_t pid)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(sim_image_create(fd, pid, 0, GIB, GIB / 512), 0);
	close(fd);
}

/* A VM that nobody registers. */
static inline pid_t make_vm(struct fixture *f)
{
	pid_t pid = make_vmm(f);

	make_image(pid);
	return pid;
}

/* The VM of that process, once it is in the table. */
static inline struct vm *run_until_found(struct fixture *f, pid_t pid)
{
	struct vm *vm;
	char id[32];

	snprintf(id, sizeof(id), "%d.0", (int)pid);
	while (!(vm = manager_find_vm(f->manager, id)))
		run_once(f);
	return vm;
}

/* The folder and the configuration that they have. */
static inline int setup(void **state)
{
	int fd = mkdtemp(dir) ? mkstemp(path) : -1;

	return fd < 0 ? -1 : close(fd);
}

static inline int teardown(void **state)
{
	scratch_remove(dir);
	return unlink(path);
}

#endif /* MANAGER_FIXTURE_H */
