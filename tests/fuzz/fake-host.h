/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host for the fuzzer of the manager: processes with VMs that come and go and whose memory
 * changes, splitters of them that are files as any, and calls that go wrong when they are to.
 * It outlives the backends by which daemons see it. Linked with --wrap=close.
 */
#ifndef EAGERSPLITD_FAKE_HOST_H
#define EAGERSPLITD_FAKE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "host/backend.h"
#include "meter.h"

#define HOST_PROCESSES	 5
#define HOST_PID(i)	 ((pid_t)(101 + (i) % HOST_PROCESSES))
#define HOST_VMS_MAX	 48
#define HOST_SLOTS_MAX	 3
#define HOST_BLOCKS_MAX	 32
#define HOST_BLOCK_BYTES (UINT64_C(2) << 20)

/* What the guest of one process has, if it has a name. */
#define HOST_UUID "c0ffee00-0000-4000-8000-000000000000"

/* What can go wrong. */
enum host_call {
	HOST_CALL_SURVEY = 1 << 0,
	HOST_CALL_HOLD = 1 << 1,
	HOST_CALL_RELEASE = 1 << 2,
	HOST_CALL_SPLIT = 1 << 3,
	HOST_CALL_RECOVER = 1 << 4,
	HOST_CALL_LOOK = 1 << 5,
	HOST_CALL_SCAN = 1 << 6,
	HOST_CALL_NAME = 1 << 7,
	HOST_CALL_TAKE = 1 << 8,
};

/**
 * struct host_slot - a memslot
 * @blocks: that are mapped by blocks, a bit each
 * @stubborn: which stay so
 */
struct host_slot {
	uint64_t gpa;
	unsigned int n_blocks;
	uint32_t blocks;
	bool stubborn;
	bool logged;
};

/**
 * struct host_vm - a VM
 * @alive: it is there
 * @shown: its VMM has its descriptor
 * @told: the host has told of it since
 * @held_by_other: by a splitter that is none of the daemon's
 * @stubborn: there were blocks that stay
 * @failed: an error has been returned that says it is no use
 */
struct host_vm {
	uint64_t id;
	pid_t pid;
	int number;
	bool alive;
	bool shown;
	bool told;
	bool held_by_other;
	bool stubborn;
	bool failed;
	size_t n_slots;
	struct host_slot slots[HOST_SLOTS_MAX];
	TAILQ_ENTRY(host_vm) link;
};

/**
 * struct host - it
 * @supported, @bbm_level, @batch: see struct backend_host
 * @vcpus_wait: batches end early
 * @tlbi_nsec: that a TLBI takes
 * @excess: TLBIs that calls spend beyond their grant
 * @fails: calls that return @error, @n_fails times from now on
 * @refused: they have been refused for good, so VMs may be missing
 * @names: what VMMs call their guests; NULL: nothing
 */
struct host {
	bool supported;
	int bbm_level;
	uint32_t batch;
	bool vcpus_wait;
	uint64_t tlbi_nsec;
	uint64_t excess;
	unsigned int fails;
	int error;
	unsigned int n_fails;
	bool refused;
	const char *names[HOST_PROCESSES];
	struct meter meter;
	size_t n_vms;
	uint64_t next_id;
	TAILQ_HEAD(host_vm_list, host_vm) vms;
};

extern struct host host;

void host_begin(void);

/* All is closed, or there is a leak. */
void host_end(void);

/* Another daemon's view. @loop: for loop_poll(). */
struct backend *host_new_backend(void);

/* Tells the daemon, if it listens. */
void host_tell(enum host_event event, pid_t pid);

/* NULL: there are enough. */
struct host_vm *host_create_vm(pid_t pid);
void host_destroy_vm(sd_event *loop, struct host_vm *vm);
void host_log(sd_event *loop, struct host_vm *vm, size_t slot, bool on);

/* Faults of vCPUs: pages become blocks again where nothing is in the way. */
void host_fault(struct host_vm *vm, uint32_t blocks);

/* Whether any splitter but @vm->held_by_other's holds it. */
bool host_is_held(const struct host_vm *vm);
uint64_t host_count_blocks(const struct host_vm *vm);

/* A splitter of @vm as a descriptor, the caller's. */
int host_make_file(struct host_vm *vm, bool held);
/* Whether its VM is there. */
bool host_file_is_alive(int file);
/* What there is to be told to whom begins to watch it; of what is no splitter nothing. */
uint32_t host_poll_file(int file);
void host_dup_file(int file);
void host_close_file(int file);

#endif /* EAGERSPLITD_FAKE_HOST_H */
