// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-register.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "manager/finder.h"
#include "host/backend.h"
#include "host/process.h"
#include "manager/manager-store.h"
#include "manager/manager.h"
#include "manager/manager-found.h"
#include "manager/manager-host.h"
#include "manager/manager-index.h"
#include "manager/manager-names.h"
#include "manager/manager-private.h"
#include "manager/manager-table.h"
#include "manager/manager-tell.h"
#include "store/vm-record.h"
#include "service/worker.h"

/**
 * struct registration - one that is under way
 * @head: for the manager
 * @job: looks at the process, or at what was handed over
 * @name: NULL: none was given
 * @teller: whose word that is, REGISTER_TOLD: of who may change something
 * @splitter: that was handed over, -1: none, or the job has it
 * @handed_over: there was one
 * @start_time: of the process whose it is then
 * @caller: see manager_register()
 */
struct registration {
	struct registration_head head;
	struct manager *manager;
	struct job job;
	struct look look;
	char *name;
	int64_t teller;
	int splitter;
	bool handed_over;
	uint64_t start_time;
	void *caller;
};

/* Whether it is of the process that has that id. */
static bool is_of(const struct vm *vm, pid_t pid)
{
	return vm->pid == pid && !vm_has_lost_pid(vm, process_find_start(pid));
}

static void registration_free(struct registration_head *head)
{
	struct registration *r = container_of(head, struct registration, head);

	TAILQ_REMOVE(&r->manager->registrations, head, link);
	manager_drop_look(r->manager, &r->look);
	closep(&r->splitter);
	free(r->name);
	free(r);
}

/* What can be told without looking at the process. */
static int manager_check_registration(struct manager *m, pid_t pid, const char *name,
				      int64_t teller)
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
	/* What others only call themselves is in nobody's way. */
	vm = name && teller == REGISTER_TOLD ? manager_find_told(m, name) : NULL;
	return vm && (vm->table.registered || !is_of(vm, pid)) ? -EEXIST : 0;
}

/* In a worker's thread. */
static int registration_run(struct job *job)
{
	struct registration *r = container_of(job, struct registration, job);
	struct backend *backend = r->manager->backend;

	if (r->splitter < 0) {
		look_at_process(&r->look, backend, true);
		return 0;
	}
	r->look.n = backend->ops->take_vm(backend, take_fd(&r->splitter), &r->look.vms[0]);
	if (r->look.n < 0)
		return 0;
	/* The process may be another's by now: who hands it over himself, hands over his own. */
	r->look.vms[0]->uid = r->teller == REGISTER_TOLD ? process_get_uid(r->look.pid) : r->teller;
	r->look.vms[0]->start_time = r->start_time;
	r->look.n = 1;
	return 0;
}

/* One that was handed over has no number yet: it gets one that no other VM of the process has. */
static void registration_number(struct registration *r)
{
	const struct manager *m = r->manager;
	int last = MANAGER_NUMBER_HANDED_OVER - 1;
	const struct vm *vm = NULL;

	while ((vm = manager_next_of_pid(m, r->look.pid, vm)))
		if (vm->number > last)
			last = vm->number;
	/* Also of those that only the daemon before us knew. */
	for (size_t i = 0; i < m->n_records; i++) {
		const struct vm_record *record = &m->records[i].record;

		if (record->pid == r->look.pid && record->number > last)
			last = record->number;
	}
	r->look.numbers[0] = last + 1;
}

/* Adds the VM of the look at index @i, which may be one that is not wanted. */
static int registration_add(struct registration *r, int i, struct vm **ret)
{
	struct backend_vm *host_vm = r->look.vms[i];
	struct manager *m = r->manager;
	int e = manager_check_registration(m, r->look.pid, r->name, r->teller);

	/* Of those before it one may be what is called that since before this daemon. */
	if (e == 0)
		e = manager_check_record(m, host_vm->id);
	if (e < 0)
		return e;
	e = manager_take_wanted(m, host_vm, r->look.pid, r->look.numbers[i],
				r->teller == REGISTER_TOLD, ret);
	if (e == 0)
		r->look.vms[i] = NULL;
	return e;
}

/* Others may do it once, and who may change something after them. */
static bool is_registered(const struct vm *vm, int64_t teller)
{
	return vm->table.registered || (teller != REGISTER_TOLD && vm->table.handed_over);
}

/*
 * The VM that is meant: of several the first that nobody has registered yet, be it with the daemon
 * before.
 */
static int registration_choose(struct registration *r, struct vm **ret)
{
	for (int i = 0; i < r->look.n; i++) {
		int e = 0;

		if (!r->look.vms[i])
			continue;
		*ret = manager_find_host_vm(r->manager, r->look.vms[i]->id);
		if (!*ret)
			e = registration_add(r, i, ret);
		if (e < 0 || !is_registered(*ret, r->teller))
			return e;
	}
	*ret = NULL;
	return -EEXIST;
}

static int manager_finish_registration(struct manager *m, struct vm *vm, const char *name,
				       int64_t teller)
{
	int r = manager_check_record(m, vm->host_vm->id);

	if (r < 0)
		return r;
	if (name && teller == REGISTER_TOLD)
		r = manager_tell_name(m, vm, name);
	else if (name)
		manager_claim_name(m, vm, name, (uid_t)teller);
	if (r < 0)
		return r;
	/* By others it is as good as found, and can be registered yet. */
	vm->table.registered |= teller == REGISTER_TOLD;
	vm->table.handed_over |= teller != REGISTER_TOLD;
	manager_save_vm(m, vm);
	log_vm_info(vm, MESSAGE_VM_REGISTERED, "Registered, process %d", (int)vm->pid);
	/* One that was known before may be called otherwise now. */
	if (vm->progress.surveyed)
		manager_tell(m, vm, VM_CHANGE_STATE);
	return 0;
}

static void registration_done(struct job *job, int result)
{
	struct registration *r = container_of(job, struct registration, job);
	struct manager *m = r->manager;
	struct vm *vm = NULL;
	int e;

	e = manager_check_registration(m, r->look.pid, r->name, r->teller);
	if (r->handed_over)
		registration_number(r);
	if (e == 0)
		e = r->look.n < 0 ? r->look.n : registration_choose(r, &vm);
	if (e == 0)
		e = manager_finish_registration(m, vm, r->name, r->teller);
	if (m->observer)
		m->observer->vm_registered(m->observer_userdata, r->caller, e, vm);
	/* The others of the process are found by the way. What is handed over in vain may hold. */
	if (!m->stopped && !r->handed_over)
		(void)manager_take_look(m, &r->look);
	registration_free(&r->head);
}

/*
 * When the process started whose VM is handed over; of a process that is not the @teller's, as it may
 * have been and the id be another's by now, PROCESS_NEVER_STARTED.
 */
static uint64_t find_start_of(pid_t pid, int64_t teller)
{
	uint64_t start_time = process_find_start(pid);

	return teller == REGISTER_TOLD || process_get_uid(pid) == teller ? start_time
									 : PROCESS_NEVER_STARTED;
}

/* Whether one more of @teller may be under way. */
static bool manager_has_room_for_registration(const struct manager *m, int64_t teller)
{
	size_t max = REGISTRATIONS_MAX, n = 0, his = 0;
	const struct registration_head *head;

	TAILQ_FOREACH(head, &m->registrations, link) {
		n++;
		his += container_of(head, struct registration, head)->teller == teller;
	}
	if (teller == REGISTER_TOLD)
		return n < max;
	return n < max - REGISTRATIONS_TOLD_MIN && his < REGISTRATIONS_UID_MAX;
}

int manager_register(struct manager *m, pid_t pid, const char *name, int64_t teller, int splitter,
		     void *caller, struct vm **ret)
{
	struct registration *registration;
	struct vm *vm;
	int r;

	r = manager_check_registration(m, pid, name, teller);
	if (r < 0)
		return r;
	/* One that is called that already is the one that is meant. */
	vm = name && splitter < 0 ? manager_find_vm(m, name) : NULL;
	if (vm && !vm->table.registered && is_of(vm, pid)) {
		*ret = vm;
		r = manager_finish_registration(m, vm, name, teller);
		return r < 0 ? r : 1;
	}
	if (!manager_has_room_for_registration(m, teller))
		return -EAGAIN;
	registration = calloc(1, sizeof(*registration));
	if (!registration)
		return -ENOMEM;
	if (name && !(registration->name = strdup(name))) {
		free(registration);
		return -ENOMEM;
	}
	registration->manager = m;
	registration->job.run = registration_run;
	registration->job.done = registration_done;
	/* What one user hands over keeps no other's from its turn. */
	registration->job.key = teller == REGISTER_TOLD ? 0 : (uint64_t)teller;
	registration->look.pid = pid;
	registration->teller = teller;
	registration->splitter = splitter;
	registration->handed_over = splitter >= 0;
	if (splitter >= 0)
		registration->start_time = find_start_of(pid, teller);
	registration->caller = caller;
	registration->head.free = registration_free;
	TAILQ_INSERT_TAIL(&m->registrations, &registration->head, link);
	worker_pool_submit(registration->handed_over ? m->pool : m->lookers, &registration->job);
	return 0;
}

bool manager_looks_like_splitter(const struct manager *m, int fd)
{
	return m->backend->ops->looks_like_vm(m->backend, fd);
}

int manager_unregister(struct manager *m, const char *name)
{
	struct vm *vm;
	int r;

	vm = manager_find_vm(m, name);
	if (!vm)
		return -ENOENT;
	r = manager_check_record(m, vm->host_vm->id);
	if (r < 0)
		return r;
	log_vm_info(vm, MESSAGE_VM_GONE, "Unregistered");
	vm->table.unwanted = true;
	manager_remove_vm(m, vm, false);
	return 0;
}
