// SPDX-License-Identifier: GPL-2.0-or-later
#include "vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "stats.h"
#include "vgic.h"

enum vcpu_state {
	VCPU_IDLE,
	VCPU_RUNNING,
	VCPU_DEAD
};

/*
 * @state, @err: under @lock, signalled by @changed
 * @quit: the thread is to end
 * @exceptions: words of GUEST_EXCEPTION seen
 */
struct vcpu {
	int fd;
	int stats;
	struct kvm_run *run;
	size_t run_bytes;
	struct guest_block *block;
	uint64_t faults_from;
	struct faults faults;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum vcpu_state state;
	int err;
	atomic_bool quit;
	unsigned int exceptions;
	atomic_uint_fast64_t stray;
};

struct register_value {
	uint64_t id;
	uint64_t value;
};

#define CORE(member)                                           \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 (offsetof(struct kvm_regs, member) / sizeof(uint32_t)))

/* One to one, 39 bits in 1 GiB blocks, write-back; see vm.c for the table. */
#define TCR_T0SZ_39    25ull
#define TCR_WBWA_INNER (1ull << 8 | 1ull << 10 | 3ull << 12)
#define TCR_EPD1       (1ull << 23)
#define TCR_IPS_40     (2ull << 32)
#define MAIR_VALUE     0xff00ull /* 0: device, 1: write-back */
#define SCTLR_VALUE    0x30d01805ull /* RES1 bits, M, C, I */

static int set_registers(const struct vcpu *vcpu, unsigned int index)
{
	const struct register_value values[] = {
		{ CORE(regs.pc), GUEST_CONTROL },
		{ CORE(regs.regs[0]), GUEST_BLOCKS + index * sizeof(struct guest_block) },
		{ CORE(sp_el1), GUEST_STACKS + (index + 1) * GUEST_STACK_BYTES },
		{ ARM64_SYS_REG(3, 0, 10, 2, 0), MAIR_VALUE },
		{ ARM64_SYS_REG(3, 0, 2, 0, 0), GUEST_TABLE },
		{ ARM64_SYS_REG(3, 0, 2, 0, 2),
		  TCR_T0SZ_39 | TCR_WBWA_INNER | TCR_EPD1 | TCR_IPS_40 },
		{ ARM64_SYS_REG(3, 0, 12, 0, 0), GUEST_CONTROL + GUEST_VECTORS_OFFSET },
		{ ARM64_SYS_REG(3, 0, 1, 0, 0), SCTLR_VALUE },
	};
	struct kvm_one_reg reg;
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		reg.id = values[i].id;
		reg.addr = (uintptr_t)&values[i].value;
		if (ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg))
			return -errno;
	}
	return 0;
}

static int init(struct vcpu *vcpu, int kvm_fd, int vm_fd, unsigned int index)
{
	struct kvm_vcpu_init target;
	int bytes;

	vcpu->fd = ioctl(vm_fd, KVM_CREATE_VCPU, index);
	bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu->fd < 0 || bytes < 0)
		return -errno;
	vcpu->run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return -errno;
	}
	vcpu->run_bytes = bytes;
	vcpu->stats = stats_open(vcpu->fd);
	if (vcpu->stats < 0)
		return vcpu->stats;
	if (ioctl(vm_fd, KVM_ARM_PREFERRED_TARGET, &target) ||
	    ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &target))
		return -errno;
	return set_registers(vcpu, index);
}

/* Returns 1 at the doorbell, 0 to go on, or a negative errno. */
static int mmio_exit(struct vcpu *vcpu)
{
	uint64_t value;

	if (vcpu->run->mmio.is_write && vcpu->run->mmio.phys_addr == GUEST_DOORBELL)
		return 1;
	if (vcpu->run->mmio.phys_addr == GUEST_EXCEPTION) {
		memcpy(&value, vcpu->run->mmio.data, sizeof(value));
		vcpu->block->exception[vcpu->exceptions++] = value;
		return vcpu->exceptions == 3 ? -EFAULT : 0;
	}
	/* Memory whose memslot was taken away: reads as 0. */
	memset(vcpu->run->mmio.data, 0, sizeof(vcpu->run->mmio.data));
	atomic_fetch_add(&vcpu->stray, 1);
	return 0;
}

/* Runs the guest up to the doorbell. Returns 0, or a negative errno. */
static int run_to_doorbell(struct vcpu *vcpu)
{
	int ret = 0;

	while (!ret) {
		if (ioctl(vcpu->fd, KVM_RUN, 0)) {
			if (errno != EINTR)
				return -errno;
			if (vcpu->quit)
				return -ECANCELED;
			continue;
		}
		if (vcpu->run->exit_reason != KVM_EXIT_MMIO) {
			fprintf(stderr, "vmm: exit reason %u\n", vcpu->run->exit_reason);
			return -EPROTO;
		}
		ret = mmio_exit(vcpu);
	}
	return ret < 0 ? ret : 0;
}

static void set_state(struct vcpu *vcpu, enum vcpu_state state, int err)
{
	pthread_mutex_lock(&vcpu->lock);
	vcpu->state = state;
	vcpu->err = err;
	pthread_cond_broadcast(&vcpu->changed);
	pthread_mutex_unlock(&vcpu->lock);
}

static void wait_while(struct vcpu *vcpu, enum vcpu_state state)
{
	pthread_mutex_lock(&vcpu->lock);
	while (vcpu->state == state && !vcpu->quit)
		pthread_cond_wait(&vcpu->changed, &vcpu->lock);
	pthread_mutex_unlock(&vcpu->lock);
}

static void *vcpu_thread(void *data)
{
	struct vcpu *vcpu = data;
	int err;

	err = vcpu->faults_from ? faults_open(&vcpu->faults, vcpu->faults_from) : 0;
	while (!err && !vcpu->quit) {
		err = run_to_doorbell(vcpu);
		if (err)
			break;
		set_state(vcpu, VCPU_IDLE, 0);
		wait_while(vcpu, VCPU_IDLE);
	}
	set_state(vcpu, VCPU_DEAD, err ? err : -ECANCELED);
	return NULL;
}

int vcpu_new(struct vcpu **ret, int kvm_fd, int vm_fd, unsigned int index, void *control,
	     uint64_t faults_from, int vgic)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int err;

	if (!vcpu)
		return -ENOMEM;
	vcpu->fd = vcpu->stats = -1;
	vcpu->faults_from = faults_from;
	faults_init(&vcpu->faults);
	vcpu->block =
		(struct guest_block *)((char *)control + (GUEST_BLOCKS - GUEST_CONTROL)) + index;
	pthread_mutex_init(&vcpu->lock, NULL);
	pthread_cond_init(&vcpu->changed, NULL);
	vcpu->state = VCPU_RUNNING;
	err = init(vcpu, kvm_fd, vm_fd, index);
	if (!err && vgic >= 0)
		err = vgic_init(vgic);
	if (!err)
		err = -pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
	if (err) {
		vcpu->thread = 0;
		vcpu_free(vcpu);
		return err;
	}
	*ret = vcpu;
	return vcpu_wait(vcpu);
}

struct vcpu *vcpu_free(struct vcpu *vcpu)
{
	if (!vcpu)
		return NULL;
	if (vcpu->thread) {
		pthread_mutex_lock(&vcpu->lock);
		vcpu->quit = true;
		vcpu->block->stop = 1;
		/* Also where the signal comes before KVM_RUN does. */
		vcpu->run->immediate_exit = 1;
		pthread_cond_broadcast(&vcpu->changed);
		pthread_mutex_unlock(&vcpu->lock);
		pthread_kill(vcpu->thread, SIGUSR1);
		pthread_join(vcpu->thread, NULL);
	}
	faults_close(&vcpu->faults);
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_bytes);
	if (vcpu->stats >= 0)
		close(vcpu->stats);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	free(vcpu);
	return NULL;
}

struct guest_block *vcpu_block(struct vcpu *vcpu)
{
	return vcpu->block;
}

void vcpu_start(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->lock);
	if (vcpu->state == VCPU_IDLE)
		vcpu->state = VCPU_RUNNING;
	pthread_cond_broadcast(&vcpu->changed);
	pthread_mutex_unlock(&vcpu->lock);
}

int vcpu_wait(struct vcpu *vcpu)
{
	wait_while(vcpu, VCPU_RUNNING);
	return vcpu->state == VCPU_DEAD ? vcpu->err : 0;
}

int vcpu_stats(const struct vcpu *vcpu)
{
	return vcpu->stats;
}

const struct faults *vcpu_faults(const struct vcpu *vcpu)
{
	return &vcpu->faults;
}

uint64_t vcpu_stray_exits(const struct vcpu *vcpu)
{
	return atomic_load(&vcpu->stray);
}
