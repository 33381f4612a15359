// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-store.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "manager/manager-private.h"
#include "store/vm-store.h"

/* When what could not be written is tried again. */
#define AGAIN_USEC USEC_PER_SEC

/* How often the folder is looked at while nothing is written. */
#define CHECK_INTERVAL_NSEC NSEC_PER_SEC

static void manager_save_again(struct manager *m, uint64_t usec)
{
	/* Both fail in a forked child only. */
	(void)sd_event_source_set_time_relative(m->save_again, usec);
	(void)sd_event_source_set_enabled(m->save_again, SD_EVENT_ONESHOT);
}

/* Those that have a record, or are to have one; until @each returns false. */
static void manager_for_all_kept(const struct manager *m,
				 bool (*each)(struct vm *vm, void *userdata), void *userdata)
{
	const struct vm_list *lists[] = { &m->vms, &m->leaving, &m->unwanted };
	struct vm *vm;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		TAILQ_FOREACH(vm, lists[i], link)
			if (!vm->table.gone && !vm->table.replaced && !each(vm, userdata))
				return;
}

static void manager_store_failed(struct manager *m, int r)
{
	/* Once is enough: it will be the same for all. */
	if (!m->store_error)
		log_warning("What is known of VMs cannot be kept for a restart, which is tried "
			    "again: %s",
			    strerror(-r));
	m->store_error = r;
	manager_save_again(m, AGAIN_USEC);
}

static bool mark_unsaved(struct vm *vm, void *userdata)
{
	vm->store.unsaved = true;
	return true;
}

/* 0, or a negative errno: there is nowhere to write to. */
static int manager_open_store(struct manager *m)
{
	int r = vm_store_open(m->store);

	m->store_checked_nsec = now_nsec(CLOCK_MONOTONIC);
	if (r < 0)
		manager_store_failed(m, r);
	if (r <= 0)
		return r;
	log_info("The folder of what is kept for a restart was made anew");
	m->store_anew = true;
	manager_for_all_kept(m, mark_unsaved, NULL);
	manager_save_again(m, 0);
	return 0;
}

static int manager_try_to_save(struct manager *m, struct vm *vm)
{
	struct vm_record record;
	int r = manager_open_store(m);

	if (r < 0)
		return r;
	vm_record_from_vm(&record, vm);
	r = vm_store_save(m->store, &record);
	if (r < 0)
		manager_store_failed(m, r);
	return r;
}

void manager_save_vm(struct manager *m, struct vm *vm)
{
	if (!m->store || vm->table.replaced)
		return;
	vm->store.saved_nsec = now_nsec(CLOCK_MONOTONIC);
	vm->store.unsaved = manager_try_to_save(m, vm) < 0;
}

void manager_save_resumed(struct manager *m, struct vm *vm)
{
	if (m->store_anew)
		manager_save_vm(m, vm);
}

int manager_check_record(struct manager *m, uint64_t id)
{
	return m->store && vm_store_contradicts(m->store, id) ? -EROFS : 0;
}

void manager_check_store(struct manager *m)
{
	if (m->store && now_nsec(CLOCK_MONOTONIC) - m->store_checked_nsec >= CHECK_INTERVAL_NSEC)
		(void)manager_open_store(m);
}

/* Where there is no room for one, the others are not tried. */
static bool save_unsaved(struct vm *vm, void *userdata)
{
	if (vm->store.unsaved)
		manager_save_vm(userdata, vm);
	return !vm->store.unsaved;
}

void manager_save_unsaved(struct manager *m)
{
	if (manager_open_store(m) < 0)
		return;
	manager_for_all_kept(m, save_unsaved, m);
	if (!m->store_error || manager_count_unsaved(m))
		return;
	log_info("What is known of VMs is kept again");
	m->store_error = 0;
}

static bool count_unsaved(struct vm *vm, void *userdata)
{
	*(size_t *)userdata += vm->store.unsaved;
	return true;
}

size_t manager_count_unsaved(const struct manager *m)
{
	size_t n = 0;

	manager_for_all_kept(m, count_unsaved, &n);
	return n;
}
