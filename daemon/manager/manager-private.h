/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager's data, for its own files. Those, each of which includes from the ones below it
 * only: manager-register.c, how VMs get there by being told of; manager.c, its life, the
 * splitter's and the finder's side of it; manager-reload.c, the configuration's, and
 * manager-host.c, the host's; manager-resume.c, how they come from the daemon before;
 * manager-found.c, how they get there by themselves; manager-table.c, the VMs; manager-settle.c,
 * those of whose migrations the end is yet to be said; manager-names.c, what they are called, and
 * manager-migration.c, what happens to them; manager-tell.c, who is told of it; manager-store.c,
 * what is kept of it; manager-history.c, and afterwards; manager-index.c, where they are found.
 */
#ifndef EAGERSPLITD_MANAGER_PRIVATE_H
#define EAGERSPLITD_MANAGER_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/hash.h"
#include "host/backend.h"
#include "vm/vm.h"
#include "store/vm-record.h"

struct closing;
struct config;
struct config_reader;
struct finder;
struct history;
struct log_quota;
struct machined;
struct namer;
struct notify;
struct manager_observer;
struct splitter;
struct vm_store;
struct worker_pool;

/* VMs whose splitters were handed over are numbered from here: no descriptor of the VMM is. */
#define MANAGER_NUMBER_HANDED_OVER (1 << 30)

/* What the daemon before has kept of a VM; @taken: which has been found. */
struct kept_record {
	struct vm_record record;
	bool taken;
};

/* A registration that is under way, as the manager sees it: freed with it. */
struct registration_head {
	void (*free)(struct registration_head *head);
	TAILQ_ENTRY(registration_head) link;
};

/**
 * struct manager - the daemon's centre
 * @config_reader: reads the next one
 * @reloads_asked: how often that was asked for
 * @reloads_begun: of those, which the reading that is under way, or the last one, is for
 * @host: what probe() said
 * @pool: the threads that make calls on VMs
 * @lookers: those that look at other processes, so that no call waits for these
 * @vms: in order of registration
 * @leaving: no longer in the table, but not let go of yet
 * @unwanted: unregistered, so not to be found again as long as they are there
 * @departed: @n_departed that are gone, of whose migrations it may yet be said how they ended
 * @by_id: those of all three lists, by what the host calls them
 * @by_pid: and by their processes
 * @by_name: those of @vms, by all that they are called
 * @left_out: the table was full when one was found, which is to be looked for again
 * @closing: closes splitters
 * @registrations: under way
 * @store: for the next daemon, NULL: nowhere
 * @splitters: @n_splitters that were kept, until the host can split
 * @splitters_left: one of them could not be looked at, and is kept on, of whatever VM it is
 * @store_loaded: what was in there is known
 * @records_left: but for some of it, which could not be read, and is read when its VM is found
 * @records: what was in there, @n_records, in order of the VMs' ids
 * @store_error: why something could not be written, a negative errno; 0: all is
 * @store_anew: it was made anew, without @records
 * @store_checked_nsec: when it was last seen to be where it belongs, CLOCK_MONOTONIC
 * @save_again: writes what could not be written
 * @history: of the migrations that have ended
 * @settle: for those of which nobody has said how
 * @settle_usec: when that is, CLOCK_BOOTTIME, or UINT64_MAX: never
 * @budget_timer: for the splitter
 * @pump_source: has it hand out the budget, from the loop
 * @status_source: tells the service manager, a moment later
 * @status_nsec: when that was told last
 * @started_usec: CLOCK_REALTIME
 * @timeout: for the migration that nobody has followed up
 * @timeout_usec: when that is, or before
 * @stopped: see manager_stop()
 * @stop_source: calls it from the loop
 */
struct manager {
	sd_event *event;
	struct config *config;
	struct config_reader *config_reader;
	uint64_t reloads_asked;
	uint64_t reloads_begun;
	struct backend *backend;
	struct backend_host host;
	struct worker_pool *pool;
	struct worker_pool *lookers;
	struct splitter *splitter;
	struct finder *finder;
	struct machined *machined;
	struct namer *namer;
	struct closing *closing;
	struct log_quota *log_quota;
	struct notify *notify;
	TAILQ_HEAD(registration_list, registration_head) registrations;
	struct vm_store *store;
	int *splitters;
	size_t n_splitters;
	bool splitters_left;
	bool store_loaded;
	bool records_left;
	struct kept_record *records;
	size_t n_records;
	int store_error;
	bool store_anew;
	uint64_t store_checked_nsec;
	sd_event_source *save_again;
	struct history *history;
	sd_event_source *settle;
	uint64_t settle_usec;
	sd_event_source *budget_timer;
	sd_event_source *pump_source;
	sd_event_source *timeout;
	uint64_t timeout_usec;

	struct vm_list vms;
	struct vm_list leaving;
	struct vm_list unwanted;
	struct vm_list departed;
	struct hash by_id;
	struct hash by_pid;
	struct hash by_name;
	size_t n_vms;
	size_t n_departed;
	bool left_out;

	sd_event_source *status_source;
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

#endif /* EAGERSPLITD_MANAGER_PRIVATE_H */
