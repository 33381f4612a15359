/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What splitting needs of a host: the kernel's ioctls (backend-kvm.c), or a
 * simulated host (backend-sim.c). A backend_vm is used by one thread at a
 * time, but for read_events(), which the event loop may call at any. What may
 * block is called from worker threads: scan(), list_vms(), adopt(), open_vm(), take_vm(),
 * close_vm() and the calls on a VM. The others are called from the event loop.
 */
#ifndef EAGERSPLITD_BACKEND_H
#define EAGERSPLITD_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "base/util.h"
#include "host/survey.h"

struct backend;
struct backend_vm;
struct guest_names;
struct sim_settings;

/**
 * struct backend_host - what a host can do
 * @supported: splitting is possible
 * @reason: why it is not, otherwise NULL; owned by the backend
 * @bbm_level: FEAT_BBM level that splits can go by, 0 or 2
 * @pauses: it can be done by pauses, without TLBIs
 * @batch: blocks that have a TLBI, or a pause, in common, where no vCPU waits
 */
struct backend_host {
	bool supported;
	const char *reason;
	int bbm_level;
	bool pauses;
	uint32_t batch;
};

/* What a host tells of its VMs. */
enum host_event {
	HOST_VM_CREATED,
	HOST_VM_DESTROYED,
	HOST_EVENTS_LOST, /* what is there has to be looked for */
};

/* @pid: the VMM's process; 0: not known */
typedef void (*host_event_fn)(void *userdata, enum host_event event, pid_t pid);

/* The most VMs of one process. */
#define BACKEND_VMS_MAX 64

/* What a VM tells by its splitter, see backend_ops.read_events(). */
enum {
	VM_TELLS_GONE = 1 << 0,
	VM_TELLS_LOG = 1 << 1, /* dirty logging was switched since the last survey */
};

enum {
	RUN_SPLIT = 1 << 0,
	RUN_RECOVER = 1 << 1,
	RUN_BREAK = 1 << 2, /* by break-before-make, whatever the CPU can */
	RUN_PAUSE = 1 << 3, /* by pauses of the VM, where the host can */
};

/**
 * struct split_call - one bounded call into the host
 * @gpa: in: where to start; out: the first address not dealt with
 * @size: in: bytes, 0: all; out: bytes left, 0: the range is done
 * @max_tlbis: in: broadcast TLBIs that may be spent, with RUN_PAUSE pauses, 0: no limit
 * @max_blocks: in: blocks that may be split or recovered, 0: no limit
 * @flags: in: RUN_*
 * @blocks: out: split, or recovered
 * @tlbis: out: spent
 * @tlbi_nsec: out: time that those took
 * @pauses: out: how often all vCPUs of the VM were kept out of the guest
 * @hold_max_nsec: out: the longest that the VM's lock was held
 * @yields: out: how often a batch ended early since somebody waited for that
 *
 * All that is out is valid on error too.
 */
struct split_call {
	uint64_t gpa;
	uint64_t size;
	uint64_t max_tlbis;
	uint64_t max_blocks;
	unsigned int flags;
	uint64_t blocks;
	uint64_t tlbis;
	uint64_t tlbi_nsec;
	uint64_t pauses;
	uint64_t hold_max_nsec;
	uint64_t yields;
};

struct backend_ops {
	const char *name;
	void (*free)(struct backend *backend);
	/* Looks at the host anew; called at start, and on reload. */
	void (*probe)(struct backend *backend, struct backend_host *ret);
	/* Takes up what the simulated host is like from now on; may be NULL. */
	void (*configure)(struct backend *backend, const struct sim_settings *settings);
	/*
	 * Has @event called from the loop from now on. 0 or a negative errno:
	 * then VMs come and go unseen.
	 */
	int (*watch)(struct backend *backend, sd_event *loop, host_event_fn event, void *userdata);
	/* Has @found called for each process with a VM until that returns other than 0. */
	int (*scan)(struct backend *backend, int (*found)(void *userdata, pid_t pid),
		    void *userdata);
	/*
	 * Lists the VMs of the process that @pidfd stands for, as numbers
	 * that tell them apart, in order; returns how many, at least 1.
	 * -ENOTTY: no VM there; -ESRCH: the process is gone; -EPERM, -EACCES:
	 * not permitted.
	 */
	int (*list_vms)(struct backend *backend, int pidfd, pid_t pid,
			int numbers[BACKEND_VMS_MAX]);
	/*
	 * What the VMM of process @pid calls its guest. 0; -ENOENT: nothing; another negative
	 * errno: that cannot be found out.
	 */
	int (*guest_names)(struct backend *backend, pid_t pid, struct guest_names *ret);
	/*
	 * Both of these at once, of which a host has one or the other: the VMs of process @pid,
	 * and splitters of them. As list_vms(); or as much as opening the first of them gave.
	 */
	int (*look)(struct backend *backend, pid_t pid, int numbers[BACKEND_VMS_MAX],
		    struct backend_vm *vms[BACKEND_VMS_MAX]);
	/* Makes a VM for a process that is registered and has none; may be NULL. */
	int (*adopt)(struct backend *backend, pid_t pid);
	/* Makes a splitter of a VM of the list. -ENXIO, -ESRCH: that is gone. */
	int (*open_vm)(struct backend *backend, int pidfd, pid_t pid, int number,
		       struct backend_vm **ret);
	/*
	 * Whether @fd, which others gave us, may be a splitter: by its name, so this
	 * neither blocks nor has anything done to it.
	 */
	bool (*looks_like_vm)(struct backend *backend, int fd);
	/*
	 * Takes a splitter that others have made, also on error; whose VM it is may not be
	 * known. -ENOTTY: it is none; -ENODEV: the VM is gone.
	 */
	int (*take_vm)(struct backend *backend, int fd, struct backend_vm **ret);
	/* Closes the splitter: its hold, if any, is over unless there are duplicates. */
	void (*close_vm)(struct backend_vm *vm);
	/* From the loop, when vm->fd polls @revents: VM_TELLS_*. Does not block. */
	unsigned int (*read_events)(struct backend_vm *vm, uint32_t revents);
	/*
	 * -EINTR: a signal; -ENOMEM: no memory for page tables (or for the survey);
	 * -ENODEV: the VM is gone. Recovering: -EBUSY: it is held.
	 */
	int (*survey)(struct backend_vm *vm, struct survey *ret); /* @ret is empty */
	int (*hold)(struct backend_vm *vm);
	int (*release)(struct backend_vm *vm);
	int (*run)(struct backend_vm *vm, struct split_call *call);
};

/* The head of every backend. */
struct backend {
	const struct backend_ops *ops;
};

/**
 * struct backend_vm - the head of every backend's VM: a splitter
 * @fd: to poll, and to be kept by the service manager; the VM's
 * @id: tells VMs apart, never used twice until reboot, never 0
 * @uid: the user whose process made it, -1: not known
 * @start_time: when that process started, see struct vm: whoever looked at it fills that in
 */
struct backend_vm {
	struct backend *backend;
	int fd;
	uint64_t id;
	int64_t uid;
	uint64_t start_time;
	TAILQ_ENTRY(backend_vm) link;
};

/*
 * @helper: looks into other processes: the path of a socket, *.sock, where systemd starts one for
 * each connection, or of the program, see fetcher_new(). Never fails for lack of kernel support:
 * probe() tells.
 */
int backend_kvm_new(struct backend **ret, const char *helper);

/* @dir: the folder that the simulated VMs are in; made if it is not there. */
int backend_sim_new(struct backend **ret, const struct sim_settings *settings, const char *dir);

/* Frees @backend; all its VMs have been closed. Returns NULL. */
struct backend *backend_free(struct backend *backend);
DEFINE_CLEANUP(struct backend *, backend_free);

#endif /* EAGERSPLITD_BACKEND_H */
