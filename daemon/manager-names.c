// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-names.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "conf.h"
#include "host/machined.h"
#include "host/qemu-name.h"
#include "manager-private.h"
#include "manager-tell.h"
#include "namer.h"
#include "vm-record.h"

/* systemd-machined cuts off what is longer. */
#define MACHINE_NAME_MAX 63

/* By whose word a VM is called something; the highest counts. */
enum claim {
	CLAIM_NONE,
	CLAIM_ITS_OWN,
	CLAIM_MACHINED,
	CLAIM_TOLD,
};

static bool is_same(const char *a, const char *b)
{
	return a && strcmp(a, b) == 0;
}

/* The next letter or digit at *@s, and moves behind it; 0: there is none left. */
static int next_letter(const char **s)
{
	while (**s && !isalnum((unsigned char)**s))
		++*s;
	return **s ? (unsigned char)*(*s)++ : 0;
}

/*
 * Whether @machine is how libvirt has systemd-machined call a guest @name: "qemu-ID-NAME",
 * without what cannot be part of a host's name, and cut off where that is too long.
 */
static bool is_libvirts(const char *machine, const char *name)
{
	bool is_cut = strlen(machine) >= MACHINE_NAME_MAX;
	int a, b;

	if (strncmp(machine, "qemu-", strlen("qemu-")) != 0)
		return false;
	machine += strlen("qemu-");
	machine += strspn(machine, "0123456789");
	do {
		a = next_letter(&machine);
		b = next_letter(&name);
	} while (a && a == b);
	return a == b || (!a && is_cut);
}

/* What its VMM calls it, where systemd-machined says the same. */
static bool is_vouched_for(const struct vm *vm)
{
	return vm->names.machine && vm->names.own && is_libvirts(vm->names.machine, vm->names.own);
}

/* One that was told to be called something goes by no other name, but by its UUID. */
static enum claim vm_claims(const struct vm *vm, const char *name, const char *uuid)
{
	enum claim claim = CLAIM_NONE;

	if (is_same(vm->names.told, name))
		return CLAIM_TOLD;
	if (!vm->names.told && is_same(vm->names.machine, name))
		return CLAIM_MACHINED;
	if (!vm->names.told && is_same(vm->names.own, name))
		claim = is_vouched_for(vm) ? CLAIM_MACHINED : CLAIM_ITS_OWN;
	if (claim == CLAIM_NONE && uuid && strcmp(vm->names.uuid, uuid) == 0)
		claim = CLAIM_ITS_OWN;
	return claim;
}

/*
 * The VM that has the best claim to @name, which may be a UUID; of one VMM's it is the first. @ret:
 * that claim. NULL: none, or, where there is a claim, several VMMs have it.
 */
static struct vm *manager_find_claimant(struct manager *m, const char *name, enum claim *ret)
{
	struct vm *vm, *found = NULL;
	char uuid[UUID_SIZE];
	bool is_uuid = uuid_parse(name, uuid) == 0;
	pid_t pid = 0;

	*ret = CLAIM_NONE;
	TAILQ_FOREACH(vm, &m->vms, link) {
		enum claim claim = vm_claims(vm, name, is_uuid ? uuid : NULL);

		if (claim == CLAIM_NONE || claim < *ret || (claim == *ret && vm->pid == pid))
			continue;
		found = claim > *ret ? vm : NULL;
		pid = vm->pid;
		*ret = claim;
	}
	return found;
}

/* The VM of that process, if it has one, and no more. */
static struct vm *manager_find_pid(struct manager *m, const char *text)
{
	struct vm *vm, *found = NULL;
	uint64_t pid;

	if (parse_u64(text, &pid) < 0)
		return NULL;
	TAILQ_FOREACH(vm, &m->vms, link) {
		if ((uint64_t)vm->pid != pid)
			continue;
		if (found)
			return NULL;
		found = vm;
	}
	return found;
}

struct vm *manager_find_vm(struct manager *m, const char *text)
{
	enum claim claim;
	struct vm *vm = manager_find_claimant(m, text, &claim);

	if (claim != CLAIM_NONE)
		return vm;
	TAILQ_FOREACH(vm, &m->vms, link)
		if (strcmp(vm->id, text) == 0)
			return vm;
	return manager_find_pid(m, text);
}

struct vm *manager_find_told(struct manager *m, const char *name)
{
	enum claim claim;
	struct vm *vm = manager_find_claimant(m, name, &claim);

	return claim == CLAIM_TOLD ? vm : NULL;
}

/*
 * What follows for what VMs are called
 */

static bool manager_means(struct manager *m, const struct vm *vm, const char *name)
{
	enum claim claim;

	return name && manager_find_claimant(m, name, &claim) == vm;
}

/* What @vm is called by now: NULL: its id. */
static const char *manager_choose_name(struct manager *m, const struct vm *vm)
{
	const char *machine = vm->names.machine, *own = vm->names.own;

	if (vm->names.told)
		return vm->names.told;
	/* Libvirt's own name for it, which people know. */
	if (is_vouched_for(vm) && manager_means(m, vm, own))
		return own;
	if (manager_means(m, vm, machine))
		return machine;
	return manager_means(m, vm, own) ? own : NULL;
}

/* Whether that is another name than it had. */
static bool manager_rename(struct manager *m, struct vm *vm)
{
	const char *name = manager_choose_name(m, vm);
	char *copy;

	if (strcmp(vm->table.name, name ?: vm->id) == 0)
		return false;
	copy = strdup(name ?: vm->id);
	/* Without memory it goes on by the name that it had. */
	if (!copy)
		return false;
	if (!name)
		log_vm_info(vm, NULL, "Goes by its id, %s: its name is another VM's, too", vm->id);
	free(vm->table.name);
	vm->table.name = copy;
	return true;
}

static void manager_tell_of_name(struct manager *m, struct vm *vm)
{
	if (vm->progress.surveyed)
		manager_tell(m, vm, VM_CHANGE_STATE);
	manager_save_vm(m, vm);
}

/* Something has changed about who claims @name; NULL: nothing. */
static void manager_settle_name(struct manager *m, const char *name)
{
	struct vm *vm;

	if (!name)
		return;
	TAILQ_FOREACH(vm, &m->vms, link)
		if (vm_claims(vm, name, NULL) != CLAIM_NONE && manager_rename(m, vm))
			manager_tell_of_name(m, vm);
}

void manager_pass_names_on(struct manager *m, const struct vm *vm)
{
	manager_settle_name(m, vm->names.told);
	manager_settle_name(m, vm->names.machine);
	manager_settle_name(m, vm->names.own);
}

/* @field: one of vm->names; @name: NULL: none any more. Others are told; 0 or -ENOMEM. */
static int manager_set_name(struct manager *m, struct vm *vm, char **field, const char *name)
{
	_cleanup_free_ char *before = NULL;
	char *copy = NULL;

	if (name == *field || (name && is_same(*field, name)))
		return 0;
	if (name && !(copy = strdup(name)))
		return -ENOMEM;
	before = *field;
	*field = copy;
	(void)manager_rename(m, vm);
	manager_settle_name(m, before);
	manager_settle_name(m, name);
	return 0;
}

int manager_tell_name(struct manager *m, struct vm *vm, const char *name)
{
	struct vm *other = manager_find_told(m, name);
	int r;

	if (other)
		return other == vm ? 0 : -EEXIST;
	r = manager_set_name(m, vm, &vm->names.told, name);
	/* What else it was called is others' now. */
	if (r == 0)
		manager_pass_names_on(m, vm);
	return r;
}

static void manager_found_name(struct manager *m, struct vm *vm, char **field, const char *name)
{
	if (!vm_name_is_valid(name))
		log_vm_info(vm, NULL, "Its name is none that can be used");
	else if (manager_set_name(m, vm, field, name) == 0 && !vm->names.told &&
		 !manager_means(m, vm, name))
		log_vm_info(vm, NULL, "Its name, %s, is another VM's", name);
}

static bool manager_trusts(const struct manager *m, int64_t uid)
{
	const struct config_users *users = &m->config->trusted_users;

	for (size_t i = 0; i < users->n; i++)
		if (uid == (int64_t)users->uids[i])
			return true;
	/* Whoever runs the daemon. */
	return uid == (int64_t)geteuid();
}

void manager_claim_name(struct manager *m, struct vm *vm, const char *name, uid_t uid)
{
	if (manager_trusts(m, uid) && manager_trusts(m, vm->host_vm->uid))
		manager_found_name(m, vm, &vm->names.own, name);
	else
		log_vm_info(vm, NULL, "It is not called %s by the word of user %u alone", name,
			    (unsigned int)uid);
}

void manager_on_machine_name(void *userdata, pid_t pid, const char *name)
{
	struct manager *m = userdata;
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link) {
		if (vm->pid != pid)
			continue;
		manager_found_name(m, vm, &vm->names.machine, name);
		manager_tell_of_name(m, vm);
	}
}

void manager_on_guest_names(void *userdata, pid_t pid, const struct guest_names *names)
{
	struct manager *m = userdata;
	struct vm *vm;

	if (!names || !manager_trusts(m, names->uid))
		return;
	TAILQ_FOREACH(vm, &m->vms, link) {
		/* The process was another one when it was asked for, it may be. */
		if (vm->pid != pid || vm->host_vm->uid != names->uid)
			continue;
		memcpy(vm->names.uuid, names->uuid, UUID_SIZE);
		if (names->name[0])
			manager_found_name(m, vm, &vm->names.own, names->name);
		manager_tell_of_name(m, vm);
	}
}

void manager_look_for_name(struct manager *m, struct vm *vm)
{
	machined_ask(m->machined, vm->pid);
	if (!manager_trusts(m, vm->host_vm->uid)) {
		vm->names.uuid[0] = '\0';
		(void)manager_set_name(m, vm, &vm->names.own, NULL);
		return;
	}
	/* It goes by its id, then. */
	if (namer_ask(m->namer, vm->pid) < 0)
		log_vm_warning(vm, NULL, "Its name cannot be asked for");
}

void manager_look_for_names(struct manager *m)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &m->vms, link)
		manager_look_for_name(m, vm);
}

void manager_resume_names(struct manager *m, struct vm *vm, const struct vm_record *record)
{
	memcpy(vm->names.uuid, record->uuid, UUID_SIZE);
	if (!record->name[0])
		return;
	if (record->told && manager_tell_name(m, vm, record->name) == 0)
		return;
	(void)manager_set_name(m, vm, &vm->names.own, record->name);
}
