/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM of the lab: vCPUs, memslots, dirty log. */
#ifndef LAB_VM_H
#define LAB_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "faults.h"
#include "guest-abi.h"

/* Linux 6.1's, which Debian 12's C library does not know. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Test memory lies from here up, apart from the control memslot. */
#define VM_MEMORY    0x80000000ull
#define VM_MAX_SLOTS 32

/* Huge pages are of the size of a block of the host's, 2 MiB with pages of 4 KiB. */
enum vm_backing {
	VM_BACKING_4K,
	VM_BACKING_THP,
	VM_BACKING_HUGE,
	VM_BACKING_HUGE_1G,
	VM_BACKING_SHARED
};

struct vm;

/*
 * @bitmap: the last log that was fetched; valid until the next one is
 * @copied: of each page the generation that a migration has sent; see harvest.h
 * @pages_a_bit: of 4 KiB, in one of the host's pages, of each of which the log has a bit
 */
struct vm_slot_view {
	volatile uint64_t *memory;
	const uint64_t *bitmap;
	uint64_t *copied;
	uint64_t pages;
	uint64_t pages_a_bit;
};

/*
 * What to do in a memslot, in its first @pages pages (0: all), and of them in
 * one in @step; see struct guest_block.
 */
struct vm_work {
	enum guest_command command;
	uint64_t pages;
	uint64_t step;
	uint64_t write_every;
	uint64_t exec_every;
};

struct vm_checksum {
	uint64_t guest; /* the guest's, through stage 2 */
	uint64_t host; /* the VMM's, over its own mapping */
	uint64_t expected; /* what the pages' generations say */
};

/* @pages: that the log tells of; @missing: written since the call before, in neither call's log */
struct vm_dirty {
	uint64_t pages;
	uint64_t missing;
};

/*
 * Makes a VM of @n_vcpus, all at the doorbell. @chunk: for
 * KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, 0: not enabled; @manual: flags for
 * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2; @faults: count them, for vm_faults(); @vgic: with
 * a GICv3, and one vCPU. Returns 0 or a negative errno.
 */
int vm_new(struct vm **ret, unsigned int n_vcpus, uint64_t chunk, uint64_t manual, bool faults,
	   bool vgic);
struct vm *vm_free(struct vm *vm);
int vm_fd(const struct vm *vm);
unsigned int vm_n_vcpus(const struct vm *vm);

/*
 * Memslots, by number from 1. All return 0 or a negative errno: -EINVAL for a
 * number that is out of range, -EEXIST and -ENOENT; -ENOMEM without huge pages.
 * A deleted slot keeps its memory, and vm_slot_add() with the same size and
 * backing maps it again, as if the guest's memory had been unplugged a moment.
 */
int vm_slot_add(struct vm *vm, unsigned int number, uint64_t gpa, uint64_t bytes,
		enum vm_backing backing, bool log);
int vm_slot_delete(struct vm *vm, unsigned int number);
int vm_slot_move(struct vm *vm, unsigned int number, uint64_t gpa);
int vm_slot_log(struct vm *vm, unsigned int number, bool log);
int vm_slot_view(struct vm *vm, unsigned int number, struct vm_slot_view *view);

/*
 * madvise() on the slot's memory, from page @first on; @pages 0: all of it. Returns 0
 * or a negative errno.
 */
int vm_slot_advise(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages, int advice);

/* mprotect() of the same, to be written and read, and with @exec executed, too. Likewise. */
int vm_slot_protect(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages, bool exec);

/*
 * Unmaps pages of a slot with VM_BACKING_SHARED from the VMM, and maps them again.
 * Returns 0 or a negative errno.
 */
int vm_slot_remap(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages);

/* Has the vCPUs share the slot's pages, and waits for all. */
int vm_work(struct vm *vm, unsigned int number, const struct vm_work *work);

/* The same without waiting: until vm_stop(), with GUEST_RUN or GUEST_REMAP. */
int vm_start(struct vm *vm, unsigned int number, const struct vm_work *work);
int vm_stop(struct vm *vm);

/* The vCPUs' results of the work in hand or done last. */
uint64_t vm_done(const struct vm *vm, unsigned int vcpu);
uint64_t vm_errors(const struct vm *vm, uint64_t *bad_page);

/* @work says which pages. */
int vm_checksum(struct vm *vm, unsigned int number, const struct vm_work *work,
		struct vm_checksum *sum);

/*
 * KVM_GET_DIRTY_LOG; KVM_CLEAR_DIRTY_LOG of what that gave, in pages @first to @first+@pages.
 * All are of 4 KiB, whatever the host's are.
 */
int vm_get_dirty(struct vm *vm, unsigned int number, struct vm_dirty *dirty);
int vm_clear_dirty(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages);

/* Since the VM was made. */
int vm_faults(const struct vm *vm, uint64_t counts[FAULT_KINDS]);
uint64_t vm_stray_exits(const struct vm *vm);

/* Calls @each for KVM's statistics of the VM, then for the sums over its vCPUs. */
int vm_stats(const struct vm *vm,
	     void (*each)(void *data, bool vcpu, const char *name, uint64_t value), void *data);

#endif
