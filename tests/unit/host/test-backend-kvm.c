// SPDX-License-Identifier: GPL-2.0-or-later
/* The daemon's side of KVM's splitters; what they answer is the test's. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/kvm_eager_split.h>

#include "host/anon-inode.h"
#include "host/backend.h"

/* KVM's own limit. */
#define SLOTS_MAX 32767

#define PAGE  ((uint64_t)sysconf(_SC_PAGESIZE))
#define BLOCK (PAGE * (PAGE / 8))

/* As KVM answers: of @n_slots, from the last one on, one page each, every tenth of them logged and a block. */
static struct {
	uint32_t n_slots;
	unsigned int surveys;
	unsigned int grows; /* so often, by one, once it was said how many there are */
} fake;

bool __wrap_anon_inode_is(int fd, const char *name);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

bool __wrap_anon_inode_is(int fd, const char *name)
{
	return true;
}

static struct kvm_arm_split_slot make_slot(uint32_t i)
{
	bool logged = i % 10 == 0;

	return (struct kvm_arm_split_slot){
		.slot = i,
		.guest_phys_addr = i * 2 * PAGE,
		.memory_size = PAGE,
		.flags = logged ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.blocks[2] = logged,
	};
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct kvm_arm_split_survey *survey = arg;
	struct kvm_arm_split_slot *slots = (void *)(uintptr_t)survey->slots;
	uint32_t room = survey->nr_slots;

	assert_true(request == KVM_ARM_SPLIT_SURVEY);
	fake.surveys++;
	survey->vm_id = 1;
	survey->nr_slots = fake.n_slots;
	if (room < fake.n_slots) {
		fake.n_slots += fake.grows > 0;
		fake.grows -= fake.grows > 0;
		errno = E2BIG;
		return -1;
	}
	for (uint32_t i = 0; i < fake.n_slots; i++)
		slots[i] = make_slot(fake.n_slots - 1 - i);
	return 0;
}

static struct backend_vm *take_vm(struct backend *backend, uint32_t n_slots)
{
	struct backend_vm *vm;

	fake.n_slots = n_slots;
	assert_int_equal(backend->ops->take_vm(backend, eventfd(0, EFD_CLOEXEC), &vm), 0);
	return vm;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* What is kept of a VM with all the memslots that there may be. */
static void test_all_memslots(void **state)
{
	struct survey surveys[100] = {};
	struct backend *backend;
	struct backend_vm *vm;
	size_t before, n = 0;

	assert_int_equal(backend_kvm_new(&backend, "/nonexistent"), 0);
	vm = take_vm(backend, SLOTS_MAX);
	before = heap_bytes();
	for (size_t i = 0; i < ARRAY_SIZE(surveys); i++)
		assert_int_equal(backend->ops->survey(vm, &surveys[i]), 0);
	assert_in_range((heap_bytes() - before) / ARRAY_SIZE(surveys), 0, 16 << 10);
	for (size_t i = 0; i < surveys[0].n_slots; i++)
		n += surveys[0].slots[i].blocks;
	assert_int_equal(n, (SLOTS_MAX + 9) / 10);
	assert_in_range(surveys[0].n_slots, 256, 320);
	assert_int_equal(surveys[0].slots[0].gpa, 0);
	assert_int_equal(surveys[0].slots[255].gpa, 255 * 2 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(surveys); i++)
		survey_done(&surveys[i]);
	backend->ops->close_vm(vm);
	backend_free(backend);
}

/* There may be more by the time that there is room for them, but not for ever. */
static void test_more_memslots(void **state)
{
	struct survey survey = {};
	struct backend *backend;
	struct backend_vm *vm;

	assert_int_equal(backend_kvm_new(&backend, "/nonexistent"), 0);
	vm = take_vm(backend, 64);
	fake.surveys = 0;
	assert_int_equal(backend->ops->survey(vm, &survey), 0);
	assert_int_equal(survey.n_slots, 64);
	assert_int_equal(survey.slots[10].block_bytes, BLOCK);
	assert_int_equal(fake.surveys, 1);
	survey_done(&survey);

	fake.n_slots = 65;
	fake.grows = 3;
	assert_int_equal(backend->ops->survey(vm, &survey), 0);
	assert_int_equal(survey.n_slots, 68);
	assert_int_equal(fake.surveys, 6);
	survey_done(&survey);

	fake.n_slots = 65;
	fake.grows = 100;
	assert_int_equal(backend->ops->survey(vm, &survey), -E2BIG);
	assert_int_equal(survey.n_slots, 0);
	fake.grows = 0;
	backend->ops->close_vm(vm);
	backend_free(backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_memslots),
		cmocka_unit_test(test_more_memslots),
	};

	return cmocka_run_group_tests_name("backend-kvm", tests, NULL, NULL);
}
