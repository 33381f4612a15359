/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the manager's own files share. manager.c: its life, the splitter's and
 * the configuration's side of it; manager-table.c: the VMs; manager-found.c:
 * how they get there by themselves, and their names; manager-resume.c: how
 * they come from the daemon before; manager-migration.c: what happens to
 * them; manager-tell.c: who is told of it; manager-history.c: and afterwards.
 */
#ifndef EAGERSPLITD_MANAGER_PRIVATE_H
#define EAGERSPLITD_MANAGER_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "finder.h"
#include "host/backend.h"
#include "manager.h"
#include "migration.h"
#include "vm.h"

struct history;
struct machined;
struct splitter;
struct vm_store;
struct worker_pool;

TAILQ_HEAD(vm_list, vm);

/**
 * struct manager - the daemon's centre
 * @host: what probe() said
 * @vms: in order of registration
 * @leaving: no longer in the table, but not let go of yet
 * @unwanted: unregistered, so not to be found again as long as they are there
 * @store: for the next daemon, NULL: nowhere
 * @store_loaded: what was in there is known
 * @store_failed: that could not be written the last time
 * @history: of the migrations that have ended
 * @settle: for those of which nobody has said how
 * @budget_timer: for the splitter
 * @pump_source: has it hand out the budget, from the loop
 * @status_source: tells the service manager, from the loop
 * @status_nsec: when that was told last
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
	bool store_loaded;
	bool store_failed;
	struct history *history;
	sd_event_source *settle;
	sd_event_source *budget_timer;
	sd_event_source *pump_source;
	sd_event_source *timeout;

	struct vm_list vms;
	struct vm_list leaving;
	struct vm_list unwanted;
	size_t n_vms;

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

/*
 * manager.c
 */

/*
 * Asks the host anew what it can do, and goes by it. Once it can split, VMs
 * of the daemon before, and those that are there, are taken up.
 */
void manager_probe(struct manager *m);

/*
 * manager-resume.c
 */

/*
 * Takes over what the daemon before left in the store, once, as soon as the host can
 * split. @pidfds: see manager_begin().
 */
void manager_load(struct manager *m, int *pidfds, size_t n_pidfds);

/*
 * manager-tell.c
 */

/*
 * Tells the service manager what systemctl status is to show, and everybody who has become
 * late: in a moment, since it looks at all VMs, and there may be more to tell by then.
 */
void manager_notify_status(struct manager *m);

/* That moment. */
int manager_on_status(sd_event_source *source, void *userdata);

/* Writes @vm's record, for the next daemon. */
void manager_save_vm(struct manager *m, struct vm *vm);

/* Tells everybody of a change: the store, the journal, the service manager, the observer. */
void manager_tell(struct manager *m, struct vm *vm, enum vm_change what);

/*
 * manager-table.c
 */

/* Whether the host can split by now. 0 or -EOPNOTSUPP. */
int manager_check_host(struct manager *m);

/* The VM @number of the process with the id @pid: of that which has it now. Or NULL. */
struct vm *manager_find_number(struct manager *m, pid_t pid, int number);

/* The same of those that are not wanted. */
struct vm *manager_find_unwanted(struct manager *m, pid_t pid, int number);

/*
 * Adds the VM @number of the process behind @pidfd, which stays the caller's.
 * 0, -EUSERS: the table is full, or another negative errno.
 */
int manager_add_vm(struct manager *m, pid_t pid, int pidfd, int number, struct vm **ret);

/*
 * Remembers that the VM @number of the process behind @pidfd, which stays the caller's,
 * is not wanted; @held: lets go of it first. 0 or a negative errno.
 */
int manager_add_unwanted(struct manager *m, pid_t pid, int pidfd, int number, bool held);

/* Takes @vm out of the table, and lets go of it; @gone: there is nothing to let go of. */
void manager_remove_vm(struct manager *m, struct vm *vm, bool gone);

/* Frees one that is in no list any more. */
void manager_forget_vm(struct manager *m, struct vm *vm);

/*
 * manager-found.c
 */

extern const struct finder_ops manager_finder_ops;

/* See machined_new(). */
void manager_on_machine_name(void *userdata, pid_t pid, const char *name);

/* Calls @vm @name. -EINVAL: that is none; -EEXIST: another VM's; -ENOMEM. */
int manager_name_vm(struct manager *m, struct vm *vm, const char *name);

/* Finds out what others call @vm, now or later. */
void manager_look_for_name(struct manager *m, struct vm *vm);

/* The VM that was called @name is gone: another that was to be called so may be now. */
void manager_pass_name_on(struct manager *m, const char *name);

/*
 * manager-migration.c
 */

/* Has @event happen to @vm's migration. 0, or -EPROTO: it cannot. */
int manager_handle(struct manager *m, struct vm *vm, enum vm_event event,
		   const struct migration_terms *terms);

/* What the last survey saw of dirty logging, if that is news. */
void manager_look_at_log(struct manager *m, struct vm *vm);

/* Sets the timer for the schedule that ends first unless somebody follows it up. */
void manager_arm_timeout(struct manager *m);

/* That timer. */
int manager_on_timeout(sd_event_source *source, uint64_t usec, void *userdata);

/*
 * manager-history.c
 */

/* Takes note of how @vm's migration goes, and tells of its end. */
void manager_note_course(struct manager *m, struct vm *vm);

/* The same when @vm is gone, or not wanted any more. */
void manager_end_course(struct manager *m, struct vm *vm);

/* For migrations that have ended, and nobody has said how. */
int manager_on_settle(sd_event_source *source, uint64_t usec, void *userdata);

#endif /* EAGERSPLITD_MANAGER_PRIVATE_H */
