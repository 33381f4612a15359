/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that the daemon looks after: whose it is, what was told of its
 * migration, and what the daemon has done about it.
 */
#ifndef EAGERSPLITD_VM_H
#define EAGERSPLITD_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/util.h"
#include "host/qemu-name.h"
#include "host/survey.h"
#include "vm/passage.h"
#include "vm/vm-state.h"

/* What the daemon has done to the VM's stage 2. */
enum vm_stage {
	VM_STAGE_WHOLE,
	VM_STAGE_SPLITTING,
	VM_STAGE_SPLIT,
	VM_STAGE_RECOVERING,
	VM_STAGE_FAILED,
	VM_STAGE_MAX_,
};

/* What of a VM has changed. */
enum vm_change {
	VM_CHANGE_STATE, /* the migration or the stage */
	VM_CHANGE_PROGRESS, /* a call has ended: counts, ETA, memslots */
	VM_CHANGE_NONE, /* a survey has ended, and saw what was known */
};

/* The longest name that a VM may be given, in bytes, without the NUL. */
#define VM_NAME_MAX 128

struct backend_vm;
struct log_quota;
struct work;

/**
 * struct vm_info - a snapshot of a VM, see vm_get_info()
 * @uid: the VMM's user, -1: not known
 * @uuid: what its VMM calls it, NULL: not known
 * @claimed: the name that it has by itself, and another VM, too; NULL: none
 * @surveyed: a survey has been made: before that, sizes and counts are 0
 * @bytes: guest memory in memslots
 * @blocks: blocks left to split
 * @block_bytes: guest memory that those cover
 * @blocks_split: split since the VM was registered
 * @tlbis: spent on the VM since it was registered
 * @tlbi_nsec: time that those took
 * @eta_usec: until split, at the present share of the budget, where @has_eta
 * @deadline_usec: CLOCK_REALTIME, as given, where @has_deadline
 * @late: the ETA lies past the deadline
 * @error: why the stage is VM_STAGE_FAILED, otherwise NULL
 * @memslots: the first of them, SURVEY_SLOTS_MAX at the most
 * @n_memslots: how many there are
 */
struct vm_info {
	const char *name;
	pid_t pid;
	int64_t uid;
	const char *uuid;
	const char *claimed;
	enum vm_migration migration;
	enum vm_stage stage;
	bool surveyed;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t block_bytes;
	uint64_t blocks_split;
	uint64_t tlbis;
	uint64_t tlbi_nsec;
	bool has_eta;
	uint64_t eta_usec;
	bool has_deadline;
	uint64_t deadline_usec;
	bool late;
	const char *error;
	const struct memslot *memslots;
	uint64_t n_memslots;
};

/* So many may watch it at once. */
#define VM_WATCHES_MAX 256

/* What a VM may be found by: it was told, systemd-machined's, its own, a UUID. */
#define VM_KEYS_MAX 4

struct vm_key {
	struct hash_node node;
	struct vm *vm;
};

TAILQ_HEAD(vm_list, vm);

/**
 * struct vm - a VM: what it is, and a part for each of those who write in it
 * @id: PID.NUMBER, which stays whatever it is named
 * @pid: the VMM's process, as it was when the VM was found or registered: where that has handed
 *	 it on and ended, the id may be another's by now
 * @start_time: when that started, see process_find_start(); 0: not known, as an older daemon did not
 *		keep it
 * @number: tells it from other VMs of the process
 * @host_vm: the splitter, owned; it does not keep the VM alive, and tells when that is gone
 * @owner: whoever created it
 * @log_quota: of messages about it and others, the owner's; NULL: none
 * @watch: of the splitter
 * @tells: see vm_watch()
 * @work: what the splitter does about it, owned by the splitter
 *
 * @table: the manager's table of VMs
 * @table.list: of the manager, where it is; NULL: in none
 * @table.by_id: among those of all lists, by what the host calls it
 * @table.by_pid: and by its process
 * @table.order: of those in the table, who came before it has less
 * @table.name: what it is called: a name, or a copy of @id
 * @table.registered: somebody who may change something has
 * @table.handed_over: somebody else has
 * @table.unwanted: somebody has unregistered it
 * @table.leaving: it is no longer in the table
 * @table.replaced: and the same VM of the host is, as another one
 * @table.gone: the VM is, it is not only let go of
 *
 * @names: what it is called, of which @table.name is one: see manager-names.h
 * @names.told: by who may change something, NULL: nothing
 * @names.machine: by systemd-machined, NULL: not known
 * @names.own: by its VMM, NULL: not known
 * @names.uuid: the same, in lower case; empty: not known
 * @names.keys: where it is found by these
 *
 * @migration: what happens to it
 * @migration.state: where it is
 * @migration.told_usec: when it was last said to be scheduled or active, CLOCK_BOOTTIME
 * @migration.dirty_logging: of its memory, as the migration was last told
 * @migration.log_ended: that it ended was seen too early for the migration to be told
 * @migration.deadline_usec: CLOCK_REALTIME, UINT64_MAX: none
 * @migration.told_late: vm_note_late() has said so
 * @migration.tlbi_rate: a ceiling asked for with it, 0: none
 *
 * @progress: the work's
 * @progress.stage: what has been done
 * @progress.error: why that is VM_STAGE_FAILED, otherwise NULL
 * @progress.survey: the last one, less what was split since, and with what was recovered
 * @progress.bytes: guest memory in all its memslots
 * @progress.blocks: and the blocks that map it
 * @progress.block_bytes: and what those cover
 * @progress.surveyed: there has been one
 * @progress.early: nothing may follow from what that one saw of dirty logging, see work_look()
 * @progress.blocks_split: since it was registered
 * @progress.tlbis: spent on it since it was registered
 * @progress.tlbi_nsec: time that those took
 * @progress.get_eta: in how many microseconds it will be split, if that can be told; NULL
 *		      while there is no work
 *
 * @course: how the migration goes, to be told in the end
 *
 * @watches: by the number of each watch of control-watch.h
 * @watches.queued: it is in that one's queue
 * @watches.pending: and to be told of
 *
 * @store: what is kept for the next daemon
 * @store.saved_nsec: when its record was last to be written, CLOCK_MONOTONIC
 * @store.unsaved: and could not be
 */
struct vm {
	char *id;
	pid_t pid;
	uint64_t start_time;
	int number;
	struct backend_vm *host_vm;
	void *owner;
	struct log_quota *log_quota;
	sd_event_source *watch;
	void (*tells)(struct vm *vm, unsigned int what);
	struct work *work;

	struct {
		struct vm_list *list;
		struct hash_node by_id;
		struct hash_node by_pid;
		uint64_t order;
		char *name;
		bool registered;
		bool handed_over;
		bool unwanted;
		bool leaving;
		bool replaced;
		bool gone;
	} table;

	struct {
		char *told;
		char *machine;
		char *own;
		char uuid[UUID_SIZE];
		struct vm_key keys[VM_KEYS_MAX];
	} names;

	struct {
		enum vm_state state;
		uint64_t told_usec;
		bool dirty_logging;
		bool log_ended;
		uint64_t deadline_usec;
		bool told_late;
		uint64_t tlbi_rate;
	} migration;

	struct {
		enum vm_stage stage;
		char *error;
		struct survey survey;
		uint64_t bytes;
		uint64_t blocks;
		uint64_t block_bytes;
		bool surveyed;
		bool early;
		uint64_t blocks_split;
		uint64_t tlbis;
		uint64_t tlbi_nsec;
		bool (*get_eta)(const struct vm *vm, uint64_t *ret_usec);
	} progress;

	struct course course;

	struct {
		uint64_t queued[VM_WATCHES_MAX / 64];
		uint64_t pending[VM_WATCHES_MAX / 64];
	} watches;

	struct {
		uint64_t saved_nsec;
		bool unsaved;
	} store;

	TAILQ_ENTRY(vm) link;
};

/*
 * Creates the VM @number of process @pid, called by its id. Takes @host_vm, but not on
 * error. 0 or -ENOMEM.
 */
int vm_new(struct vm **ret, struct backend_vm *host_vm, pid_t pid, int number, void *owner);

/* Frees @vm, whose work has been freed; closes its splitter if it still has one. Returns NULL. */
struct vm *vm_free(struct vm *vm);
DEFINE_CLEANUP(struct vm *, vm_free);

/*
 * Has @tells called from the loop when the splitter does, with VM_TELLS_*; where that is all the time,
 * 16 times a second. 0 or a negative errno.
 */
int vm_watch(struct vm *vm, sd_event *event, void (*tells)(struct vm *vm, unsigned int what));

/* Gives up the splitter, which is watched no more. */
struct backend_vm *vm_take_host_vm(struct vm *vm);

/* Blocks left to split, as far as known. */
uint64_t vm_count_blocks(const struct vm *vm);

/* Takes what is in @survey, and empties that. Whether it is not what was known. */
bool vm_take_survey(struct vm *vm, struct survey *survey);

/*
 * Takes note that @blocks were split in the memslot at index @slot, of which a walk has
 * passed @bytes of guest memory meanwhile: a block of 1 GiB counts as one and those that
 * it became on its way to pages.
 */
void vm_note_split(struct vm *vm, size_t slot, uint64_t blocks, uint64_t bytes);

/* The same of blocks that came back. */
void vm_note_recovered(struct vm *vm, size_t slot, uint64_t blocks, uint64_t bytes);

/* CLOCK_REALTIME, UINT64_MAX: none. */
void vm_set_deadline(struct vm *vm, uint64_t usec);

/* Whether @vm has become late by @realtime_usec, now: true once for each deadline. */
bool vm_note_late(struct vm *vm, uint64_t realtime_usec);

/* Sets the stage, and the error, a copy of which is kept; NULL: none. Logs what is new. */
void vm_set_stage(struct vm *vm, enum vm_stage stage, const char *error);

/* Whether @name looks like an id, PID.NUMBER. */
bool vm_name_is_id(const char *name);

/*
 * What libvirt takes for one: up to VM_NAME_MAX bytes of UTF-8, not only blanks, without "/"
 * and control characters; and no id.
 */
bool vm_name_is_valid(const char *name);

/*
 * Fills @info; @realtime_usec: now, on CLOCK_REALTIME. Its pointers are borrowed: valid
 * until the loop runs again.
 */
void vm_get_info(const struct vm *vm, uint64_t realtime_usec, struct vm_info *info);

/* What the journal is told of a VM. */
void vm_info_add_fields(struct log_fields *fields, const struct vm_info *info);

/* The name used in the control interface, never NULL. */
const char *vm_stage_to_string(enum vm_stage stage);

/*
 * Whether a message about @vm is to be logged, and says how many were not. One of which nobody has
 * said anything may be one of any number, and its user may cause so many messages and no more.
 */
bool vm_may_log(const struct vm *vm);

/* Logs what is about @vm, unless there is too much of that; @priority: LOG_ERR..., @id: MESSAGE_*, NULL: none of those. */
void vm_log(const struct vm *vm, int priority, const char *id, const char *format, ...)
	_printf_(4, 5);

#define log_vm_error(vm, id, ...)   vm_log(vm, LOG_ERR, id, __VA_ARGS__)
#define log_vm_warning(vm, id, ...) vm_log(vm, LOG_WARNING, id, __VA_ARGS__)
#define log_vm_info(vm, id, ...)    vm_log(vm, LOG_INFO, id, __VA_ARGS__)

#endif /* EAGERSPLITD_VM_H */
