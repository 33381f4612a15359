// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-tell.h"

#include <string.h>

#include "base/log.h"
#include "manager/manager-history.h"
#include "manager/manager-private.h"
#include "manager/manager-store.h"
#include "service/notify.h"
#include "manager/status.h"

/* How often progress is worth a new line in systemctl status. */
#define STATUS_INTERVAL_NSEC NSEC_PER_SEC

/* How often anything is: it takes a look at all VMs. */
#define STATUS_PAUSE_NSEC (200 * NSEC_PER_MSEC)

/* How often progress is worth being kept. */
#define SAVE_INTERVAL_NSEC NSEC_PER_SEC

static void manager_send_status(struct manager *m)
{
	char text[STATUS_SIZE];
	struct status status = { .unsaved = manager_count_unsaved(m) };
	uint64_t now = clock_usec(CLOCK_REALTIME);
	const struct vm *vm;

	m->status_nsec = now_nsec(CLOCK_MONOTONIC);
	TAILQ_FOREACH(vm, &m->vms, link) {
		struct vm_info info;

		vm_get_info(vm, now, &info);
		status_add(&status, &info);
	}
	notify_say(m->notify, NOTIFY_STATUS, "STATUS=%s",
		   status_format(text, &status, m->host.supported ? NULL : m->host.reason));
}

/* Whether progress is: it is of no use to tell systemd of each block. */
static bool manager_is_news(const struct manager *m)
{
	return now_nsec(CLOCK_MONOTONIC) - m->status_nsec >= STATUS_INTERVAL_NSEC;
}

static void manager_log_late(struct vm *vm)
{
	uint64_t now = clock_usec(CLOCK_REALTIME);
	struct vm_info info;
	double eta, left;

	vm_get_info(vm, clock_usec(CLOCK_REALTIME), &info);
	eta = (double)info.eta_usec / (double)USEC_PER_SEC;
	left = ((double)info.deadline_usec - (double)now) / (double)USEC_PER_SEC;
	if (info.deadline_usec <= now || !info.has_eta)
		log_vm_warning(vm, MESSAGE_VM_LATE, "Late: not split, and its deadline has passed");
	else
		log_vm_warning(vm, MESSAGE_VM_LATE,
			       "Late: split in %.1f s, %.1f s after its deadline", eta, eta - left);
}

/* Who has become late, by what another VM gets, or by time alone. */
static void manager_tell_late(struct manager *m)
{
	uint64_t now = clock_usec(CLOCK_REALTIME);
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link) {
		if (!vm_note_late(vm, now))
			continue;
		manager_log_late(vm);
		if (m->observer)
			m->observer->vm_changed(m->observer_userdata, vm, VM_CHANGE_STATE);
	}
}

int manager_on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	/* Then it has been told that they are let go of, and there is no more to tell. */
	if (m->stopped)
		return 0;
	manager_send_status(m);
	manager_tell_late(m);
	return 0;
}

void manager_notify_status(struct manager *m)
{
	uint64_t at = m->status_nsec ? (m->status_nsec + STATUS_PAUSE_NSEC) / NSEC_PER_USEC : 0;

	/* The calls below fail in a forked child only. */
	(void)sd_event_source_set_time(m->status_source, at);
	(void)sd_event_source_set_enabled(m->status_source, SD_EVENT_ONESHOT);
}

/*
 * For the next daemon
 */

int manager_on_save_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	manager_save_unsaved(userdata);
	manager_notify_status(userdata);
	return 0;
}

/* Counts alone are worth less: now and then. */
static void manager_save_progress(struct manager *m, struct vm *vm)
{
	if (now_nsec(CLOCK_MONOTONIC) - vm->store.saved_nsec >= SAVE_INTERVAL_NSEC)
		manager_save_vm(m, vm);
}

void manager_tell(struct manager *m, struct vm *vm, enum vm_change what)
{
	if (what == VM_CHANGE_STATE)
		manager_note_course(m, vm);
	if (what == VM_CHANGE_STATE)
		manager_save_vm(m, vm);
	else if (what == VM_CHANGE_PROGRESS)
		manager_save_progress(m, vm);
	if (vm_note_late(vm, clock_usec(CLOCK_REALTIME)))
		manager_log_late(vm);
	if (m->observer)
		m->observer->vm_changed(m->observer_userdata, vm, what);
	if (what == VM_CHANGE_STATE || manager_is_news(m))
		manager_notify_status(m);
}
