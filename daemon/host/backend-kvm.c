// SPDX-License-Identifier: GPL-2.0-or-later
/* The real host: KVM's eager-split ioctls on descriptors fetched from VMMs. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm_eager_split.h>

#include "host/backend.h"
#include "host/kvm-fd.h"
#include "host/process.h"
#include "host/uevent-socket.h"

#define KVM_DEVICE "/dev/kvm"

/* Room for memslots in the first try; most VMs have far fewer. */
#define SURVEY_SLOTS 64
/* Memslots can be added while we make room for them, but not for ever. */
#define SURVEY_TRIES 8

/* Levels of the stage-2 tables at which a leaf is a block. */
#define BLOCK_LEVELS 3

/*
 * @no_break: the kernel splits without break-before-make, unless told otherwise; set by the
 *	      loop on each probe, and read by workers that open VMs meanwhile
 */
struct kvm {
	struct backend backend;
	char reason[128];
	atomic_bool no_break;
	struct uevent_socket *uevents;
	host_event_fn event;
	void *event_userdata;
};

/* @no_break: as of when it was opened, for the worker threads; it lasts until reboot */
struct kvm_vm {
	struct backend_vm vm;
	int fd;
	bool no_break;
};

static void kvm_free(struct backend *backend)
{
	struct kvm *kvm = (struct kvm *)backend;

	uevent_socket_free(kvm->uevents);
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
	else if (!(mask & KVM_ARM_EAGER_SPLIT_IOCTLS))
		snprintf(kvm->reason, sizeof(kvm->reason),
			 "this kernel's KVM has no eager splitting (KVM_CAP_ARM_EAGER_SPLIT)");

	kvm->no_break = !kvm->reason[0] && mask & KVM_ARM_EAGER_SPLIT_NO_BREAK;

	*ret = (struct backend_host){
		.supported = !kvm->reason[0],
		.reason = kvm->reason[0] ? kvm->reason : NULL,
		.bbm_level = kvm->no_break ? 2 : 0,
		.batch = 1,
	};
}

/* KVM names the thread that created the VM; it may have ended, or be in another namespace. */
static void on_uevent(void *userdata, const struct uevent *uevent)
{
	static const enum host_event events[] = {
		[UEVENT_VM_CREATED] = HOST_VM_CREATED,
		[UEVENT_VM_DESTROYED] = HOST_VM_DESTROYED,
		[UEVENT_DIRTY_LOG_STARTED] = HOST_DIRTY_LOG,
		[UEVENT_DIRTY_LOG_STOPPED] = HOST_DIRTY_LOG,
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
	return kvm_fd_scan(found, userdata);
}

static int kvm_list_vms(struct backend *backend, int pidfd, pid_t pid, int numbers[BACKEND_VMS_MAX])
{
	struct kvm_vms vms;
	int r;

	static_assert(KVM_FD_MAX <= BACKEND_VMS_MAX, "all of a process's VMs fit in");
	r = kvm_fd_list(pidfd, pid, &vms);
	if (r < 0)
		return r;
	memcpy(numbers, vms.numbers, vms.n * sizeof(numbers[0]));
	return (int)vms.n;
}

static int kvm_open_vm(struct backend *backend, int pidfd, pid_t pid, int number,
		       struct backend_vm **ret)
{
	struct kvm_vm *vm;
	int fd;

	fd = kvm_fd_get(pidfd, number);
	if (fd < 0)
		return fd;
	vm = malloc(sizeof(*vm));
	if (!vm) {
		close(fd);
		return -ENOMEM;
	}
	*vm = (struct kvm_vm){
		.vm.backend = backend,
		.fd = fd,
		.no_break = ((struct kvm *)backend)->no_break,
	};
	*ret = &vm->vm;
	return 0;
}

static int kvm_check_vm(struct backend_vm *backend_vm, int pidfd, pid_t pid, int number)
{
	return kvm_fd_check(pidfd, number, ((struct kvm_vm *)backend_vm)->fd);
}

static void kvm_close_vm(struct backend_vm *backend_vm)
{
	struct kvm_vm *vm = (struct kvm_vm *)backend_vm;

	close(vm->fd);
	free(vm);
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

static void memslot_from_kvm(struct memslot *slot, const struct kvm_arm_survey_slot *from)
{
	*slot = (struct memslot){
		.slot = from->slot,
		.gpa = from->guest_phys_addr,
		.bytes = from->memory_size,
		.read_only = from->flags & KVM_MEM_READONLY,
		.dirty_logging = from->flags & KVM_MEM_LOG_DIRTY_PAGES,
	};
	for (unsigned int level = 0; level < BLOCK_LEVELS; level++) {
		slot->blocks += from->leaves[level];
		slot->block_bytes += from->leaves[level] * leaf_bytes(level);
	}
}

static int compare_memslots(const void *a, const void *b)
{
	const struct memslot *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

/* Asks with room for *@n memslots; if that is too little, *@n says how many there are. */
static int kvm_try_survey(const struct kvm_vm *vm, uint32_t *n, struct survey *ret)
{
	_cleanup_free_ struct kvm_arm_survey_slot *slots = NULL;
	struct kvm_arm_survey survey = { .nr_slots = *n };
	uint32_t room = *n;

	slots = calloc(room, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	survey.slots = (uintptr_t)slots;
	if (ioctl(vm->fd, KVM_ARM_SURVEY, &survey) < 0) {
		*n = survey.nr_slots;
		return -errno;
	}
	survey.nr_slots = (uint32_t)min_u64(survey.nr_slots, room);

	ret->slots = calloc(max_u64(survey.nr_slots, 1), sizeof(*ret->slots));
	if (!ret->slots)
		return -ENOMEM;
	ret->held = survey.state & KVM_ARM_SURVEY_HELD;
	ret->n_slots = survey.nr_slots;
	for (uint32_t i = 0; i < survey.nr_slots; i++)
		memslot_from_kvm(&ret->slots[i], &slots[i]);
	qsort(ret->slots, ret->n_slots, sizeof(*ret->slots), compare_memslots);
	return 0;
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

static int kvm_split(struct backend_vm *backend_vm, struct split_call *call)
{
	const struct kvm_vm *vm = (const struct kvm_vm *)backend_vm;
	struct kvm_arm_split split = {
		.gpa = call->gpa,
		.size = call->size,
		.max_tlbis = call->max_tlbis,
	};
	int r = 0;

	if (call->flags & BACKEND_SPLIT)
		split.flags |= KVM_ARM_SPLIT_SPLIT;
	if (call->flags & BACKEND_HOLD)
		split.flags |= KVM_ARM_SPLIT_HOLD;
	if (call->flags & BACKEND_RELEASE)
		split.flags |= KVM_ARM_SPLIT_RELEASE;
	if (call->flags & BACKEND_RECOVER)
		split.flags |= KVM_ARM_SPLIT_RECOVER;
	/* A kernel that always breaks may not know the flag. */
	if (call->flags & BACKEND_BREAK && vm->no_break)
		split.flags |= KVM_ARM_SPLIT_BREAK;

	if (ioctl(vm->fd, KVM_ARM_SPLIT, &split) < 0)
		r = -errno;
	call->gpa = split.gpa;
	call->size = split.size;
	call->blocks = split.blocks;
	call->tlbis = split.tlbis;
	return r;
}

static const struct backend_ops kvm_ops = {
	.name = "kvm",
	.free = kvm_free,
	.probe = kvm_probe,
	.watch = kvm_watch,
	.scan = kvm_scan,
	.list_vms = kvm_list_vms,
	.open_vm = kvm_open_vm,
	.check_vm = kvm_check_vm,
	.close_vm = kvm_close_vm,
	.survey = kvm_survey,
	.split = kvm_split,
};

int backend_kvm_new(struct backend **ret)
{
	struct kvm *kvm;

	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return -ENOMEM;
	kvm->backend.ops = &kvm_ops;
	*ret = &kvm->backend;
	return 0;
}
