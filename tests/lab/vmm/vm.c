// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../workload.h"
#include "cleanup.h"
#include "memory.h"
#include "stats.h"
#include "vcpu.h"
#include "vgic.h"

#ifndef KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE
#define KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE 228
#endif

#define STAT_NAME_BYTES 64
#define MAX_STATS	64

/* The guest's code, linked for GUEST_CONTROL. */
extern const char guest_code[], guest_code_end[];

/*
 * @memory: NULL where the slot was never added; @fd: its file, -1: none
 * @first_page: the slot's first page in the count over all slots
 * @bitmap, @bitmap_before: of the last two KVM_GET_DIRTY_LOG, a bit for @pages_a_bit pages
 * @seen: the pages' generations as of the last one
 * @copied: see struct vm_slot_view
 */
struct slot {
	void *memory;
	int fd;
	uint64_t gpa;
	uint64_t bytes;
	uint64_t first_page;
	enum vm_backing backing;
	bool mapped;
	bool log;
	uint64_t *bitmap;
	uint64_t *bitmap_before;
	uint64_t pages_a_bit;
	uint32_t *seen;
	uint64_t *copied;
};

struct vm {
	int kvm_fd;
	int fd;
	int stats;
	int vgic;
	void *control;
	struct slot slots[VM_MAX_SLOTS];
	uint64_t n_pages;
	struct vcpu *vcpus[GUEST_MAX_VCPUS];
	unsigned int n_vcpus;
};

static uint64_t pages_of(const struct slot *slot)
{
	return slot->bytes / WORKLOAD_PAGE_SIZE;
}

static uint32_t *generations_of(const struct vm *vm, const struct slot *slot)
{
	return (uint32_t *)((char *)vm->control + (GUEST_GENERATIONS - GUEST_CONTROL)) +
	       slot->first_page;
}

static struct slot *find_slot(struct vm *vm, unsigned int number)
{
	return number >= 1 && number < VM_MAX_SLOTS ? &vm->slots[number] : NULL;
}

static int set_region(const struct vm *vm, unsigned int number, const struct slot *slot,
		      uint64_t bytes)
{
	struct kvm_userspace_memory_region region = {
		.slot = number,
		.flags = slot->log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = slot->gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)slot->memory,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

static int enable_cap(int fd, uint32_t cap, uint64_t value)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { value } };

	return ioctl(fd, KVM_ENABLE_CAP, &enable) ? -errno : 0;
}

/*
 * One to one: a 1 GiB device block with the doorbell in it, then memory, 511 GiB in all; then
 * the window, with nothing in it.
 */
static void fill_tables(char *control)
{
	uint64_t *table = (uint64_t *)(control + (GUEST_TABLE - GUEST_CONTROL));
	uint64_t *window = (uint64_t *)(control + (GUEST_WINDOW_TABLES - GUEST_CONTROL));
	const uint64_t accessed = 1 << 10, never_execute = 3ull << 53;
	uint64_t i;

	table[0] = GUEST_DESC_BLOCK | accessed | never_execute;
	for (i = 1; i < GUEST_WINDOW >> 30; i++)
		table[i] = i << 30 | GUEST_DESC_BLOCK | GUEST_DESC_MEMORY;
	table[i] = GUEST_WINDOW_TABLES | GUEST_DESC_TABLE;
	window[0] = (GUEST_WINDOW_TABLES + WORKLOAD_PAGE_SIZE) | GUEST_DESC_TABLE;
}

static int make_control(struct vm *vm)
{
	struct slot *slot = &vm->slots[0];
	int err;

	err = memory_map(&slot->memory, &slot->fd, GUEST_CONTROL, GUEST_CONTROL_BYTES,
			 VM_BACKING_4K);
	if (err)
		return err;
	slot->gpa = GUEST_CONTROL;
	slot->bytes = GUEST_CONTROL_BYTES;
	vm->control = slot->memory;
	memcpy(vm->control, guest_code, guest_code_end - guest_code);
	fill_tables(vm->control);
	return set_region(vm, 0, slot, slot->bytes);
}

static int init(struct vm *vm, unsigned int n_vcpus, uint64_t chunk, uint64_t manual, bool faults,
		bool vgic)
{
	int err = 0;

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		return -errno;
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return -errno;
	vm->stats = stats_open(vm->fd);
	if (vm->stats < 0)
		return vm->stats;
	if (chunk)
		err = enable_cap(vm->fd, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, chunk);
	if (!err && manual)
		err = enable_cap(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, manual);
	if (!err)
		err = make_control(vm);
	if (!err && vgic) {
		vm->vgic = vgic_new(vm->fd);
		err = vm->vgic < 0 ? vm->vgic : 0;
	}
	for (; !err && vm->n_vcpus < n_vcpus; vm->n_vcpus++)
		err = vcpu_new(&vm->vcpus[vm->n_vcpus], vm->kvm_fd, vm->fd, vm->n_vcpus,
			       vm->control, faults ? VM_MEMORY : 0, vm->vgic);
	return err;
}

int vm_new(struct vm **ret, unsigned int n_vcpus, uint64_t chunk, uint64_t manual, bool faults,
	   bool vgic)
{
	struct vm *vm;
	int err;

	if (n_vcpus < 1 || n_vcpus > (vgic ? 1 : GUEST_MAX_VCPUS))
		return -EINVAL;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->kvm_fd = vm->fd = vm->stats = vm->vgic = -1;
	err = init(vm, n_vcpus, chunk, manual, faults, vgic);
	if (err) {
		vm_free(vm);
		return err;
	}
	*ret = vm;
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	struct slot *slot;
	unsigned int i;

	if (!vm)
		return NULL;
	for (i = 0; i < GUEST_MAX_VCPUS; i++)
		vcpu_free(vm->vcpus[i]);
	if (vm->vgic >= 0)
		close(vm->vgic);
	if (vm->stats >= 0)
		close(vm->stats);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	for (i = 0; i < VM_MAX_SLOTS; i++) {
		slot = &vm->slots[i];
		memory_unmap(slot->memory, slot->bytes);
		if (slot->memory && slot->fd >= 0)
			close(slot->fd);
		free(slot->bitmap);
		free(slot->bitmap_before);
		free(slot->seen);
		free(slot->copied);
	}
	free(vm);
	return NULL;
}

int vm_fd(const struct vm *vm)
{
	return vm->fd;
}

unsigned int vm_n_vcpus(const struct vm *vm)
{
	return vm->n_vcpus;
}

static int init_slot(struct vm *vm, struct slot *slot, uint64_t bytes, enum vm_backing backing)
{
	uint64_t pages = bytes / WORKLOAD_PAGE_SIZE, words = (pages + 63) / 64;
	int err;

	if (!pages || bytes % WORKLOAD_PAGE_SIZE || vm->n_pages + pages > GUEST_MAX_PAGES)
		return -EINVAL;
	slot->bitmap = calloc(words, sizeof(*slot->bitmap));
	slot->bitmap_before = calloc(words, sizeof(*slot->bitmap_before));
	slot->seen = calloc(pages, sizeof(*slot->seen));
	slot->copied = calloc(pages, sizeof(*slot->copied));
	if (!slot->bitmap || !slot->bitmap_before || !slot->seen || !slot->copied)
		return -ENOMEM;
	err = memory_map(&slot->memory, &slot->fd, slot->gpa, bytes, backing);
	if (err)
		return err;
	slot->bytes = bytes;
	slot->pages_a_bit = getpagesize() / WORKLOAD_PAGE_SIZE;
	slot->backing = backing;
	slot->first_page = vm->n_pages;
	vm->n_pages += pages;
	return 0;
}

int vm_slot_add(struct vm *vm, unsigned int number, uint64_t gpa, uint64_t bytes,
		enum vm_backing backing, bool log)
{
	struct slot *slot = find_slot(vm, number);
	int err = 0;

	if (!slot || gpa < VM_MEMORY)
		return -EINVAL;
	if (slot->mapped)
		return -EEXIST;
	slot->gpa = gpa;
	slot->log = log;
	if (!slot->memory)
		err = init_slot(vm, slot, bytes, backing);
	else if (slot->bytes != bytes || slot->backing != backing)
		return -EINVAL;
	if (!err)
		err = set_region(vm, number, slot, slot->bytes);
	slot->mapped = !err;
	return err;
}

int vm_slot_delete(struct vm *vm, unsigned int number)
{
	struct slot *slot = find_slot(vm, number);
	int err;

	if (!slot || !slot->mapped)
		return -ENOENT;
	err = set_region(vm, number, slot, 0);
	slot->mapped = slot->mapped && err;
	return err;
}

int vm_slot_move(struct vm *vm, unsigned int number, uint64_t gpa)
{
	struct slot *slot = find_slot(vm, number);
	uint64_t before;
	int err;

	if (!slot || !slot->mapped)
		return -ENOENT;
	before = slot->gpa;
	slot->gpa = gpa;
	err = set_region(vm, number, slot, slot->bytes);
	if (err)
		slot->gpa = before;
	return err;
}

int vm_slot_log(struct vm *vm, unsigned int number, bool log)
{
	struct slot *slot = find_slot(vm, number);

	if (!slot || !slot->mapped)
		return -ENOENT;
	slot->log = log;
	return set_region(vm, number, slot, slot->bytes);
}

int vm_slot_view(struct vm *vm, unsigned int number, struct vm_slot_view *view)
{
	const struct slot *slot = find_slot(vm, number);

	if (!slot || !slot->mapped)
		return -ENOENT;
	*view = (struct vm_slot_view){
		.memory = slot->memory,
		.bitmap = slot->bitmap,
		.copied = slot->copied,
		.pages = pages_of(slot),
		.pages_a_bit = slot->pages_a_bit,
	};
	return 0;
}

/* Returns the slot, with @pages made up for 0; NULL where the pages are not its own. */
static const struct slot *find_pages(struct vm *vm, unsigned int number, uint64_t first,
				     uint64_t *pages)
{
	const struct slot *slot = find_slot(vm, number);

	if (!slot || !slot->memory || first > pages_of(slot))
		return NULL;
	if (!*pages)
		*pages = pages_of(slot) - first;
	return *pages > pages_of(slot) - first ? NULL : slot;
}

int vm_slot_advise(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages, int advice)
{
	const struct slot *slot = find_pages(vm, number, first, &pages);

	if (!slot)
		return -EINVAL;
	return madvise((char *)slot->memory + first * WORKLOAD_PAGE_SIZE,
		       pages * WORKLOAD_PAGE_SIZE, advice)
		       ? -errno
		       : 0;
}

int vm_slot_protect(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages, bool exec)
{
	const struct slot *slot = find_pages(vm, number, first, &pages);

	if (!slot)
		return -EINVAL;
	return mprotect((char *)slot->memory + first * WORKLOAD_PAGE_SIZE,
			pages * WORKLOAD_PAGE_SIZE, PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0))
		       ? -errno
		       : 0;
}

int vm_slot_remap(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages)
{
	const struct slot *slot = find_pages(vm, number, first, &pages);

	if (!slot || slot->fd < 0)
		return -EINVAL;
	return memory_remap(slot->memory, slot->fd, first * WORKLOAD_PAGE_SIZE,
			    pages * WORKLOAD_PAGE_SIZE);
}

/* Gives each vCPU its share; the last one gets what is left over. */
static void assign(struct vm *vm, const struct slot *slot, const struct vm_work *work)
{
	uint64_t pages = work->pages ? work->pages : pages_of(slot);
	uint64_t share = pages / vm->n_vcpus, first;
	struct guest_block *block;
	unsigned int i;

	for (i = 0; i < vm->n_vcpus; i++) {
		first = i * share;
		block = vcpu_block(vm->vcpus[i]);
		memset(block, 0, sizeof(*block));
		block->command = work->command;
		block->gpa = slot->gpa + first * WORKLOAD_PAGE_SIZE;
		block->pages = i + 1 < vm->n_vcpus ? share : pages - first;
		block->first_page = slot->first_page + first;
		block->step = work->step;
		block->write_every = work->write_every;
		block->exec_every = work->exec_every;
	}
}

int vm_start(struct vm *vm, unsigned int number, const struct vm_work *work)
{
	struct slot *slot = find_slot(vm, number);
	unsigned int i;

	if (!slot || !slot->memory)
		return -ENOENT;
	if (work->pages > pages_of(slot) || !work->step)
		return -EINVAL;
	assign(vm, slot, work);
	for (i = 0; i < vm->n_vcpus; i++)
		vcpu_start(vm->vcpus[i]);
	return 0;
}

static int wait_all(struct vm *vm)
{
	unsigned int i;
	int err = 0, one;

	for (i = 0; i < vm->n_vcpus; i++) {
		one = vcpu_wait(vm->vcpus[i]);
		if (one)
			err = one;
	}
	return err;
}

int vm_work(struct vm *vm, unsigned int number, const struct vm_work *work)
{
	int err = vm_start(vm, number, work);

	return err ? err : wait_all(vm);
}

int vm_stop(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->n_vcpus; i++)
		*(volatile uint32_t *)&vcpu_block(vm->vcpus[i])->stop = 1;
	return wait_all(vm);
}

uint64_t vm_done(const struct vm *vm, unsigned int vcpu)
{
	return *(volatile uint64_t *)&vcpu_block(vm->vcpus[vcpu])->done;
}

uint64_t vm_errors(const struct vm *vm, uint64_t *bad_page)
{
	const struct guest_block *block;
	uint64_t errors = 0;
	unsigned int i;

	*bad_page = 0;
	for (i = 0; i < vm->n_vcpus; i++) {
		block = vcpu_block(vm->vcpus[i]);
		if (block->errors)
			*bad_page = block->bad_page;
		errors += block->errors;
	}
	return errors;
}

/* The VMM's own sum, and the one that the generations ask for, of a vCPU's share. */
static void add_checksums(const struct vm *vm, const struct slot *slot,
			  const struct guest_block *block, struct vm_checksum *sum)
{
	const uint32_t *generations = generations_of(vm, slot);
	uint64_t index, page;

	for (index = 0; index < block->pages; index += block->step) {
		page = block->first_page + index;
		sum->host += workload_checksum((uint64_t *)slot->memory +
					       (page - slot->first_page) * WORKLOAD_WORDS);
		sum->expected +=
			workload_expected_checksum(page, generations[page - slot->first_page]);
	}
}

int vm_checksum(struct vm *vm, unsigned int number, const struct vm_work *work,
		struct vm_checksum *sum)
{
	const struct guest_block *block;
	unsigned int i;
	int err;

	err = vm_work(vm, number, work);
	if (err)
		return err;
	*sum = (struct vm_checksum){ 0 };
	for (i = 0; i < vm->n_vcpus; i++) {
		block = vcpu_block(vm->vcpus[i]);
		sum->guest += block->checksum;
		add_checksums(vm, find_slot(vm, number), block, sum);
	}
	return 0;
}

static bool is_logged(const struct slot *slot, const uint64_t *bitmap, uint64_t page)
{
	uint64_t bit = page / slot->pages_a_bit;

	return bitmap[bit / 64] >> bit % 64 & 1;
}

/*
 * The generations are read before the log: a page written in between may be in
 * this log or in the next one, so both count. The guest raises a generation
 * after it has written the page.
 */
int vm_get_dirty(struct vm *vm, unsigned int number, struct vm_dirty *dirty)
{
	struct slot *slot = find_slot(vm, number);
	struct kvm_dirty_log log = { .slot = number };
	auto_free uint32_t *now = NULL;
	uint64_t page, pages, words, *swap;

	if (!slot || !slot->mapped)
		return -ENOENT;
	pages = pages_of(slot);
	words = (pages + 63) / 64;
	now = malloc(pages * sizeof(*now));
	if (!now)
		return -ENOMEM;
	memcpy(now, generations_of(vm, slot), pages * sizeof(*now));
	__sync_synchronize();
	swap = slot->bitmap_before;
	slot->bitmap_before = slot->bitmap;
	slot->bitmap = swap;
	memset(slot->bitmap, 0, words * sizeof(*slot->bitmap));
	log.dirty_bitmap = slot->bitmap;
	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log))
		return -errno;
	*dirty = (struct vm_dirty){ 0 };
	for (page = 0; page < pages; page++) {
		dirty->pages += is_logged(slot, slot->bitmap, page);
		dirty->missing += now[page] != slot->seen[page] &&
				  !is_logged(slot, slot->bitmap, page) &&
				  !is_logged(slot, slot->bitmap_before, page);
	}
	memcpy(slot->seen, now, pages * sizeof(*now));
	return 0;
}

int vm_clear_dirty(struct vm *vm, unsigned int number, uint64_t first, uint64_t pages)
{
	struct slot *slot = find_slot(vm, number);
	struct kvm_clear_dirty_log log = { .slot = number };

	if (!slot || !slot->mapped)
		return -ENOENT;
	if (first % (64 * slot->pages_a_bit))
		return -EINVAL;
	log.first_page = first / slot->pages_a_bit;
	log.num_pages = pages / slot->pages_a_bit;
	log.dirty_bitmap = slot->bitmap + log.first_page / 64;
	return ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log) ? -errno : 0;
}

int vm_faults(const struct vm *vm, uint64_t counts[FAULT_KINDS])
{
	unsigned int i;
	int err = 0;

	memset(counts, 0, FAULT_KINDS * sizeof(*counts));
	for (i = 0; i < vm->n_vcpus && !err; i++)
		err = faults_add(vcpu_faults(vm->vcpus[i]), counts);
	return err;
}

uint64_t vm_stray_exits(const struct vm *vm)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < vm->n_vcpus; i++)
		sum += vcpu_stray_exits(vm->vcpus[i]);
	return sum;
}

struct stat_sums {
	unsigned int n;
	struct {
		char name[STAT_NAME_BYTES];
		uint64_t value;
	} stats[MAX_STATS];
};

static void add_stat(void *data, const char *name, uint64_t value)
{
	struct stat_sums *sums = data;
	unsigned int i;

	for (i = 0; i < sums->n; i++) {
		if (!strcmp(sums->stats[i].name, name))
			break;
	}
	if (i == MAX_STATS)
		return;
	if (i == sums->n) {
		strncpy(sums->stats[i].name, name, STAT_NAME_BYTES - 1);
		sums->n++;
	}
	sums->stats[i].value += value;
}

int vm_stats(const struct vm *vm,
	     void (*each)(void *data, bool vcpu, const char *name, uint64_t value), void *data)
{
	auto_free struct stat_sums *sums = calloc(2, sizeof(*sums));
	unsigned int i, j;
	int err;

	if (!sums)
		return -ENOMEM;
	err = stats_read(vm->stats, add_stat, &sums[0]);
	for (i = 0; i < vm->n_vcpus && !err; i++)
		err = stats_read(vcpu_stats(vm->vcpus[i]), add_stat, &sums[1]);
	for (i = 0; i < 2 && !err; i++) {
		for (j = 0; j < sums[i].n; j++)
			each(data, i == 1, sums[i].stats[j].name, sums[i].stats[j].value);
	}
	return err;
}
