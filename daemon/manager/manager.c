// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "service/closing.h"
#include "conf/conf-reader.h"
#include "conf/conf.h"
#include "store/fd-store.h"
#include "manager/finder.h"
#include "store/history.h"
#include "host/backend.h"
#include "host/machined.h"
#include "base/log-quota.h"
#include "manager/manager-found.h"
#include "manager/manager-history.h"
#include "manager/manager-host.h"
#include "manager/manager-index.h"
#include "manager/manager-migration.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-records.h"
#include "manager/manager-reload.h"
#include "manager/manager-resume.h"
#include "manager/manager-settle.h"
#include "manager/manager-store.h"
#include "manager/manager-table.h"
#include "manager/manager-tell.h"
#include "manager/namer.h"
#include "service/notify.h"
#include "splitting/splitter.h"
#include "store/vm-store.h"
#include "splitting/work.h"
#include "service/worker.h"

/* Calls in flight at once; they spend from one budget, so few are enough. */
#define N_WORKERS 4

/*
 * Looks at other processes at once, which take as long as those like: at all of them, at one, and
 * for a name. More would wait for each other.
 */
#define N_LOOKERS 3

/*
 * What the splitter needs
 */

static uint64_t on_now(void *userdata)
{
	return now_nsec(CLOCK_MONOTONIC);
}

static uint64_t on_realtime(void *userdata)
{
	return clock_usec(CLOCK_REALTIME);
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

static int on_pump_source(sd_event_source *source, void *userdata)
{
	struct manager *m = userdata;

	splitter_pump(m->splitter);
	return 0;
}

static void on_pump(void *userdata)
{
	struct manager *m = userdata;

	/* Fails in a forked child only. */
	(void)sd_event_source_set_enabled(m->pump_source, SD_EVENT_ONESHOT);
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
	manager_remove_vm(userdata, vm, true);
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

	/* For the next daemon: by now one knows what the call that was in flight has done. */
	if (m->stopped)
		manager_save_vm(m, vm);
	manager_move_vm(m, vm, NULL);
	vm->table.leaving = false;
	vm->work = work_free(vm->work);
	/* Only as long as it is there need one know that it is not wanted, which its record says. */
	if (vm->table.unwanted && !vm->table.gone) {
		manager_move_vm(m, vm, &m->unwanted);
		fd_store_remove(m->notify, vm->host_vm->id);
	} else {
		manager_forget_vm(m, vm);
	}
	manager_check_stopped(m);
}

static const struct splitter_ops splitter_ops = {
	.work = {
		.now = on_now,
		.submit = on_submit,
		.cancel = on_cancel,
		.pump = on_pump,
		.changed = on_changed,
		.gone = on_gone,
		.left = on_left,
	},
	.realtime = on_realtime,
	.set_timer = on_set_timer,
};

/*
 * What the finder tells
 */

/* finder_ops.seen() */
static int on_seen(void *userdata, struct look *look)
{
	struct manager *m = userdata;
	int r = m->stopped ? -ESHUTDOWN : manager_check_host(m);

	if (r == 0)
		return manager_take_look(m, look);
	/* Once the host can split, all processes are looked at anyhow. */
	manager_drop_look(m, look);
	return r;
}

/* finder_ops.is_known() */
static bool on_is_known(void *userdata, pid_t pid)
{
	return manager_knows_pid(userdata, pid);
}

/* finder_ops.scanned(): what was kept of VMs that have not been seen is of none that there is, for the most part. */
static void on_scanned(void *userdata)
{
	struct manager *m = userdata;

	/* Then none was seen any more. */
	if (m->stopped)
		return;
	manager_drop_records(m);
}

static const struct finder_ops finder_ops = {
	.seen = on_seen,
	.is_known = on_is_known,
	.scanned = on_scanned,
};

/*
 * The manager's life
 */

/* One that is not set. */
static int manager_add_timer(struct manager *m, sd_event_source **ret, clockid_t clock,
			     uint64_t accuracy, sd_event_time_handler_t callback)
{
	int r = sd_event_add_time(m->event, ret, clock, UINT64_MAX, accuracy, callback, m);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int manager_add_sources(struct manager *m)
{
	int r;

	r = manager_add_timer(m, &m->budget_timer, CLOCK_MONOTONIC, 1, on_budget_timer);
	if (r < 0)
		return r;
	r = manager_add_timer(m, &m->timeout, CLOCK_BOOTTIME, 0, manager_on_timeout);
	if (r < 0)
		return r;
	r = manager_add_timer(m, &m->save_again, CLOCK_MONOTONIC, 0, manager_on_save_again);
	if (r < 0)
		return r;
	r = manager_add_timer(m, &m->settle, CLOCK_BOOTTIME, 0, manager_on_settle);
	if (r < 0)
		return r;
	r = sd_event_add_defer(m->event, &m->pump_source, on_pump_source, m);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(m->pump_source, SD_EVENT_OFF);
	if (r < 0)
		return r;
	/* It is due at once: there is something to be told to begin with. */
	return sd_event_add_time(m->event, &m->status_source, CLOCK_MONOTONIC, 0, 0,
				 manager_on_status, m);
}

/* Those that need nothing but the event loop, the configuration and each other. */
static int manager_add_helpers(struct manager *m)
{
	int r;

	r = notify_new(&m->notify, m->event);
	if (r < 0)
		return r;
	r = log_quota_new(&m->log_quota);
	if (r < 0)
		return r;
	r = worker_pool_new(&m->pool, m->event, N_WORKERS);
	if (r < 0)
		return r;
	r = worker_pool_new(&m->lookers, m->event, N_LOOKERS);
	if (r < 0)
		return r;
	r = closing_new(&m->closing, m->pool);
	if (r < 0)
		return r;
	r = config_reader_new(&m->config_reader, m->event, m->config->path, m->config->required,
			      manager_on_config_read, m);
	if (r < 0)
		return r;
	return history_new(&m->history, m->event);
}

static int manager_start(struct manager *m)
{
	struct work_limits limits;
	int r;

	r = manager_add_helpers(m);
	if (r < 0)
		return r;
	r = manager_add_sources(m);
	if (r < 0)
		return r;
	m->backend->ops->probe(m->backend, &m->host);
	if (!m->host.supported)
		log_full(LOG_WARNING, MESSAGE_UNSUPPORTED, "No VM can be split: %s",
			 m->host.reason);
	limits = manager_get_limits(m);
	r = splitter_new(&m->splitter, &splitter_ops, m, &limits);
	if (r < 0)
		return r;
	r = namer_new(&m->namer, m->event, m->backend, m->lookers, manager_on_guest_names, m);
	if (r < 0)
		return r;
	r = machined_new(&m->machined, m->event, manager_on_machine_name, m);
	if (r < 0)
		return r;
	return finder_new(&m->finder, m->event, m->backend, m->lookers, &finder_ops, m);
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
	m->timeout_usec = UINT64_MAX;
	m->settle_usec = UINT64_MAX;
	m->started_usec = clock_usec(CLOCK_REALTIME);
	TAILQ_INIT(&m->vms);
	TAILQ_INIT(&m->leaving);
	TAILQ_INIT(&m->unwanted);
	TAILQ_INIT(&m->departed);
	TAILQ_INIT(&m->registrations);

	r = manager_start(m);
	if (r < 0)
		return r;
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
	struct registration_head *registration;

	if (!m)
		return NULL;
	/* First the threads: from now on no call is in flight. */
	worker_pool_free(m->lookers);
	worker_pool_free(m->pool);
	closing_stop(m->closing);
	while ((registration = TAILQ_FIRST(&m->registrations)))
		registration->free(registration);
	config_reader_free(m->config_reader);
	history_free(m->history);
	vm_list_free(&m->vms);
	vm_list_free(&m->leaving);
	vm_list_free(&m->unwanted);
	vm_list_free(&m->departed);
	finder_free(m->finder);
	while (m->n_splitters)
		close(m->splitters[--m->n_splitters]);
	free(m->splitters);
	free(m->records);
	vm_store_free(m->store);
	machined_free(m->machined);
	namer_free(m->namer);
	splitter_free(m->splitter);
	closing_free(m->closing);
	log_quota_free(m->log_quota);
	notify_free(m->notify);
	sd_event_source_disable_unref(m->budget_timer);
	sd_event_source_disable_unref(m->pump_source);
	sd_event_source_disable_unref(m->timeout);
	sd_event_source_disable_unref(m->settle);
	sd_event_source_disable_unref(m->status_source);
	sd_event_source_disable_unref(m->stop_source);
	sd_event_source_disable_unref(m->save_again);
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
	struct vm *vm, *next;

	if (m->stopped)
		return;
	m->stopped = stopped;
	m->stopped_userdata = userdata;
	/* It does not become ready any more. */
	config_reader_stop(m->config_reader);
	/* Those that are still held are let go of by the next daemon, or with the process. */
	for (vm = TAILQ_FIRST(&m->leaving); vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		work_leave(vm->work, false);
	}
	while ((vm = TAILQ_FIRST(&m->vms)))
		manager_remove_vm(m, vm, false);
	(void)manager_settle_departed(m, UINT64_MAX);
	manager_check_stopped(m);
}

void manager_begin(struct manager *m, struct vm_store *store, int *splitters, size_t n)
{
	m->store = store;
	m->splitters = splitters;
	m->n_splitters = n;
	manager_check_store(m);
	manager_load(m);
	finder_start(m->finder);
	manager_notify_status(m);
}

/*
 * Configuration and host
 */

int manager_survey_vm(struct manager *m, struct vm *vm)
{
	return work_survey(vm->work);
}

bool manager_is_surveying_vm(const struct vm *vm)
{
	return work_is_surveying(vm->work);
}

void manager_get_host(const struct manager *m, struct host_info *info)
{
	const struct work_stats *stats = &m->splitter->group.stats;
	enum work_method method = manager_get_method(m);

	*info = (struct host_info){
		.version = PACKAGE_VERSION,
		.backend = m->backend->ops->name,
		.supported = m->host.supported,
		.unsupported_reason = m->host.reason,
		.bbm_level = method == WORK_NO_BREAK ? m->host.bbm_level : 0,
		.method = method,
		.throttled = method == WORK_BREAK,
		.tlbi_load = m->config->tlbi_load,
		.tlbi_rate = m->config->tlbi_rate,
		.tlbi_burst = config_get_burst(m->config),
		.tlbi_nsec_total = stats->tlbi_nsec,
		.vm_pause_rate = m->config->vm_pause_rate,
		.pauses_total = stats->pauses,
		.blocks_total = stats->blocks_split,
		.store_error = m->store_error ? strerror(-m->store_error) : NULL,
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
		.vms_unsaved = manager_count_unsaved(m),
		.reloads = m->reloads,
		.reloads_failed = m->reloads_failed,
		.splitter = &m->splitter->group.stats,
		.history = history_get_stats(m->history),
	};
	splitter_get_load(m->splitter, &metrics->load);
	worker_pool_get_load(m->pool, &metrics->workers);
}

struct notify *manager_get_notify(const struct manager *m)
{
	return m->notify;
}

const struct config *manager_get_config(const struct manager *m)
{
	return m->config;
}
