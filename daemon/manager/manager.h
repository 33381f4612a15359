/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's centre: the table of VMs, and what may be done to them. Control
 * socket and finder call in here, watchers are told from here.
 */
#ifndef EAGERSPLITD_MANAGER_H
#define EAGERSPLITD_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/util.h"
#include "manager/manager-tell.h"
#include "splitting/splitter.h"
#include "vm/vm.h"
#include "service/worker.h"

struct backend;
struct config;
struct history;
struct history_stats;
struct manager;
struct notify;
struct vm_store;

/* GetHost: all strings are borrowed, valid until the loop runs again. */
struct host_info {
	const char *version;
	const char *backend;
	bool supported;
	const char *unsupported_reason; /* NULL when supported */
	int bbm_level; /* the one in use: 0 or 2 */
	enum work_method method;
	bool throttled;
	uint32_t tlbi_load; /* of the time, in millionths, 0: no limit */
	uint64_t tlbi_rate; /* TLBIs a second, 0: no limit */
	uint64_t tlbi_burst;
	uint64_t vm_pause_rate; /* pauses a second of each VM, 0: no limit */
	uint64_t pauses_total; /* since the daemon started, as what follows */
	uint64_t tlbis_total;
	uint64_t tlbi_nsec_total; /* that those took */
	uint64_t blocks_total;
	const char *store_error; /* why what is to outlive the daemon is not written, or NULL */
};

/**
 * struct manager_metrics - figures for monitoring, see org.eagersplit.Metrics
 * @splitter, @history: borrowed, valid until the loop runs again
 */
struct manager_metrics {
	uint64_t started_usec; /* CLOCK_REALTIME */
	size_t vms;
	uint64_t vms_registered;
	size_t vms_unsaved;
	uint64_t reloads;
	uint64_t reloads_failed;
	const struct work_stats *splitter;
	const struct history_stats *history;
	struct splitter_load load;
	struct worker_load workers;
};

/*
 * Creates the manager on @event. Takes @config and @backend, also on error.
 * Returns 0 or a negative errno.
 */
int manager_new(struct manager **ret, sd_event *event, struct config *config,
		struct backend *backend);

/*
 * Takes over what a daemon before us left in @store, which is taken and kept
 * up to date from now on (NULL: there is none), and begins to find VMs.
 * @splitters: @n that the service manager has kept, allocated; all of it is taken.
 */
void manager_begin(struct manager *m, struct vm_store *store, int *splitters, size_t n);

/*
 * Frees everything at once: calls in flight are interrupted and waited for, holds are not
 * released (see manager_stop()). A thread that waits for a disk is left behind. Returns NULL.
 */
struct manager *manager_free(struct manager *m);
DEFINE_CLEANUP(struct manager *, manager_free);

/* Tells @ops, which must outlive the manager, of changes; NULL: nobody. */
void manager_set_observer(struct manager *m, const struct manager_observer *ops, void *userdata);

/*
 * Has @vm surveyed anew unless it is being worked on; the observer hears of
 * the end as a change of the VM, when manager_is_surveying_vm() is false.
 * Returns 1 when a survey is under way, 0 when what vm_get_info() says is kept
 * up to date anyhow.
 */
int manager_survey_vm(struct manager *m, struct vm *vm);

/* Whether a survey of @vm is under way. */
bool manager_is_surveying_vm(const struct vm *vm);

/* Fills @info. */
void manager_get_host(const struct manager *m, struct host_info *info);

/* What is in force: borrowed, valid until the loop runs again. */
const struct config *manager_get_config(const struct manager *m);

/* To say to the service manager what is not about VMs. */
struct notify *manager_get_notify(const struct manager *m);

/* Fills @metrics. */
void manager_get_metrics(const struct manager *m, struct manager_metrics *metrics);

/*
 * Stops all work: calls in flight are interrupted, holds and pages left as they are;
 * the store keeps what is known, and the service manager the splitters, for the next daemon
 * to go on. Without it the holds end with the process.
 * @stopped is called once, from the loop, when that is done; no VM is in the
 * table from now on, and none can be registered.
 */
void manager_stop(struct manager *m, void (*stopped)(void *userdata), void *userdata);

#endif /* EAGERSPLITD_MANAGER_H */
