// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The eager-split ioctls by hand, on another process's VM:
 *
 *   splitcall 0 capability
 *   splitcall PID survey
 *   splitcall PID split|hold|release|recover[+...] [gpa=N] [size=N] [max=N] [calls=N]
 *
 * Prints "ok key=value ..." or "error NAME: text" with how far it got; the exit
 * status is 0 in both cases, since an error may be what a test asks for.
 * calls=N: goes on with the same struct up to N calls, 0 for until it is done.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm_eager_split.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vmm/cleanup.h"

static int find_vm_fd(const char *pid)
{
	char folder[64], target[64];
	struct dirent *entry;
	int found = -ENOTTY;
	ssize_t length;
	DIR *dir;

	snprintf(folder, sizeof(folder), "/proc/%s/fd", pid);
	dir = opendir(folder);
	if (!dir)
		return -errno;
	while (found < 0 && (entry = readdir(dir))) {
		length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		if (!strcmp(target, "anon_inode:kvm-vm"))
			found = atoi(entry->d_name);
	}
	closedir(dir);
	return found;
}

/* A copy of the process's VM fd, or a negative errno. */
static int steal_vm_fd(const char *pid)
{
	auto_fd pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
	int fd;

	if (pidfd < 0)
		return -errno;
	fd = find_vm_fd(pid);
	if (fd < 0)
		return fd;
	fd = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	return fd < 0 ? -errno : fd;
}

static int survey(int fd)
{
	struct kvm_arm_survey_slot *slots = NULL;
	struct kvm_arm_survey survey = { 0 };
	unsigned int i;

	while (ioctl(fd, KVM_ARM_SURVEY, &survey)) {
		if (errno != E2BIG)
			return -errno;
		free(slots);
		slots = calloc(survey.nr_slots, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		survey.slots = (uintptr_t)slots;
	}
	printf("ok slots=%u held=%d\n", survey.nr_slots, !!(survey.state & KVM_ARM_SURVEY_HELD));
	for (i = 0; i < survey.nr_slots; i++)
		printf("slot=%u gpa=%#llx bytes=%llu flags=%u leaves0=%llu leaves1=%llu leaves2=%llu leaves3=%llu\n",
		       slots[i].slot, slots[i].guest_phys_addr, slots[i].memory_size,
		       slots[i].flags, slots[i].leaves[0], slots[i].leaves[1], slots[i].leaves[2],
		       slots[i].leaves[3]);
	free(slots);
	return 0;
}

static int capability(void)
{
	auto_fd kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int mask;

	mask = kvm < 0 ? -1 : ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_EAGER_SPLIT);
	if (mask < 0)
		return -errno;
	printf("ok mask=%d\n", mask);
	return 0;
}

static uint32_t parse_flags(char *text)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
		{ "split", KVM_ARM_SPLIT_SPLIT },     { "hold", KVM_ARM_SPLIT_HOLD },
		{ "release", KVM_ARM_SPLIT_RELEASE }, { "recover", KVM_ARM_SPLIT_RECOVER },
#ifdef KVM_ARM_SPLIT_BREAK
		{ "break", KVM_ARM_SPLIT_BREAK },
#endif
	};
	uint32_t flags = 0;
	char *save, *word;
	size_t i;

	for (word = strtok_r(text, "+", &save); word; word = strtok_r(NULL, "+", &save)) {
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (!strcmp(word, names[i].name))
				break;
		}
		flags |= i < sizeof(names) / sizeof(names[0]) ? names[i].flag
							      : strtoul(word, NULL, 0);
	}
	return flags;
}

static uint64_t option(char **argv, const char *key, uint64_t otherwise)
{
	size_t length = strlen(key);

	for (; *argv; argv++) {
		if (!strncmp(*argv, key, length) && (*argv)[length] == '=')
			return strtoull(*argv + length + 1, NULL, 0);
	}
	return otherwise;
}

static void split(int fd, char **argv)
{
	struct kvm_arm_split split = {
		.flags = parse_flags(argv[0]),
		.gpa = option(argv, "gpa", 0),
		.size = option(argv, "size", 0),
		.max_tlbis = option(argv, "max", 0),
		.reserved = option(argv, "reserved", 0),
	};
	uint64_t calls = option(argv, "calls", 1), made = 0, blocks = 0, tlbis = 0;
	int err;

	do {
		err = ioctl(fd, KVM_ARM_SPLIT, &split) ? errno : 0;
		blocks += split.blocks;
		tlbis += split.tlbis;
		made++;
	} while (!err && split.size && made != calls);
	if (err)
		printf("error %s:", strerrorname_np(err));
	else
		printf("ok");
	printf(" gpa=%#llx size=%llu blocks=%" PRIu64 " tlbis=%" PRIu64 " calls=%" PRIu64 "\n",
	       split.gpa, split.size, blocks, tlbis, made);
}

int main(int argc, char **argv)
{
	auto_fd fd = -1;
	int err = 0;

	if (argc < 3) {
		fprintf(stderr,
			"usage: splitcall PID capability|survey|FLAG[+FLAG...] [KEY=N...]\n");
		return 2;
	}
	if (!strcmp(argv[2], "capability"))
		err = capability();
	else if ((fd = steal_vm_fd(argv[1])) < 0)
		err = fd;
	else if (!strcmp(argv[2], "survey"))
		err = survey(fd);
	else
		split(fd, argv + 2);
	if (err)
		printf("error %s: %s\n", strerrorname_np(-err), strerror(-err));
	return 0;
}
