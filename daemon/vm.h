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
#include <sys/types.h>

/* What orchestration told of the VM's migration. */
enum vm_migration {
	VM_MIGRATION_NONE,
	VM_MIGRATION_SCHEDULED,
	VM_MIGRATION_ACTIVE,
	VM_MIGRATION_COMPLETED,
	VM_MIGRATION_CANCELLED,
	VM_MIGRATION_FAILED,
	VM_MIGRATION_MAX_,
};

/* What the daemon has done to the VM's stage 2. */
enum vm_stage {
	VM_STAGE_WHOLE,
	VM_STAGE_SPLITTING,
	VM_STAGE_SPLIT,
	VM_STAGE_RECOVERING,
	VM_STAGE_FAILED,
	VM_STAGE_MAX_,
};

/* The longest name that a VM may be given, in bytes, without the NUL. */
#define VM_NAME_MAX 128

struct vm;

/**
 * struct memslot - a memslot as the last survey saw it
 * @slot: id, with the address space in bits 31:16
 * @gpa: guest physical address where it starts
 * @bytes: size
 * @blocks: blocks that still map it
 * @block_bytes: guest memory that those cover
 * @dirty_logging: KVM_MEM_LOG_DIRTY_PAGES is set
 */
struct memslot {
	uint32_t slot;
	uint64_t gpa;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t block_bytes;
	bool dirty_logging;
};

/**
 * struct vm_info - a snapshot of a VM, see vm_get_info()
 * @surveyed: a survey has been made: before that, sizes and counts are 0
 * @bytes: guest memory in memslots
 * @blocks: blocks left to split
 * @block_bytes: guest memory that those cover
 * @blocks_split: split since the VM was registered
 * @tlbis: spent on the VM since it was registered
 * @eta_usec: until split, at the present share of the budget, where @has_eta
 * @deadline_usec: CLOCK_REALTIME, as given, where @has_deadline
 * @late: the ETA lies past the deadline
 * @error: why the stage is VM_STAGE_FAILED, otherwise NULL
 */
struct vm_info {
	const char *name;
	pid_t pid;
	enum vm_migration migration;
	enum vm_stage stage;
	bool surveyed;
	uint64_t bytes;
	uint64_t blocks;
	uint64_t block_bytes;
	uint64_t blocks_split;
	uint64_t tlbis;
	bool has_eta;
	uint64_t eta_usec;
	bool has_deadline;
	uint64_t deadline_usec;
	bool late;
	const char *error;
	const struct memslot *memslots;
	size_t n_memslots;
};

/* Fills @info. Its pointers are borrowed: valid until the loop runs again. */
void vm_get_info(const struct vm *vm, struct vm_info *info);

/* The name used in the control interface, never NULL. */
const char *vm_migration_to_string(enum vm_migration migration);

/* The state of that name (NULL is none), or -EINVAL. */
int vm_migration_from_string(const char *s);

/* The name used in the control interface, never NULL. */
const char *vm_stage_to_string(enum vm_stage stage);

#endif /* EAGERSPLITD_VM_H */
