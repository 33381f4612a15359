// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/manager-names.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/parse.h"
#include "conf/conf.h"
#include "host/machined.h"
#include "host/process.h"
#include "host/qemu-name.h"
#include "manager/manager-index.h"
#include "manager/manager-private.h"
#include "manager/manager-store.h"
#include "manager/manager-tell.h"
#include "manager/namer.h"
#include "store/vm-record.h"

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
 * The next of those that may be called that, or have that UUID (NULL: any), after @prev (NULL: none).
 * One may come more than once.
 */
static const struct vm_key *next_key(const struct manager *m, const char *name, const char *uuid,
				     const struct vm_key *prev)
{
	uint64_t by_name = hash_of_string(name), by_uuid = uuid ? hash_of_string(uuid) : by_name;
	struct hash_node *node = prev ? hash_next(&prev->node) : hash_first(&m->by_name, by_name);

	if (!node && by_uuid != by_name && (!prev || prev->node.hash == by_name))
		node = hash_first(&m->by_name, by_uuid);
	return node ? container_of(node, struct vm_key, node) : NULL;
}

void manager_forget_names(struct vm *vm)
{
	for (size_t i = 0; i < VM_KEYS_MAX; i++)
		hash_remove(&vm->names.keys[i].node);
}

/* Has @vm found by what it is called by now. */
static void manager_index_names(struct manager *m, struct vm *vm)
{
	const char *const names[VM_KEYS_MAX] = {
		vm->names.told,
		vm->names.machine,
		vm->names.own,
		vm->names.uuid[0] ? vm->names.uuid : NULL,
	};

	manager_forget_names(vm);
	for (size_t i = 0; i < VM_KEYS_MAX; i++) {
		vm->names.keys[i].vm = vm;
		if (names[i])
			hash_add(&m->by_name, &vm->names.keys[i].node, hash_of_string(names[i]));
	}
}

/* Whether it had another one. */
static bool manager_set_uuid(struct manager *m, struct vm *vm, const char uuid[static UUID_SIZE])
{
	if (strcmp(vm->names.uuid, uuid) == 0)
		return false;
	memcpy(vm->names.uuid, uuid, UUID_SIZE);
	manager_index_names(m, vm);
	return true;
}

/* With the id alone, the one may have it from the other. */
static bool is_of_same_vmm(const struct vm *a, const struct vm *b)
{
	return a->pid == b->pid && a->start_time == b->start_time;
}

/*
 * The VM that has the best claim to @name, which may be a UUID; of one VMM's it is the first. @ret:
 * that claim. NULL: none, or, where there is a claim, several VMMs have it.
 */
static struct vm *manager_find_claimant(struct manager *m, const char *name, enum claim *ret)
{
	const struct vm_key *key = NULL;
	struct vm *found = NULL;
	const struct vm *last = NULL;
	char uuid[UUID_SIZE];
	bool is_uuid = uuid_parse(name, uuid) == 0;

	*ret = CLAIM_NONE;
	while ((key = next_key(m, name, is_uuid ? uuid : NULL, key))) {
		enum claim claim = vm_claims(key->vm, name, is_uuid ? uuid : NULL);

		if (claim == CLAIM_NONE || claim < *ret)
			continue;
		if (claim > *ret || !is_of_same_vmm(key->vm, last))
			found = claim > *ret ? key->vm : NULL;
		else if (found && key->vm->table.order < found->table.order)
			found = key->vm;
		last = key->vm;
		*ret = claim;
	}
	return found;
}

/* The VM of that process, if it has one, and no more. */
static struct vm *manager_find_pid(struct manager *m, const char *text)
{
	uint64_t pid, start_time;
	struct vm *vm;

	if (parse_u64(text, &pid) < 0)
		return NULL;
	if (pid > INT_MAX || !manager_next_of_pid(m, (pid_t)pid, NULL))
		return NULL;
	start_time = process_find_start((pid_t)pid);
	vm = manager_next_of_process(m, (pid_t)pid, start_time, NULL);
	return vm && !manager_next_of_process(m, (pid_t)pid, start_time, vm) ? vm : NULL;
}

/* PID.NUMBER. Where the process's id has been used again it may be two VMs': then it is that process's. */
static struct vm *manager_find_by_id(struct manager *m, const char *text)
{
	struct vm *vm = NULL, *found = NULL;
	unsigned long pid;

	if (!vm_name_is_id(text))
		return NULL;
	pid = strtoul(text, NULL, 10);
	while (pid <= INT_MAX && (vm = manager_next_of_pid(m, (pid_t)pid, vm)))
		if (strcmp(vm->id, text) == 0 &&
		    (!found || vm_has_lost_pid(found, process_find_start(found->pid))))
			found = vm;
	return found;
}

struct vm *manager_find_vm(struct manager *m, const char *text)
{
	enum claim claim;
	struct vm *vm = manager_find_claimant(m, text, &claim);

	if (claim != CLAIM_NONE)
		return vm;
	vm = manager_find_by_id(m, text);
	return vm ? vm : manager_find_pid(m, text);
}

bool vm_is_meant(const struct vm *vm, const char *text)
{
	char uuid[UUID_SIZE];
	bool is_uuid = uuid_parse(text, uuid) == 0;
	uint64_t pid;

	if (vm_claims(vm, text, is_uuid ? uuid : NULL) != CLAIM_NONE || strcmp(vm->id, text) == 0)
		return true;
	return parse_u64(text, &pid) == 0 && pid == (uint64_t)vm->pid &&
	       !vm_has_lost_pid(vm, process_find_start(vm->pid));
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
	if (!name && !vm->names.own && !vm->names.machine)
		log_vm_info(vm, NULL,
			    "Goes by its id, %s: the user who called it %s is not trusted any more",
			    vm->id, vm->table.name);
	else if (!name)
		log_vm_info(vm, NULL, "Goes by its id, %s: its name is another VM's, too", vm->id);
	free(vm->table.name);
	vm->table.name = copy;
	return true;
}

static void manager_tell_of_name(struct manager *m, struct vm *vm)
{
	/* Before, it is told of with the end of the survey. */
	if (vm->progress.surveyed || vm->progress.stage == VM_STAGE_FAILED)
		manager_tell(m, vm, VM_CHANGE_STATE);
	manager_save_vm(m, vm);
}

/* Something has changed about who claims @name; NULL: nothing. */
static void manager_settle_name(struct manager *m, const char *name)
{
	const struct vm_key *key = NULL;

	while (name && (key = next_key(m, name, NULL, key)))
		if (vm_claims(key->vm, name, NULL) != CLAIM_NONE && manager_rename(m, key->vm))
			manager_tell_of_name(m, key->vm);
}

void manager_pass_names_on(struct manager *m, const struct vm *vm)
{
	manager_settle_name(m, vm->names.told);
	manager_settle_name(m, vm->names.machine);
	manager_settle_name(m, vm->names.own);
}

/*
 * @field: one of vm->names; @name: NULL: none any more. Others are told. 1: it was another; 0; or
 * -ENOMEM.
 */
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
	manager_index_names(m, vm);
	(void)manager_rename(m, vm);
	manager_settle_name(m, before);
	manager_settle_name(m, name);
	return 1;
}

int manager_tell_name(struct manager *m, struct vm *vm, const char *name)
{
	struct vm *other = manager_find_told(m, name);
	int r;

	if (other)
		return other == vm ? 0 : -EEXIST;
	r = manager_set_name(m, vm, &vm->names.told, name);
	/* What else it was called is others' now. */
	if (r > 0)
		manager_pass_names_on(m, vm);
	return r < 0 ? r : 0;
}

/* Whether that is news. */
static bool manager_found_name(struct manager *m, struct vm *vm, char **field, const char *name)
{
	if (!vm_name_is_valid(name)) {
		log_vm_info(vm, NULL, "Its name is none that can be used");
		return false;
	}
	if (manager_set_name(m, vm, field, name) <= 0)
		return false;
	if (!vm->names.told && !manager_means(m, vm, name))
		log_vm_info(vm, NULL, "Its name, %s, is another VM's", name);
	return true;
}

void manager_claim_name(struct manager *m, struct vm *vm, const char *name, uid_t uid)
{
	if (config_trusts(m->config, uid) && config_trusts(m->config, vm->host_vm->uid))
		(void)manager_found_name(m, vm, &vm->names.own, name);
	else
		log_vm_info(vm, NULL, "It is not called %s by the word of user %u alone", name,
			    (unsigned int)uid);
}

void manager_on_machine_name(void *userdata, pid_t pid, const char *name)
{
	uint64_t start_time = process_find_start(pid);
	struct manager *m = userdata;
	struct vm *vm = NULL;

	while ((vm = manager_next_of_process(m, pid, start_time, vm)))
		if (manager_found_name(m, vm, &vm->names.machine, name))
			manager_tell_of_name(m, vm);
}

void manager_on_guest_names(void *userdata, pid_t pid, const struct guest_names *names)
{
	struct manager *m = userdata;
	struct vm *vm = NULL;
	uint64_t start_time;
	bool news;

	if (!names || !config_trusts(m->config, names->uid))
		return;
	start_time = process_find_start(pid);
	while ((vm = manager_next_of_process(m, pid, start_time, vm))) {
		/* The process was another one when it was asked for, it may be. */
		if (vm->host_vm->uid != names->uid)
			continue;
		news = manager_set_uuid(m, vm, names->uuid);
		if (names->name[0])
			news |= manager_found_name(m, vm, &vm->names.own, names->name);
		if (news)
			manager_tell_of_name(m, vm);
	}
}

void manager_look_for_name(struct manager *m, struct vm *vm)
{
	bool is_there = !vm_has_lost_pid(vm, process_find_start(vm->pid)), news;

	/* What another process is called is not what it is. */
	if (is_there)
		machined_ask(m->machined, vm->pid);
	if (!config_trusts(m->config, vm->host_vm->uid)) {
		news = manager_set_uuid(m, vm, (const char[UUID_SIZE]){ "" });
		news |= manager_set_name(m, vm, &vm->names.own, NULL) > 0;
		if (news)
			manager_tell_of_name(m, vm);
		return;
	}
	/* It goes by its id, then. */
	if (is_there && namer_ask(m->namer, vm->pid) < 0)
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
	(void)manager_set_uuid(m, vm, record->uuid);
	if (!record->name[0])
		return;
	if (record->told && manager_tell_name(m, vm, record->name) == 0)
		return;
	(void)manager_set_name(m, vm, &vm->names.own, record->name);
}
