// SPDX-License-Identifier: GPL-2.0-or-later
/* The real host: KVM's splitters, made of descriptors fetched from VMMs. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <linux/kvm_eager_split.h>

#include "base/transient.h"
#include "host/anon-inode.h"
#include "host/backend.h"
#include "host/fetcher.h"
#include "host/process.h"
#include "host/uevent-socket.h"

#define KVM_DEVICE   "/dev/kvm"
#define KVM_SPLITTER "kvm-splitter"

/* Blocks that the kernel splits by one TLBI, where nobody waits. */
#define BATCH 512

/* What a process may hold up the looks at others for, and the naming of others' guests. */
#define LOOK_MSEC 2000

/* Room for memslots in the first try; most VMs have far fewer. */
#define SURVEY_SLOTS 64
/* Memslots can be added while we make room for them, but not for ever. */
#define SURVEY_TRIES 8

/* Levels of the stage-2 tables at which a leaf is a block. */
#define BLOCK_LEVELS 3

/*
 * @looker, @scanner, @namer: look into other processes: one that takes its time to tell a name,
 *			      and all that there are, are not to keep a VM from being found
 * @no_break: the kernel splits without break-before-make, unless told otherwise; set by the
 *	      loop on each probe, and read by workers that open VMs meanwhile
 */
struct kvm {
	struct backend backend;
	char reason[128];
	atomic_bool no_break;
	struct fetcher *looker;
	struct fetcher *scanner;
	struct fetcher *namer;
	struct uevent_socket *uevents;
	host_event_fn event;
	void *event_userdata;
};

/* @no_break: as of when it was opened, for the worker threads; it lasts until reboot */
struct kvm_vm {
	struct backend_vm vm;
	bool no_break;
};

static void kvm_free(struct backend *backend)
{
	struct kvm *kvm = (struct kvm *)backend;

	uevent_socket_free(kvm->uevents);
	fetcher_free(kvm->looker);
	fetcher_free(kvm->scanner);
	fetcher_free(kvm->namer);
	free(kvm);
}

static void kvm_probe(struct backend *backend, struct backend_host *ret)
{
	struct kvm *kvm = (struct kvm *)backend;
	_cleanup_close_ int fd = -1;
	int mask = 0;

	kvm->reason[0] = '\0';
	fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		mask = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT);
	if (fd < 0 || mask < 0)
		snprintf(kvm->reason, sizeof(kvm->reason), KVM_DEVICE ": %s", strerror(errno));
	else if (!(mask & KVM_ARM_EAGER_SPLIT_FD))
		snprintf(kvm->reason, sizeof(kvm->reason),
			 "this kernel's KVM has no eager splitting (KVM_CAP_ARM_EAGER_SPLIT)");

	kvm->no_break = !kvm->reason[0] && mask & KVM_ARM_EAGER_SPLIT_NO_BREAK;

	*ret = (struct backend_host){
		.supported = !kvm->reason[0],
		.reason = kvm->reason[0] ? kvm->reason : NULL,
		.bbm_level = kvm->no_break ? 2 : 0,
		.pauses = !kvm->reason[0] && mask & KVM_ARM_EAGER_SPLIT_PAUSE,
		.batch = BATCH,
	};
}

/* KVM names the thread that created the VM; it may have ended, or be in another namespace. */
static void on_uevent(void *userdata, const struct uevent *uevent)
{
	static const enum host_event events[] = {
		[UEVENT_VM_CREATED] = HOST_VM_CREATED,
		[UEVENT_VM_DESTROYED] = HOST_VM_DESTROYED,
	};
	pid_t pid = process_of_thread(uevent->tid);
	struct kvm *kvm = userdata;

	kvm->event(kvm->event_userdata, events[uevent->type], pid > 0 ? pid : 0);
}

static void on_uevents_lost(void *userdata)
{
	struct kvm *kvm = userdata;

	kvm->event(kvm->event_userdata, HOST_EVENTS_LOST, 0);
}

static const struct uevent_socket_ops uevent_ops = {
	.received = on_uevent,
	.lost = on_uevents_lost,
};

static int kvm_watch(struct backend *backend, sd_event *loop, host_event_fn event, void *userdata)
{
	struct kvm *kvm = (struct kvm *)backend;

	kvm->event = event;
	kvm->event_userdata = userdata;
	return uevent_socket_new(&kvm->uevents, loop, &uevent_ops, kvm);
}

static int kvm_scan(struct backend *backend, int (*found)(void *userdata, pid_t pid),
		    void *userdata)
{
	return fetcher_scan(((struct kvm *)backend)->scanner, found, userdata);
}

static int kvm_guest_names(struct backend *backend, pid_t pid, struct guest_names *ret)
{
	return fetcher_names(((struct kvm *)backend)->namer, pid, ret);
}

static void kvm_close_vm(struct backend_vm *vm)
{
	close(vm->fd);
	free(vm);
}

/*
 * Asks with room for @n memslots at @slots. Also where that is too little, which is -E2BIG,
 * @survey has the rest.
 */
static int kvm_ask(const struct kvm_vm *vm, struct kvm_arm_split_slot *slots, uint32_t n,
		   struct kvm_arm_split_survey *survey)
{
	*survey = (struct kvm_arm_split_survey){ .slots = (uintptr_t)slots, .nr_slots = n };
	return ioctl(vm->vm.fd, KVM_ARM_SPLIT_SURVEY, survey) < 0 ? -errno : 0;
}

/* Takes @fd, also on error. */
static int kvm_make_vm(struct kvm *kvm, int fd, struct backend_vm **ret)
{
	struct kvm_arm_split_survey survey;
	struct kvm_vm *vm = malloc(sizeof(*vm));
	int r;

	if (!vm) {
		close(fd);
		return -ENOMEM;
	}
	*vm = (struct kvm_vm){
		.vm = { .backend = &kvm->backend, .fd = fd, .uid = -1 },
		.no_break = kvm->no_break,
	};
	r = kvm_ask(vm, NULL, 0, &survey);
	if (r < 0 && r != -E2BIG) {
		kvm_close_vm(&vm->vm);
		return r;
	}
	vm->vm.id = survey.vm_id;
	*ret = &vm->vm;
	return 0;
}

static int kvm_look(struct backend *backend, pid_t pid, int numbers[BACKEND_VMS_MAX],
		    struct backend_vm *vms[BACKEND_VMS_MAX])
{
	struct kvm *kvm = (struct kvm *)backend;
	_cleanup_(fetched_done) struct fetched fetched;
	int n = 0, r;

	static_assert(BACKEND_VMS_MAX == FETCH_VMS_MAX, "all of them fit in");
	r = fetcher_look(kvm->looker, pid, &fetched);
	for (size_t i = 0; i < fetched.n; i++) {
		r = kvm_make_vm(kvm, take_fd(&fetched.splitters[i]), &vms[n]);
		/* It is looked at anew: who has some takes them for all that there are. */
		if (error_is_transient(r)) {
			while (n)
				kvm_close_vm(vms[--n]);
			return r;
		}
		if (r < 0)
			continue;
		vms[n]->uid = fetched.uid;
		numbers[n++] = fetched.numbers[i];
	}
	if (r == -ENODEV)
		r = -ENOTTY;
	return n ? n : r;
}

static bool kvm_looks_like_vm(struct backend *backend, int fd)
{
	return anon_inode_is(fd, KVM_SPLITTER);
}

static int kvm_take_vm(struct backend *backend, int fd, struct backend_vm **ret)
{
	if (!anon_inode_is(fd, KVM_SPLITTER)) {
		close(fd);
		return -ENOTTY;
	}
	return kvm_make_vm((struct kvm *)backend, fd, ret);
}

static unsigned int kvm_read_events(struct backend_vm *vm, uint32_t revents)
{
	if (revents & (EPOLLHUP | EPOLLERR))
		return VM_TELLS_GONE;
	return revents & EPOLLIN ? VM_TELLS_LOG : 0;
}

/* Bytes that a leaf at @level maps: stage 2 has the page size of the host. */
static uint64_t leaf_bytes(unsigned int level)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t entries = bytes / sizeof(uint64_t);

	for (; level < BLOCK_LEVELS; level++)
		bytes *= entries;
	return bytes;
}

static void memslot_from_kvm(struct memslot *slot, const struct kvm_arm_split_slot *from)
{
	*slot = (struct memslot){
		.slot = from->slot,
		.gpa = from->guest_phys_addr,
		.bytes = from->memory_size,
		.read_only = from->flags & KVM_MEM_READONLY,
		.dirty_logging = from->flags & KVM_MEM_LOG_DIRTY_PAGES,
	};
	for (unsigned int level = 0; level < BLOCK_LEVELS; level++) {
		slot->blocks += from->blocks[level];
		slot->block_bytes += from->blocks[level] * leaf_bytes(level);
	}
}

/*
 * Asks with room for *@n memslots; if that is too little, -E2BIG, and *@n says how many there
 * are.
 */
static int kvm_try_survey(const struct kvm_vm *vm, uint32_t *n, struct survey *ret)
{
	_cleanup_free_ struct kvm_arm_split_slot *slots = calloc(*n, sizeof(*slots));
	struct kvm_arm_split_survey survey;
	struct memslot *memslots;
	uint32_t room = *n;
	int r;

	if (!slots)
		return -ENOMEM;
	r = kvm_ask(vm, slots, room, &survey);
	*n = survey.nr_slots;
	if (r < 0)
		return r;
	if (survey.nr_slots > room)
		return -E2BIG;

	memslots = calloc(max_u64(survey.nr_slots, 1), sizeof(*memslots));
	if (!memslots)
		return -ENOMEM;
	for (uint32_t i = 0; i < survey.nr_slots; i++)
		memslot_from_kvm(&memslots[i], &slots[i]);
	ret->held = survey.flags & KVM_ARM_SPLIT_SURVEY_HELD;
	ret->holders = survey.holders;
	ret->counters = (struct vm_counters){
		.stalls = survey.stats.stalls,
		.stall_nsec = survey.stats.stall_ns,
		.stall_max_nsec = survey.stats.stall_max_ns,
	};
	return survey_set_memslots(ret, memslots, survey.nr_slots);
}

static int kvm_survey(struct backend_vm *backend_vm, struct survey *ret)
{
	const struct kvm_vm *vm = (const struct kvm_vm *)backend_vm;
	uint32_t n = SURVEY_SLOTS;
	int r = -E2BIG;

	for (int i = 0; r == -E2BIG && i < SURVEY_TRIES; i++)
		r = kvm_try_survey(vm, &n, ret);
	return r;
}

static int kvm_hold(struct backend_vm *vm)
{
	return ioctl(vm->fd, KVM_ARM_SPLIT_HOLD, 0) < 0 ? -errno : 0;
}

static int kvm_release(struct backend_vm *vm)
{
	return ioctl(vm->fd, KVM_ARM_SPLIT_RELEASE, 0) < 0 ? -errno : 0;
}

static int kvm_run(struct backend_vm *backend_vm, struct split_call *call)
{
	const struct kvm_vm *vm = (const struct kvm_vm *)backend_vm;
	struct kvm_arm_split_run run = {
		.gpa = call->gpa,
		.size = call->size,
		.max_tlbis = call->max_tlbis,
		.max_blocks = call->max_blocks,
	};
	int r = 0;

	if (call->flags & RUN_SPLIT)
		run.flags |= KVM_ARM_SPLIT_RUN_SPLIT;
	if (call->flags & RUN_RECOVER)
		run.flags |= KVM_ARM_SPLIT_RUN_RECOVER;
	/* A kernel that always breaks may not know the flag. */
	if (call->flags & RUN_BREAK && vm->no_break)
		run.flags |= KVM_ARM_SPLIT_RUN_BREAK;

	/* Nobody asks for that where there is none. */
	if (call->flags & RUN_PAUSE)
		run.flags |= KVM_ARM_SPLIT_RUN_PAUSE;

	if (ioctl(vm->vm.fd, KVM_ARM_SPLIT_RUN, &run) < 0)
		r = -errno;
	call->gpa = run.gpa;
	call->size = run.size;
	call->blocks = run.blocks;
	call->tlbis = run.tlbis;
	call->tlbi_nsec = run.tlbi_ns;
	call->pauses = call->flags & RUN_PAUSE ? run.pauses : 0;
	call->hold_max_nsec = run.hold_max_ns;
	call->yields = run.yields;
	return r;
}

static const struct backend_ops kvm_ops = {
	.name = "kvm",
	.free = kvm_free,
	.probe = kvm_probe,
	.watch = kvm_watch,
	.scan = kvm_scan,
	.guest_names = kvm_guest_names,
	.look = kvm_look,
	.looks_like_vm = kvm_looks_like_vm,
	.take_vm = kvm_take_vm,
	.close_vm = kvm_close_vm,
	.read_events = kvm_read_events,
	.survey = kvm_survey,
	.hold = kvm_hold,
	.release = kvm_release,
	.run = kvm_run,
};

int backend_kvm_new(struct backend **ret, const char *helper)
{
	const char *socket = helper, *program = NULL;
	struct kvm *kvm;
	int r;

	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return -ENOMEM;
	kvm->backend.ops = &kvm_ops;
	if (!ends_with(helper, ".sock")) {
		socket = NULL;
		program = helper;
	}
	r = fetcher_new(&kvm->looker, socket, program, LOOK_MSEC);
	if (r == 0)
		r = fetcher_new(&kvm->scanner, socket, program, LOOK_MSEC);
	if (r == 0)
		r = fetcher_new(&kvm->namer, socket, program, LOOK_MSEC);
	if (r < 0) {
		kvm_free(&kvm->backend);
		return r;
	}
	*ret = &kvm->backend;
	return 0;
}
