// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include <systemd/sd-daemon.h>

#include "backend.h"
#include "conf.h"
#include "fd-store.h"
#include "finder.h"
#include "log.h"
#include "machined.h"
#include "migration.h"
#include "process.h"
#include "qemu-name.h"
#include "splitter.h"
#include "status.h"
#include "vm-store.h"
#include "work.h"
#include "worker.h"

/* Calls in flight at once; they spend from one budget, so few are enough. */
#define N_WORKERS 4

/* How often progress is worth a new line in systemctl status. */
#define STATUS_INTERVAL_NSEC NSEC_PER_SEC

/* How often it is worth being kept. */
#define SAVE_INTERVAL_NSEC NSEC_PER_SEC

TAILQ_HEAD(vm_list, vm);

/**
 * struct manager - the daemon's centre
 * @host: what probe() said
 * @vms: in order of registration
 * @leaving: no longer in the table, but not let go of yet
 * @unwanted: unregistered, so not to be found again as long as they are there
 * @store: for the next daemon, NULL: nowhere
 * @store_failed: that could not be written the last time
 * @budget_timer: for the splitter
 * @status_nsec: when the service manager was told last
 * @started_usec: CLOCK_REALTIME
 * @timeout: for the schedule that nobody has followed up
 * @stopped: see manager_stop()
 * @stop_source: calls it from the loop
 */
struct manager {
	sd_event *event;
	struct config *config;
	struct backend *backend;
	struct backend_host host;
	struct worker_pool *pool;
	struct splitter *splitter;
	struct finder *finder;
	struct machined *machined;
	struct vm_store *store;
	bool store_failed;
	sd_event_source *budget_timer;
	sd_event_source *timeout;

	struct vm_list vms;
	struct vm_list leaving;
	struct vm_list unwanted;
	size_t n_vms;

	uint64_t status_nsec;
	uint64_t started_usec;
	uint64_t vms_registered;
	uint64_t reloads;
	uint64_t reloads_failed;

	const struct manager_observer *observer;
	void *observer_userdata;

	void (*stopped)(void *userdata);
	void *stopped_userdata;
	sd_event_source *stop_source;
};

/* See manager_begin(). */
struct resume {
	struct manager *manager;
	int *pidfds;
	size_t n_pidfds;
};

static void manager_remove_vm(struct manager *m, struct vm *vm, bool gone);
static void manager_arm_timeout(struct manager *m);
static struct vm *manager_find_number(struct manager *m, pid_t pid, int number);
static void manager_look_at_log(struct manager *m, struct vm *vm);
static void manager_forget_vm(struct manager *m, struct vm *vm);
static void manager_pass_name_on(struct manager *m, const char *name);
static void on_machine_name(void *userdata, pid_t pid, const char *name);
static const struct finder_ops finder_ops;
static int manager_handle(struct manager *m, struct vm *vm, enum vm_event event,
			  const struct migration_terms *terms);
static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata);

/* What systemctl status shows. */
static void manager_notify_status(struct manager *m)
{
	char text[STATUS_SIZE];
	struct status status = {};
	const struct vm *vm;

	m->status_nsec = now_nsec(CLOCK_MONOTONIC);
	TAILQ_FOREACH(vm, &m->vms, link)
	{
		struct vm_info info;

		vm_get_info(vm, &info);
		status_add(&status, &info);
	}
	sd_notifyf(0, "STATUS=%s",
		   status_format(text, &status, m->host.supported ? NULL : m->host.reason));
}

/* Whether progress is: it is of no use to tell systemd of each block. */
static bool manager_is_news(const struct manager *m)
{
	return now_nsec(CLOCK_MONOTONIC) - m->status_nsec >= STATUS_INTERVAL_NSEC;
}

static void manager_log_late(struct vm *vm)
{
	uint64_t now = now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC;
	struct vm_info info;

	vm_get_info(vm, &info);
	if (info.deadline_usec <= now || !info.has_eta)
		log_vm_warning(vm, MESSAGE_VM_LATE, "Late: not split, and its deadline has passed");
	else
		log_vm_warning(vm, MESSAGE_VM_LATE,
			       "Late: split in %" PRIu64 " s, and its deadline is in %" PRIu64 " s",
			       info.eta_usec / USEC_PER_SEC,
			       (info.deadline_usec - now) / USEC_PER_SEC);
}

/*
 * For the next daemon
 */

static void manager_save_vm(struct manager *m, struct vm *vm)
{
	struct vm_record record;
	int r;

	if (!m->store)
		return;
	vm->saved_nsec = now_nsec(CLOCK_MONOTONIC);
	vm_record_from_vm(&record, vm);
	record.start_time = vm->start_time;
	r = vm_store_save(m->store, &record);
	/* Once is enough: it will be the same for all. */
	if (r < 0 && !m->store_failed)
		log_warning("Nothing is kept for a restart: %s", strerror(-r));
	m->store_failed = r < 0;
}

/* Counts alone are worth less: now and then. */
static void manager_save_progress(struct manager *m, struct vm *vm)
{
	if (now_nsec(CLOCK_MONOTONIC) - vm->saved_nsec >= SAVE_INTERVAL_NSEC)
		manager_save_vm(m, vm);
}

/* Who has become late, by what another VM gets, or by time alone. */
static void manager_tell_late(struct manager *m)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	{
		if (!vm_note_late(vm))
			continue;
		manager_log_late(vm);
		if (m->observer)
			m->observer->vm_changed(m->observer_userdata, vm, VM_CHANGE_STATE);
	}
}

static void manager_tell(struct manager *m, struct vm *vm, enum vm_change what)
{
	if (what == VM_CHANGE_STATE)
		manager_save_vm(m, vm);
	else
		manager_save_progress(m, vm);
	if (vm_note_late(vm))
		manager_log_late(vm);
	if (m->observer)
		m->observer->vm_changed(m->observer_userdata, vm, what);
	if (what == VM_CHANGE_PROGRESS && !manager_is_news(m))
		return;
	manager_notify_status(m);
	manager_tell_late(m);
}

/*
 * What the splitter needs
 */

static uint64_t on_now(void *userdata)
{
	return now_nsec(CLOCK_MONOTONIC);
}

static int on_budget_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	splitter_on_timer(m->splitter);
	return 0;
}

static void on_set_timer(void *userdata, uint64_t at)
{
	struct manager *m = userdata;
	uint64_t usec;

	/* The calls below fail in a forked child only. */
	if (at == UINT64_MAX) {
		(void)sd_event_source_set_enabled(m->budget_timer, SD_EVENT_OFF);
		return;
	}
	/* Round up: a microsecond early would be for nothing. */
	usec = at / NSEC_PER_USEC + !!(at % NSEC_PER_USEC);
	(void)sd_event_source_set_time(m->budget_timer, usec);
	(void)sd_event_source_set_enabled(m->budget_timer, SD_EVENT_ONESHOT);
}

static void on_submit(void *userdata, struct job *job)
{
	struct manager *m = userdata;

	worker_pool_submit(m->pool, job);
}

static void on_cancel(void *userdata, struct job *job)
{
	struct manager *m = userdata;

	worker_pool_cancel(m->pool, job);
}

static void on_changed(void *userdata, struct vm *vm, enum vm_change what)
{
	struct manager *m = userdata;

	manager_tell(m, vm, what);
	manager_look_at_log(m, vm);
}

static void on_gone(void *userdata, struct vm *vm)
{
	log_vm_info(vm, MESSAGE_VM_GONE, "The VM is gone");
	(void)manager_handle(userdata, vm, VM_EVENT_GONE, NULL);
}

static int on_stopped(sd_event_source *source, void *userdata)
{
	struct manager *m = userdata;

	m->stopped(m->stopped_userdata);
	return 0;
}

/* Once the last VM has been let go of, from the loop. */
static void manager_check_stopped(struct manager *m)
{
	if (!m->stopped || m->stop_source || !TAILQ_EMPTY(&m->vms) || !TAILQ_EMPTY(&m->leaving))
		return;
	/* Without even the memory for that: there is nothing left to wait for. */
	if (sd_event_add_defer(m->event, &m->stop_source, on_stopped, m) < 0)
		m->stopped(m->stopped_userdata);
}

static void on_left(void *userdata, struct vm *vm)
{
	struct manager *m = userdata;

	TAILQ_REMOVE(&m->leaving, vm, link);
	vm->leaving = false;
	work_free(vm->work);
	/* Only as long as it is there need one know that it is not wanted. */
	if (vm->unwanted && !process_is_gone(vm->pidfd))
		TAILQ_INSERT_TAIL(&m->unwanted, vm, link);
	else
		manager_forget_vm(m, vm);
	manager_check_stopped(m);
}

static const struct splitter_ops splitter_ops = {
	.now = on_now,
	.set_timer = on_set_timer,
	.submit = on_submit,
	.cancel = on_cancel,
	.changed = on_changed,
	.gone = on_gone,
	.left = on_left,
};

/*
 * The manager's life
 */

static bool manager_is_throttled(const struct manager *m)
{
	return m->host.bbm_level < 2 || m->config->bbm == CONFIG_BBM_OFF;
}

static struct splitter_limits manager_limits(const struct manager *m)
{
	return (struct splitter_limits){
		.rate = m->config->tlbi_rate,
		.burst = m->config->tlbi_burst,
		.vm_rate = m->config->vm_tlbi_rate,
		.throttled = manager_is_throttled(m),
	};
}

static int manager_start(struct manager *m)
{
	struct splitter_limits limits;
	int r;

	r = sd_event_add_time(m->event, &m->budget_timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
			      on_budget_timer, m);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(m->budget_timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = sd_event_add_time(m->event, &m->timeout, CLOCK_BOOTTIME, UINT64_MAX, 0, on_timeout, m);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(m->timeout, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = worker_pool_new(&m->pool, m->event, N_WORKERS);
	if (r < 0)
		return r;
	m->backend->ops->probe(m->backend, &m->host);
	if (!m->host.supported)
		log_full(LOG_WARNING, MESSAGE_UNSUPPORTED, NULL, "No VM can be split: %s",
			 m->host.reason);
	limits = manager_limits(m);
	r = splitter_new(&m->splitter, &splitter_ops, m, &limits);
	if (r < 0)
		return r;
	r = machined_new(&m->machined, m->event, on_machine_name, m);
	if (r < 0)
		return r;
	return finder_new(&m->finder, m->event, m->backend, m->pool, &finder_ops, m);
}

int manager_new(struct manager **ret, sd_event *event, struct config *config,
		struct backend *backend)
{
	_cleanup_(manager_freep) struct manager *m = NULL;
	int r;

	m = calloc(1, sizeof(*m));
	if (!m) {
		backend_free(backend);
		config_free(config);
		return -ENOMEM;
	}
	m->event = sd_event_ref(event);
	m->config = config;
	m->backend = backend;
	m->started_usec = now_nsec(CLOCK_REALTIME) / NSEC_PER_USEC;
	TAILQ_INIT(&m->vms);
	TAILQ_INIT(&m->leaving);
	TAILQ_INIT(&m->unwanted);

	r = manager_start(m);
	if (r < 0)
		return r;
	manager_notify_status(m);
	*ret = TAKE_PTR(m);
	return 0;
}

static void vm_list_free(struct vm_list *list)
{
	struct vm *vm;

	while ((vm = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, vm, link);
		work_free(vm->work);
		vm_free(vm);
	}
}

struct manager *manager_free(struct manager *m)
{
	if (!m)
		return NULL;
	/* First the threads: from now on no call is in flight. */
	worker_pool_free(m->pool);
	vm_list_free(&m->vms);
	vm_list_free(&m->leaving);
	vm_list_free(&m->unwanted);
	finder_free(m->finder);
	vm_store_free(m->store);
	machined_free(m->machined);
	splitter_free(m->splitter);
	sd_event_source_disable_unref(m->budget_timer);
	sd_event_source_disable_unref(m->timeout);
	sd_event_source_disable_unref(m->stop_source);
	backend_free(m->backend);
	config_free(m->config);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}

void manager_set_observer(struct manager *m, const struct manager_observer *ops, void *userdata)
{
	m->observer = ops;
	m->observer_userdata = userdata;
}

void manager_stop(struct manager *m, void (*stopped)(void *userdata), void *userdata)
{
	struct vm *vm;

	if (m->stopped)
		return;
	m->stopped = stopped;
	m->stopped_userdata = userdata;
	while ((vm = TAILQ_FIRST(&m->vms)))
		manager_remove_vm(m, vm, false);
	manager_check_stopped(m);
}

/*
 * The table of VMs
 */

struct vm *manager_find_vm(struct manager *m, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	if (strcmp(vm->name, name) == 0)
		return vm;
	TAILQ_FOREACH(vm, &m->vms, link)
	if (strcmp(vm->id, name) == 0)
		return vm;
	return NULL;
}

struct vm *manager_next_vm(struct manager *m, struct vm *prev)
{
	return prev ? TAILQ_NEXT(prev, link) : TAILQ_FIRST(&m->vms);
}

static void on_vmm_gone(struct vm *vm)
{
	struct manager *m = vm->owner;

	/* Letting go of one that is leaving goes on by itself. */
	if (vm->leaving)
		return;
	if (!vm->work) {
		TAILQ_REMOVE(&m->unwanted, vm, link);
		manager_forget_vm(m, vm);
		return;
	}
	log_vm_info(vm, MESSAGE_VM_GONE, "The VMM, process %d, is gone", (int)vm->pid);
	(void)manager_handle(m, vm, VM_EVENT_GONE, NULL);
}

/* The service manager need keep the pidfd no longer, unless for another VM of the process. */
static void manager_drop_pidfd(struct manager *m, const struct vm *vm)
{
	const struct vm *o;

	TAILQ_FOREACH(o, &m->vms, link)
	if (o->pid == vm->pid && o != vm)
		return;
	fd_store_remove(vm->pid);
}

/* Frees one that is in no list any more. */
static void manager_forget_vm(struct manager *m, struct vm *vm)
{
	bool gone = process_is_gone(vm->pidfd);

	if (gone && m->backend->ops->forget_vm)
		m->backend->ops->forget_vm(m->backend, vm->pid, vm->number);
	/* Of a VM that was registered again meanwhile it is that one's. */
	if (m->store && (gone || !m->stopped) && !manager_find_number(m, vm->pid, vm->number))
		vm_store_remove(m->store, vm->pid, vm->number);
	if (!m->stopped)
		manager_drop_pidfd(m, vm);
	vm_free(vm);
}

/* @vm, which was not wanted, is again, as another one. */
static void manager_forgive(struct manager *m, struct vm *vm)
{
	vm->unwanted = false;
	if (vm->leaving)
		return;
	TAILQ_REMOVE(&m->unwanted, vm, link);
	vm_free(vm);
}

static void manager_remove_vm(struct manager *m, struct vm *vm, bool gone)
{
	/* Also as one that is not wanted, and on stopping as it is. */
	if (!gone)
		manager_save_vm(m, vm);
	TAILQ_REMOVE(&m->vms, vm, link);
	m->n_vms--;
	if (m->observer)
		m->observer->vm_removed(m->observer_userdata, vm);
	vm->leaving = true;
	TAILQ_INSERT_TAIL(&m->leaving, vm, link);
	manager_pass_name_on(m, vm->name);
	manager_notify_status(m);
	work_leave(vm->work, gone);
}

/* The module may have been loaded, or access been granted, meanwhile. */
static int manager_check_host(struct manager *m)
{
	if (!m->host.supported)
		m->backend->ops->probe(m->backend, &m->host);
	return m->host.supported ? 0 : -EOPNOTSUPP;
}

/* What can be told without looking at the process. */
static int manager_check_registration(struct manager *m, pid_t pid, const char *name)
{
	const struct vm *vm;
	int r;

	if (name && !vm_name_is_valid(name))
		return -EINVAL;
	if (m->stopped)
		return -ESHUTDOWN;
	r = manager_check_host(m);
	if (r < 0)
		return r;
	/* It may be called that already, for a reason of its own. */
	vm = name ? manager_find_vm(m, name) : NULL;
	return vm && (vm->pid != pid || vm->registered) ? -EEXIST : 0;
}

/* The VM @number of the process with the id @pid: of that which has it now. */
static struct vm *manager_find_number(struct manager *m, pid_t pid, int number)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	if (vm->pid == pid && vm->number == number && !process_is_gone(vm->pidfd))
		return vm;
	return NULL;
}

static struct vm *manager_find_unwanted(struct manager *m, pid_t pid, int number)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->unwanted, link)
	if (vm->pid == pid && vm->number == number && !process_is_gone(vm->pidfd))
		return vm;
	TAILQ_FOREACH(vm, &m->leaving, link)
	if (vm->pid == pid && vm->number == number && vm->unwanted)
		return vm;
	return NULL;
}

/* Adds the VM @number of the process behind @pidfd, which stays the caller's. */
static int manager_add_vm(struct manager *m, pid_t pid, int pidfd, int number, struct vm **ret)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	int fd, r;

	if (m->n_vms >= MANAGER_VMS_MAX)
		return -EUSERS;
	fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = vm_new(&vm, m->backend, pid, fd, number, m);
	if (r < 0)
		return r;
	r = process_get_start_time(pid, &vm->start_time);
	if (r < 0)
		return r;
	r = vm_watch(vm, m->event, on_vmm_gone);
	if (r < 0)
		return r;
	r = work_new(&vm->work, m->splitter, vm);
	if (r < 0)
		return r;
	TAILQ_INSERT_TAIL(&m->vms, vm, link);
	m->n_vms++;
	m->vms_registered++;
	fd_store_add(pid, vm->pidfd);
	manager_notify_status(m);
	*ret = TAKE_PTR(vm);
	return 0;
}

/*
 * Names
 */

/* Calls @vm @name if that can be; its id it keeps in any case. */
static int manager_name_vm(struct manager *m, struct vm *vm, const char *name)
{
	struct vm *other;
	char *copy;

	if (!vm_name_is_valid(name))
		return -EINVAL;
	other = manager_find_vm(m, name);
	if (other)
		return other == vm ? 0 : -EEXIST;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(vm->name);
	vm->name = copy;
	return 0;
}

/* What its VMM or systemd-machined calls @vm: its name, unless somebody gave it one. */
static void manager_found_name(struct manager *m, struct vm *vm, const char *name)
{
	char *copy = strdup(name);
	int r;

	if (!copy)
		return;
	free(vm->found_name);
	vm->found_name = copy;
	if (vm->registered)
		return;
	r = manager_name_vm(m, vm, name);
	if (r == -EEXIST)
		log_vm_info(vm, NULL, "Its name, %s, is another VM's", name);
	else if (r < 0)
		log_vm_info(vm, NULL, "Its name is none that can be used");
}

static void on_machine_name(void *userdata, pid_t pid, const char *name)
{
	struct manager *m = userdata;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	if (vm->pid == pid && !vm->found_name && !process_is_gone(vm->pidfd))
		manager_found_name(m, vm, name);
}

/* The VM that was called @name is gone: another that was to be called so may be now. */
static void manager_pass_name_on(struct manager *m, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	{
		if (vm->registered || !vm->found_name || strcmp(vm->found_name, name) != 0)
			continue;
		if (manager_name_vm(m, vm, name) == 0)
			return;
	}
}

static void manager_look_for_name(struct manager *m, struct vm *vm)
{
	char name[VM_NAME_MAX + 1];

	if (qemu_name_of_process(vm->pid, name, sizeof(name)) == 0)
		manager_found_name(m, vm, name);
	else
		machined_ask(m->machined, vm->pid);
}

/*
 * VMs that are found
 */

static void manager_take_found(struct manager *m, pid_t pid, int pidfd, const int *numbers, int n)
{
	struct vm *vm;
	int r;

	for (int i = 0; i < n; i++) {
		if (manager_find_number(m, pid, numbers[i]) ||
		    manager_find_unwanted(m, pid, numbers[i]))
			continue;
		r = manager_add_vm(m, pid, pidfd, numbers[i], &vm);
		if (r < 0) {
			log_warning("Cannot look after VM %d.%d: %s", (int)pid, numbers[i],
				    strerror(-r));
			continue;
		}
		manager_look_for_name(m, vm);
		log_vm_info(vm, MESSAGE_VM_REGISTERED, "Found, process %d", (int)pid);
		manager_save_vm(m, vm);
	}
}

static bool is_among(int number, const int *numbers, int n)
{
	for (int i = 0; i < n; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* VMs of the process that it has closed, while it lives on. */
static void manager_drop_closed(struct manager *m, pid_t pid, const int *numbers, int n)
{
	struct vm *vm = TAILQ_FIRST(&m->vms), *next;

	for (; vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		if (vm->pid != pid || is_among(vm->number, numbers, n))
			continue;
		log_vm_info(vm, MESSAGE_VM_GONE, "The VM is gone");
		(void)manager_handle(m, vm, VM_EVENT_GONE, NULL);
	}
}

/* finder_ops.look() */
static int on_look(void *userdata, pid_t pid)
{
	struct manager *m = userdata;
	int numbers[BACKEND_VMS_MAX], n;
	_cleanup_close_ int pidfd = -1;

	if (m->stopped || manager_check_host(m) < 0)
		return 0;
	pidfd = process_open(pid);
	if (pidfd < 0)
		return pidfd;
	/* Of one that is known the pidfd of its VM tells. */
	if (process_is_gone(pidfd))
		return -ESRCH;
	n = m->backend->ops->list_vms(m->backend, pidfd, pid, numbers);
	if (n < 0 && n != -ENOTTY)
		return n;
	manager_drop_closed(m, pid, numbers, n > 0 ? n : 0);
	if (n > 0)
		manager_take_found(m, pid, pidfd, numbers, n);
	return n < 0 ? n : 0;
}

/* finder_ops.dirty_log() */
static void on_dirty_log(void *userdata, pid_t pid)
{
	struct manager *m = userdata;
	bool known = false;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	{
		if (pid && vm->pid != pid)
			continue;
		known = true;
		work_look(vm->work);
	}
	if (pid && !known)
		(void)on_look(m, pid);
}

static const struct finder_ops finder_ops = {
	.look = on_look,
	.dirty_log = on_dirty_log,
};

/*
 * VMs that are registered
 */

/* The first VM of the process that nobody has registered yet; it is added if need be. */
static int manager_get_unregistered(struct manager *m, pid_t pid, struct vm **ret)
{
	int numbers[BACKEND_VMS_MAX], n;
	_cleanup_close_ int pidfd = -1;
	struct vm *vm;

	pidfd = process_open(pid);
	if (pidfd < 0)
		return pidfd;
	if (process_is_gone(pidfd))
		return -ESRCH;
	n = m->backend->ops->adopt ? m->backend->ops->adopt(m->backend, pid) : 0;
	if (n < 0)
		return n;
	n = m->backend->ops->list_vms(m->backend, pidfd, pid, numbers);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		vm = manager_find_number(m, pid, numbers[i]);
		if (!vm)
			return manager_add_vm(m, pid, pidfd, numbers[i], ret);
		if (!vm->registered) {
			*ret = vm;
			return 0;
		}
	}
	return -EEXIST;
}

int manager_register(struct manager *m, pid_t pid, const char *name, struct vm **ret)
{
	struct vm *vm, *unwanted;
	int r;

	r = manager_check_registration(m, pid, name);
	if (r < 0)
		return r;
	r = manager_get_unregistered(m, pid, &vm);
	if (r < 0)
		return r;
	r = name ? manager_name_vm(m, vm, name) : 0;
	if (r < 0)
		return r;
	unwanted = manager_find_unwanted(m, vm->pid, vm->number);
	if (unwanted)
		manager_forgive(m, unwanted);
	vm->registered = true;
	manager_save_vm(m, vm);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Registered, process %d", (int)pid);
	/* One that was known before may be called otherwise now. */
	if (vm->surveyed)
		manager_tell(m, vm, VM_CHANGE_STATE);
	*ret = vm;
	return 0;
}

int manager_unregister(struct manager *m, const char *name)
{
	struct vm *vm;

	vm = manager_find_vm(m, name);
	if (!vm)
		return -ENOENT;
	log_vm_info(vm, MESSAGE_VM_GONE, "Unregistered");
	vm->unwanted = true;
	manager_remove_vm(m, vm, false);
	return 0;
}

/*
 * VMs that a daemon before us knew
 */

/* The process that @record is of, if it is still there. */
static int manager_open_recorded(struct resume *resume, const struct vm_record *record)
{
	uint64_t start_time;
	int pidfd, r;

	pidfd = fd_store_take(resume->pidfds, resume->n_pidfds, record->pid);
	if (pidfd < 0)
		pidfd = process_open(record->pid);
	if (pidfd < 0)
		return pidfd;
	r = process_get_start_time(record->pid, &start_time);
	/* In this order: as long as it is not gone, the id is its own. */
	if (r == 0 && (process_is_gone(pidfd) || start_time != record->start_time))
		r = -ESRCH;
	if (r == 0)
		return pidfd;
	close(pidfd);
	return r;
}

static void manager_resume_vm(struct manager *m, struct vm *vm, const struct vm_record *record)
{
	enum vm_goal goal = vm_state_get_goal(record->state);

	vm->registered = record->registered;
	vm->state = record->state;
	vm->dirty_logging = record->dirty_logging;
	vm->scheduled_usec = record->scheduled_usec;
	vm->tlbi_rate = record->tlbi_rate;
	vm->blocks_split = record->blocks_split;
	vm->tlbis = record->tlbis;
	vm_set_deadline(vm, record->deadline_usec);
	work_update_ceiling(vm->work);
	if (record->name[0])
		(void)manager_name_vm(m, vm, record->name);
	manager_look_for_name(m, vm);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Known from before, process %d, migration %s",
		    (int)vm->pid, vm_migration_to_string(vm_state_get_migration(vm->state)));
	/* What had come to its end need not be done again. */
	if (goal == VM_GOAL_SPLIT || record->stage != VM_STAGE_WHOLE)
		work_resume(vm->work, goal);
}

/* One that is not wanted is none of the table's: all there is to know is that. */
static int manager_resume_unwanted(struct manager *m, const struct vm_record *record, int pidfd)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	int r;

	r = vm_new(&vm, m->backend, record->pid, pidfd, record->number, m);
	if (r < 0)
		return r;
	vm->start_time = record->start_time;
	vm->unwanted = true;
	r = vm_watch(vm, m->event, on_vmm_gone);
	if (r < 0)
		return r;
	TAILQ_INSERT_TAIL(&m->unwanted, vm, link);
	TAKE_PTR(vm);
	return 0;
}

/* The record of one that cannot be taken over is removed; if there, it is found as any other. */
static bool on_record(void *userdata, const struct vm_record *record)
{
	struct resume *resume = userdata;
	struct manager *m = resume->manager;
	_cleanup_close_ int pidfd = -1;
	struct vm *vm;
	int r;

	pidfd = manager_open_recorded(resume, record);
	if (pidfd < 0)
		return false;
	if (record->unwanted)
		return manager_resume_unwanted(m, record, take_fd(&pidfd)) == 0;
	r = manager_add_vm(m, record->pid, pidfd, record->number, &vm);
	if (r < 0)
		return false;
	manager_resume_vm(m, vm, record);
	return true;
}

void manager_begin(struct manager *m, struct vm_store *store, int *pidfds, size_t n_pidfds)
{
	struct resume resume = { .manager = m, .pidfds = pidfds, .n_pidfds = n_pidfds };
	int r;

	m->store = store;
	/* On a host that cannot split, what there is to know stays for one that can. */
	if (store && m->host.supported) {
		r = vm_store_load(store, on_record, &resume);
		if (r < 0)
			log_warning("What was kept for a restart cannot be read: %s", strerror(-r));
	}
	manager_arm_timeout(m);
	finder_start(m->finder);
	manager_notify_status(m);
}

/*
 * Migrations
 */

/* The timer for the schedule that ends first unless somebody follows it up. */
static void manager_arm_timeout(struct manager *m)
{
	uint64_t timeout_usec = m->config->scheduled_timeout_sec * USEC_PER_SEC;
	uint64_t next = UINT64_MAX;
	const struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	next = min_u64(next, migration_get_timeout(vm, timeout_usec));
	/* The calls below fail in a forked child only. */
	(void)sd_event_source_set_time(m->timeout, next);
	(void)sd_event_source_set_enabled(m->timeout,
					  next == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int manager_handle(struct manager *m, struct vm *vm, enum vm_event event,
			  const struct migration_terms *terms)
{
	switch (migration_handle(vm, event, terms)) {
	case VM_STEP_REFUSE:
		return -EPROTO;
	case VM_STEP_KEEP:
		return 0;
	case VM_STEP_END:
		manager_remove_vm(m, vm, true);
		return 0;
	default:
		manager_arm_timeout(m);
		manager_tell(m, vm, VM_CHANGE_STATE);
		return 0;
	}
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	uint64_t timeout_usec = m->config->scheduled_timeout_sec * USEC_PER_SEC;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
	if (migration_get_timeout(vm, timeout_usec) <= usec)
		(void)manager_handle(m, vm, VM_EVENT_TIMEOUT, NULL);
	manager_arm_timeout(m);
	return 0;
}

/* What the last survey saw of dirty logging, if that is news. */
static void manager_look_at_log(struct manager *m, struct vm *vm)
{
	bool split = m->config->on_dirty_log == CONFIG_ON_DIRTY_LOG_SPLIT;
	bool on = vm_logs_dirty_pages(vm);

	if (!vm->surveyed || on == vm->dirty_logging)
		return;
	vm->dirty_logging = on;
	if (!on)
		(void)manager_handle(m, vm, VM_EVENT_LOG_OFF, NULL);
	else
		(void)manager_handle(m, vm, split ? VM_EVENT_LOG_ON : VM_EVENT_LOG_ON_IGNORED,
				     NULL);
}

int manager_set_migration(struct manager *m, struct vm *vm, enum vm_migration to,
			  const uint64_t *deadline_usec, const uint64_t *tlbi_rate)
{
	const struct migration_terms terms = {
		.deadline_usec = deadline_usec,
		.tlbi_rate = tlbi_rate,
	};

	return manager_handle(m, vm, (enum vm_event)(VM_EVENT_TOLD + to), &terms);
}

int manager_survey_vm(struct manager *m, struct vm *vm)
{
	return work_survey(vm->work);
}

bool manager_is_surveying_vm(const struct vm *vm)
{
	return work_is_surveying(vm->work);
}

/*
 * Configuration and host
 */

static void manager_apply(struct manager *m)
{
	struct splitter_limits limits;

	if (m->backend->ops->configure)
		m->backend->ops->configure(m->backend, m->config);
	m->backend->ops->probe(m->backend, &m->host);
	limits = manager_limits(m);
	splitter_set_limits(m->splitter, &limits);
	manager_arm_timeout(m);
}

int manager_reload(struct manager *m, char **ret_error)
{
	_cleanup_free_ char *error = NULL;
	struct config *config;
	int r;

	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   now_nsec(CLOCK_MONOTONIC) / NSEC_PER_USEC);
	r = config_load(&config, m->config->path, m->config->required, &error);
	if (r < 0) {
		m->reloads_failed++;
		log_full(LOG_ERR, MESSAGE_RELOAD_FAILED, NULL, "Configuration not reloaded: %s",
			 error ? error : strerror(-r));
	} else {
		config->backend_override = m->config->backend_override;
		if (config->backend_override >= 0)
			config->backend = (enum config_backend)config->backend_override;
		if (config->backend != m->config->backend)
			log_warning("Backend= takes effect when the daemon is started anew");
		config_free(m->config);
		m->config = config;
		m->reloads++;
		manager_apply(m);
		log_full(LOG_INFO, MESSAGE_RELOADED, NULL,
			 "Configuration reloaded: %" PRIu64 " TLBIs a second, burst %" PRIu64,
			 config->tlbi_rate, config->tlbi_burst);
	}
	sd_notify(0, "READY=1");
	manager_notify_status(m);
	if (ret_error)
		*ret_error = TAKE_PTR(error);
	return r;
}

void manager_get_host(const struct manager *m, struct host_info *info)
{
	const struct splitter_stats *stats = &m->splitter->stats;
	bool throttled = manager_is_throttled(m);

	*info = (struct host_info){
		.version = PACKAGE_VERSION,
		.backend = m->backend->ops->name,
		.supported = m->host.supported,
		.unsupported_reason = m->host.reason,
		.bbm_level = throttled ? 0 : m->host.bbm_level,
		.throttled = throttled,
		.tlbi_rate = m->config->tlbi_rate,
		.tlbi_burst = m->config->tlbi_burst,
		.blocks_total = stats->blocks_split,
	};
	for (size_t i = 0; i < TLBI_KIND_MAX_; i++)
		info->tlbis_total += stats->tlbis[i];
}

void manager_get_metrics(const struct manager *m, struct manager_metrics *metrics)
{
	*metrics = (struct manager_metrics){
		.started_usec = m->started_usec,
		.vms = m->n_vms,
		.vms_registered = m->vms_registered,
		.reloads = m->reloads,
		.reloads_failed = m->reloads_failed,
		.splitter = &m->splitter->stats,
	};
	splitter_get_load(m->splitter, &metrics->load);
	worker_pool_get_load(m->pool, &metrics->workers);
}

const struct config *manager_get_config(const struct manager *m)
{
	return m->config;
}
