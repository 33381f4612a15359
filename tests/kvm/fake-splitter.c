// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded into the daemon and its helper where KVM is real but not arm64's, or not patched: VMs,
 * their descriptors and the kernel's events are what they are, and a splitter is an eventfd. What
 * it has done is kept in a file of the folder $FAKE_SPLITTERS, by the number that the kernel tells
 * eventfds apart by, for all processes that have it. A VM has one number for all who make splitters
 * of it, whenever they do: its file keeps it, as a lock of that byte. A VM whose descriptor is
 * O_NONBLOCK, which means nothing to KVM, has as many splitters as it may have. Where there is no
 * KVM, and $FAKE_VMS is set, VMs are inotify's. The survey of that number for which $FAKE_WANT asks
 * lacks memory. With $FAKE_MEMSLOTS, each VM has so many, of a page each, and no blocks; and with that,
 * /dev/kvm is there for whoever asks what KVM can, also where it is not.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <linux/kvm_eager_split.h>

#define BLOCKS	   64
#define BLOCK_SIZE (UINT64_C(2) << 20)

/* @vm_id: 0: what stands in for the splitter was made by a test, for a VM of its own */
struct state {
	uint64_t vm_id;
	uint32_t held;
	uint32_t blocks_left;
};

static long real_ioctl(int fd, unsigned long request, unsigned long arg)
{
	static int (*next)(int, unsigned long, ...);

	if (!next)
		next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return next(fd, request, arg);
}

static ssize_t real_readlink(const char *path, char *buf, size_t size)
{
	static ssize_t (*next)(const char *, char *, size_t);

	if (!next)
		next = (ssize_t(*)(const char *, char *, size_t))dlsym(RTLD_NEXT, "readlink");
	return next(path, buf, size);
}

static bool is_called(int fd, const char *name)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = real_readlink(path, target, sizeof(target));
	return n == (ssize_t)strlen(name) && memcmp(target, name, (size_t)n) == 0;
}

static const char vm_name[] = "anon_inode:kvm-vm", splitter_name[] = "anon_inode:kvm-splitter",
		  eventfd_name[] = "anon_inode:[eventfd]", inotify_name[] = "anon_inode:inotify";

/* What the @n bytes at @buf are, by another name if it has one. */
static ssize_t rename_link(char *buf, size_t size, ssize_t n, const char *from, const char *to)
{
	if (n != (ssize_t)strlen(from) || memcmp(buf, from, (size_t)n) != 0 || size <= strlen(to))
		return n;
	memcpy(buf, to, strlen(to));
	return (ssize_t)strlen(to);
}

/* Eventfds are called what splitters are, and VMs that are none what they would be. */
ssize_t readlink(const char *path, char *buf, size_t size)
{
	ssize_t n = real_readlink(path, buf, size);

	n = rename_link(buf, size, n, eventfd_name, splitter_name);
	return getenv("FAKE_VMS") ? rename_link(buf, size, n, inotify_name, vm_name) : n;
}

/* What FORTIFY makes of it. */
ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t room);
ssize_t __readlink_chk(const char *path, char *buf, size_t size, size_t room)
{
	return readlink(path, buf, size < room ? size : room);
}

/* What the first such line about @fd ends with; -1: there is none. */
static int64_t fdinfo_number(int fd, const char *start)
{
	char path[64], line[128];
	int64_t number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file && number < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, start, strlen(start)) == 0)
			number = strtoll(strrchr(line, ' ') ?: "-1", NULL, 10);
	if (file)
		fclose(file);
	return number;
}

/* 0: it is no eventfd. */
static uint64_t splitter_id(int fd)
{
	return is_called(fd, eventfd_name) ? (uint64_t)(fdinfo_number(fd, "eventfd-id:") + 1) : 0;
}

static void lock_byte(int fd, int command, short type, int64_t byte)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	while (fcntl(fd, command, &lock) < 0)
		if (errno != EINTR)
			abort();
}

/*
 * The VM's number. All such files share an inode: others who give one a number at the same time wait
 * for its first byte, by the splitter @fd, which nobody else has yet. A number is a time, as those of
 * eventfds are used again.
 */
static uint64_t vm_number(int vm, int fd)
{
	struct timespec now;
	int64_t number;

	lock_byte(fd, F_OFD_SETLKW, F_WRLCK, 0);
	number = fdinfo_number(vm, "lock:");
	if (number < 0) {
		clock_gettime(CLOCK_BOOTTIME, &now);
		number = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
		lock_byte(vm, F_OFD_SETLK, F_RDLCK, number);
	}
	lock_byte(fd, F_OFD_SETLK, F_UNLCK, 0);
	return (uint64_t)number;
}

static struct state *open_state(uint64_t id)
{
	const char *folder = getenv("FAKE_SPLITTERS");
	struct state *state;
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%" PRIu64, folder ? folder : "/tmp", id);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*state)) < 0)
		abort();
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (state == MAP_FAILED)
		abort();
	return state;
}

/* 0: one, with blocks. */
static uint32_t count_memslots(void)
{
	const char *n = getenv("FAKE_MEMSLOTS");

	return n ? (uint32_t)strtoul(n, NULL, 10) : 0;
}

int open(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	va_list ap;
	mode_t mode;

	if (!next)
		next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (count_memslots() && strcmp(path, "/dev/kvm") == 0)
		path = "/dev/null";
	return next(path, flags, mode);
}

/* Pages with one between them, the last one first. */
static void fill_memslots(struct kvm_arm_split_slot *slots, uint32_t n)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint32_t i = 0; i < n; i++)
		slots[i] = (struct kvm_arm_split_slot){
			.slot = n - 1 - i,
			.guest_phys_addr = (n - 1 - i) * 2 * page,
			.memory_size = page,
		};
}

static int survey(uint64_t id, const struct state *state, struct kvm_arm_split_survey *survey)
{
	struct kvm_arm_split_slot *slot = (void *)(uintptr_t)survey->slots;
	uint32_t room = survey->nr_slots, n = count_memslots();

	*survey = (struct kvm_arm_split_survey){
		.slots = survey->slots,
		.nr_slots = n ? n : 1,
		.flags = state->held ? KVM_ARM_SPLIT_SURVEY_HELD : 0,
		.vm_id = state->vm_id ?: id,
		.holders = state->held,
		.stats.blocks_split = BLOCKS - state->blocks_left,
	};
	if (room < survey->nr_slots) {
		errno = E2BIG;
		return -1;
	}
	if (n) {
		fill_memslots(slot, n);
		return 0;
	}
	*slot = (struct kvm_arm_split_slot){ .memory_size = BLOCKS * BLOCK_SIZE,
					     .blocks[2] = state->blocks_left };
	return 0;
}

static int run(struct state *state, struct kvm_arm_split_run *run)
{
	uint64_t max = run->max_blocks ? run->max_blocks : BLOCKS, n;
	bool split = run->flags & KVM_ARM_SPLIT_RUN_SPLIT;

	if (!split && state->held) {
		errno = EBUSY;
		return -1;
	}
	n = split ? state->blocks_left : BLOCKS - state->blocks_left;
	run->blocks = n < max ? n : max;
	run->tlbis = run->blocks > 0;
	run->tlbi_ns = run->tlbis * 1000;
	state->blocks_left = split ? state->blocks_left - (uint32_t)run->blocks
				   : state->blocks_left + (uint32_t)run->blocks;
	run->size = n > max ? BLOCK_SIZE : 0;
	return 0;
}

static long on_splitter(uint64_t id, unsigned long request, unsigned long arg)
{
	struct state *state = open_state(id);
	const char *want = getenv("FAKE_WANT");
	static int n_surveys;
	int r = 0;

	switch (request) {
	case KVM_ARM_SPLIT_SURVEY:
		if (want && ++n_surveys == atoi(want)) {
			errno = ENOMEM;
			r = -1;
			break;
		}
		r = survey(id, state, (void *)arg);
		break;
	case KVM_ARM_SPLIT_HOLD:
	case KVM_ARM_SPLIT_RELEASE:
		state->held = request == KVM_ARM_SPLIT_HOLD;
		break;
	case KVM_ARM_SPLIT_RUN:
		r = run(state, (void *)arg);
		break;
	}
	munmap(state, sizeof(*state));
	return r;
}

static int make_splitter(int vm)
{
	struct state *state;
	int fd, spare;

	if (!is_called(vm, vm_name) && !(getenv("FAKE_VMS") && is_called(vm, inotify_name))) {
		errno = ENOTTY;
		return -1;
	}
	if (fcntl(vm, F_GETFL) & O_NONBLOCK) {
		errno = EMFILE;
		return -1;
	}
	fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0)
		return -1;
	/* With room for what follows; it is not KVM that lacks that. */
	spare = eventfd(0, EFD_CLOEXEC);
	if (spare < 0) {
		close(fd);
		errno = ENFILE;
		return -1;
	}
	close(spare);
	state = open_state(splitter_id(fd));
	*state = (struct state){ .vm_id = vm_number(vm, fd), .blocks_left = BLOCKS };
	munmap(state, sizeof(*state));
	return fd;
}

int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	uint64_t id;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);

	switch (request) {
	case KVM_CHECK_EXTENSION:
		if (arg == KVM_CAP_ARM_EAGER_SPLIT)
			return KVM_ARM_EAGER_SPLIT_FD;
		break;
	case KVM_ARM_SPLIT_FD:
		return make_splitter(fd);
	case KVM_ARM_SPLIT_SURVEY:
	case KVM_ARM_SPLIT_HOLD:
	case KVM_ARM_SPLIT_RELEASE:
	case KVM_ARM_SPLIT_RUN:
		id = splitter_id(fd);
		if (id)
			return (int)on_splitter(id, request, arg);
		break;
	}
	return (int)real_ioctl(fd, request, arg);
}
