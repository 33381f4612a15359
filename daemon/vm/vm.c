// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/utf8.h"
#include "budget/eta.h"
#include "host/backend.h"
#include "base/log-quota.h"

/* How often a VM is listened to, in how long; one that begins a migration tells of each memslot. */
#define NEWS_MAX	   16
#define NEWS_INTERVAL_USEC USEC_PER_SEC

static const char *const stages[VM_STAGE_MAX_] = {
	[VM_STAGE_WHOLE] = "whole",   [VM_STAGE_SPLITTING] = "splitting",
	[VM_STAGE_SPLIT] = "split",   [VM_STAGE_RECOVERING] = "recovering",
	[VM_STAGE_FAILED] = "failed",
};

const char *vm_stage_to_string(enum vm_stage stage)
{
	return stages[stage];
}

int vm_new(struct vm **ret, struct backend_vm *host_vm, pid_t pid, int number, void *owner)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;

	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->pid = pid;
	vm->number = number;
	vm->owner = owner;
	vm->migration.deadline_usec = UINT64_MAX;
	if (asprintf(&vm->id, "%d.%d", (int)pid, number) < 0) {
		vm->id = NULL;
		return -ENOMEM;
	}
	vm->table.name = strdup(vm->id);
	if (!vm->table.name)
		return -ENOMEM;
	vm->host_vm = host_vm;
	*ret = TAKE_PTR(vm);
	return 0;
}

struct backend_vm *vm_take_host_vm(struct vm *vm)
{
	vm->watch = sd_event_source_disable_unref(vm->watch);
	return TAKE_PTR(vm->host_vm);
}

struct vm *vm_free(struct vm *vm)
{
	struct backend_vm *host_vm;

	if (!vm)
		return NULL;
	host_vm = vm_take_host_vm(vm);
	if (host_vm)
		host_vm->backend->ops->close_vm(host_vm);
	survey_done(&vm->progress.survey);
	free(vm->progress.error);
	free(vm->table.name);
	free(vm->id);
	free(vm->names.told);
	free(vm->names.machine);
	free(vm->names.own);
	free(vm);
	return NULL;
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct vm *vm = userdata;
	unsigned int what = vm->host_vm->backend->ops->read_events(vm->host_vm, revents);

	/* It goes on to tell that: once is enough. */
	if (what & VM_TELLS_GONE)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (what)
		vm->tells(vm, what);
	return 0;
}

int vm_watch(struct vm *vm, sd_event *event, void (*tells)(struct vm *vm, unsigned int what))
{
	int r;

	vm->tells = tells;
	/* Each time that there is news: until the survey that takes it, it would go on. */
	r = sd_event_add_io(event, &vm->watch, vm->host_vm->fd, EPOLLIN | EPOLLET, on_events, vm);
	if (r < 0)
		return r;
	/*
	 * In its turn, and not all the time: its VMM has it tell by a system call each, and so may those
	 * of thousands. What it tells in between is there when it is listened to again.
	 */
	return sd_event_source_set_ratelimit(vm->watch, NEWS_INTERVAL_USEC, NEWS_MAX);
}

uint64_t vm_count_blocks(const struct vm *vm)
{
	return vm->progress.blocks;
}

bool vm_take_survey(struct vm *vm, struct survey *survey)
{
	bool is_news = !vm->progress.surveyed || !survey_is_same(&vm->progress.survey, survey);

	survey_done(&vm->progress.survey);
	vm->progress.survey = *survey;
	*survey = (struct survey){};
	vm->progress.surveyed = true;
	vm->progress.bytes = vm->progress.survey.sums.bytes;
	vm->progress.blocks = vm->progress.survey.sums.blocks;
	vm->progress.block_bytes = vm->progress.survey.sums.block_bytes;
	return is_news;
}

void vm_note_split(struct vm *vm, size_t slot, uint64_t blocks, uint64_t bytes)
{
	struct memslot *m;
	uint64_t mean;

	if (slot >= vm->progress.survey.n_slots || !vm->progress.survey.slots[slot].blocks)
		return;
	m = &vm->progress.survey.slots[slot];
	/* Blocks may differ in size: by the mean, until the next survey. */
	mean = m->block_bytes / m->blocks;
	if (mean && blocks > bytes / mean)
		blocks = max_u64(bytes / mean, 1);
	bytes = blocks < m->blocks ? mean * blocks : m->block_bytes;
	blocks = min_u64(blocks, m->blocks);
	m->blocks -= blocks;
	m->block_bytes -= bytes;
	vm->progress.blocks -= blocks;
	vm->progress.block_bytes -= bytes;
}

void vm_note_recovered(struct vm *vm, size_t slot, uint64_t blocks, uint64_t bytes)
{
	struct memslot *m;

	if (slot >= vm->progress.survey.n_slots || !blocks)
		return;
	m = &vm->progress.survey.slots[slot];
	/* As large as those there are, until the next survey; but in what was passed. */
	if (m->blocks && m->block_bytes / m->blocks < bytes / blocks)
		bytes = m->block_bytes / m->blocks * blocks;
	bytes = min_u64(bytes, m->bytes - min_u64(m->block_bytes, m->bytes));
	m->blocks += blocks;
	m->block_bytes += bytes;
	vm->progress.blocks += blocks;
	vm->progress.block_bytes += bytes;
}

void vm_set_deadline(struct vm *vm, uint64_t usec)
{
	if (usec != vm->migration.deadline_usec)
		vm->migration.told_late = false;
	vm->migration.deadline_usec = usec;
}

bool vm_note_late(struct vm *vm, uint64_t realtime_usec)
{
	struct vm_info info;

	if (vm->migration.told_late || vm->migration.deadline_usec == UINT64_MAX ||
	    vm->progress.stage != VM_STAGE_SPLITTING)
		return false;
	vm_get_info(vm, realtime_usec, &info);
	vm->migration.told_late = info.late;
	return info.late;
}

static void vm_log_stage(const struct vm *vm)
{
	uint64_t blocks = vm_count_blocks(vm);

	switch (vm->progress.stage) {
	case VM_STAGE_SPLITTING:
		log_vm_info(vm, MESSAGE_VM_STAGE, "Splitting, %" PRIu64 " block%s to go", blocks,
			    plural(blocks));
		break;
	case VM_STAGE_SPLIT:
		log_vm_info(vm, MESSAGE_VM_SPLIT,
			    "Split: %" PRIu64 " block%s by %" PRIu64 " TLBI%s so far",
			    vm->progress.blocks_split, plural(vm->progress.blocks_split),
			    vm->progress.tlbis, plural(vm->progress.tlbis));
		break;
	case VM_STAGE_RECOVERING:
		log_vm_info(vm, MESSAGE_VM_STAGE, "Recovering blocks");
		break;
	case VM_STAGE_FAILED:
		log_vm_error(vm, MESSAGE_VM_FAILED, "%s",
			     vm->progress.error ? vm->progress.error : "Failed");
		break;
	default:
		log_vm_info(vm, MESSAGE_VM_STAGE, "Let go: blocks may map it");
	}
}

void vm_set_stage(struct vm *vm, enum vm_stage stage, const char *error)
{
	bool changed = stage != vm->progress.stage || error;

	vm->progress.stage = stage;
	free(vm->progress.error);
	/* Without memory even for this, the stage alone has to say it. */
	vm->progress.error = error ? strdup(error) : NULL;
	if (changed)
		vm_log_stage(vm);
}

bool vm_name_is_id(const char *name)
{
	size_t pid = strspn(name, "0123456789");
	size_t number;

	if (!pid || name[pid] != '.')
		return false;
	number = strspn(name + pid + 1, "0123456789");
	return number && !name[pid + 1 + number];
}

/* Neither cuts a line of the log in two, nor does it move the cursor of who reads it. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

bool vm_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	if (length > VM_NAME_MAX || !name[strspn(name, " ")])
		return false;
	/* It could be another VM's, and who means that one would get this one. */
	if (vm_name_is_id(name))
		return false;
	for (size_t n; length > 0; name += n, length -= n) {
		uint32_t c;

		n = utf8_decode(name, length, &c);
		if (n == 0 || is_control(c) || c == '/')
			return false;
	}
	return true;
}

/* The best of the names that it goes by no more than by its id, where that is what it does. */
static const char *vm_get_claimed(const struct vm *vm)
{
	if (strcmp(vm->table.name, vm->id) != 0)
		return NULL;
	return vm->names.own ?: vm->names.machine;
}

void vm_get_info(const struct vm *vm, uint64_t realtime_usec, struct vm_info *info)
{
	*info = (struct vm_info){
		.name = vm->table.name,
		.pid = vm->pid,
		.uid = vm->host_vm ? vm->host_vm->uid : -1,
		.uuid = vm->names.uuid[0] ? vm->names.uuid : NULL,
		.claimed = vm_get_claimed(vm),
		.migration = vm_state_get_migration(vm->migration.state),
		.stage = vm->progress.stage,
		.surveyed = vm->progress.surveyed,
		.bytes = vm->progress.bytes,
		.blocks = vm->progress.blocks,
		.block_bytes = vm->progress.block_bytes,
		.blocks_split = vm->progress.blocks_split,
		.tlbis = vm->progress.tlbis,
		.tlbi_nsec = vm->progress.tlbi_nsec,
		.has_deadline = vm->migration.deadline_usec != UINT64_MAX,
		.deadline_usec = vm->migration.deadline_usec,
		.error = vm->progress.error,
		.memslots = vm->progress.survey.slots,
		.n_memslots = vm->progress.survey.sums.memslots,
	};
	info->has_eta = vm->progress.get_eta && vm->progress.get_eta(vm, &info->eta_usec);
	info->late = vm->progress.stage == VM_STAGE_SPLITTING &&
		     eta_is_late(info->has_eta ? info->eta_usec : 0, vm->migration.deadline_usec,
				 realtime_usec);
}

void vm_info_add_fields(struct log_fields *fields, const struct vm_info *info)
{
	log_fields_add(fields, "EAGERSPLIT_VM=%s", info->name);
	log_fields_add(fields, "EAGERSPLIT_PID=%i", (int)info->pid);
	log_fields_add(fields, "EAGERSPLIT_MIGRATION=%s", vm_migration_to_string(info->migration));
	log_fields_add(fields, "EAGERSPLIT_STAGE=%s", vm_stage_to_string(info->stage));
	log_fields_add(fields, "EAGERSPLIT_BLOCKS=%" PRIu64, info->blocks);
	log_fields_add(fields, "EAGERSPLIT_BLOCKS_SPLIT=%" PRIu64, info->blocks_split);
	log_fields_add(fields, "EAGERSPLIT_TLBIS=%" PRIu64, info->tlbis);
	if (info->has_deadline)
		log_fields_add(fields, "EAGERSPLIT_DEADLINE_USEC=%" PRIu64, info->deadline_usec);
	if (info->has_eta)
		log_fields_add(fields, "EAGERSPLIT_ETA_USEC=%" PRIu64, info->eta_usec);
	if (info->error)
		log_fields_add(fields, "EAGERSPLIT_ERROR=%s", info->error);
}

static void add_fields(struct log_fields *fields, const void *userdata)
{
	struct vm_info info;

	vm_get_info(userdata, 0, &info);
	vm_info_add_fields(fields, &info);
}

static bool vm_is_told_of(const struct vm *vm)
{
	return vm->table.registered || vm_state_is_told(vm->migration.state);
}

bool vm_may_log(const struct vm *vm)
{
	return vm_is_told_of(vm) ||
	       log_quota_ask(vm->log_quota, vm->host_vm ? vm->host_vm->uid : -1);
}

void vm_log(const struct vm *vm, int priority, const char *id, const char *format, ...)
{
	const struct log_about about = {
		.priority = priority,
		.id = id,
		.subject = vm->table.name,
		.add_fields = add_fields,
		.userdata = vm,
	};
	char text[1024];
	va_list ap;

	if (!vm_may_log(vm))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_about(&about, "%s", text);
}
