// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A splitter of another process's VM, by hand:
 *
 *   splitcall capability
 *   splitcall PID
 *
 * The second makes a splitter and serves commands from standard input, one a line,
 * until that ends:
 *
 *   survey
 *   split|recover|hold|release|break|pause[+...] [gpa=N] [size=N] [max=TLBIS] [blocks=N]
 *	[calls=N]
 *   poll [wait=1]
 *   foreign
 *
 * Each answers "ok key=value ..." or "error NAME: text" with how far it got; a
 * survey one line more a slot. calls=N: goes on with the same struct up to N calls,
 * 0 for until it is done. wait=1: until there is something to tell. foreign: the error
 * that another VM ioctl meets in this process.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm_eager_split.h>
#include <poll.h>
#include <stdbool.h>
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

/* A splitter of the process's VM, or a negative errno. The VM's own fd would keep the VM. */
static int make_splitter(const char *pid)
{
	auto_fd vm = steal_vm_fd(pid);
	int fd;

	if (vm < 0)
		return vm;
	fd = ioctl(vm, KVM_ARM_SPLIT_FD, 0);
	return fd < 0 ? -errno : fd;
}

static void print_error(int err)
{
	printf("error %s: %s\n", strerrorname_np(-err), strerror(-err));
}

static void print_stats(const struct kvm_arm_split_stats *stats)
{
	static const char *const causes[] = {
		[KVM_ARM_SPLIT_TLBI_SPLIT] = "split",	  [KVM_ARM_SPLIT_TLBI_RECOVER] = "recover",
		[KVM_ARM_SPLIT_TLBI_FAULT] = "fault",	  [KVM_ARM_SPLIT_TLBI_UNMAP] = "unmap",
		[KVM_ARM_SPLIT_TLBI_PROTECT] = "protect",
	};
	uint64_t timed = 0;
	size_t i;

	for (i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		printf(" tlbi_%s=%llu", causes[i], stats->tlbis[i]);
	printf(" tlbi_hist=");
	for (i = 0; i < sizeof(stats->tlbi_hist) / sizeof(stats->tlbi_hist[0]); i++) {
		printf("%s%llu", i ? "," : "", stats->tlbi_hist[i]);
		timed += stats->tlbi_hist[i];
	}
	printf(" tlbi_timed=%" PRIu64 " tlbi_ns=%llu tlbi_max_ns=%llu", timed, stats->tlbi_ns,
	       stats->tlbi_max_ns);
	printf(" blocks_split=%llu blocks_recovered=%llu stalls=%llu stall_ns=%llu stall_max_ns=%llu\n",
	       stats->blocks_split, stats->blocks_recovered, stats->stalls, stats->stall_ns,
	       stats->stall_max_ns);
}

static int survey(int fd)
{
	struct kvm_arm_split_slot *slots = NULL;
	struct kvm_arm_split_survey survey = { 0 };
	unsigned int i;

	while (ioctl(fd, KVM_ARM_SPLIT_SURVEY, &survey)) {
		if (errno != E2BIG)
			return -errno;
		free(slots);
		slots = calloc(survey.nr_slots, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		survey.slots = (uintptr_t)slots;
		survey.flags = 0;
	}
	printf("ok slots=%u id=%llu held=%d mine=%d holders=%u", survey.nr_slots, survey.vm_id,
	       !!survey.holders, !!(survey.flags & KVM_ARM_SPLIT_SURVEY_HELD), survey.holders);
	print_stats(&survey.stats);
	for (i = 0; i < survey.nr_slots; i++)
		printf("slot=%u gpa=%#llx bytes=%llu flags=%u blocks0=%llu blocks1=%llu blocks2=%llu tables=%llu\n",
		       slots[i].slot, slots[i].guest_phys_addr, slots[i].memory_size,
		       slots[i].flags, slots[i].blocks[0], slots[i].blocks[1], slots[i].blocks[2],
		       slots[i].tables);
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

/* HOLD and RELEASE are ioctls of their own: bits here that RUN does not have. */
#define HOLD	(1u << 30)
#define RELEASE (1u << 31)

static uint32_t parse_flags(char *text)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
		{ "split", KVM_ARM_SPLIT_RUN_SPLIT },
		{ "recover", KVM_ARM_SPLIT_RUN_RECOVER },
		{ "break", KVM_ARM_SPLIT_RUN_BREAK },
		{ "pause", KVM_ARM_SPLIT_RUN_PAUSE },
		{ "hold", HOLD },
		{ "release", RELEASE },
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

/* What one KVM_ARM_SPLIT_RUN after the other came to */
struct total {
	uint64_t calls, blocks, tlbis, tlbi_ns, pauses, hold_max_ns, yields;
};

static int run(int fd, struct kvm_arm_split_run *run, uint64_t calls, struct total *total)
{
	int err;

	do {
		err = ioctl(fd, KVM_ARM_SPLIT_RUN, run) ? errno : 0;
		total->calls++;
		if (err == EINVAL)
			break;
		total->blocks += run->blocks;
		total->tlbis += run->tlbis;
		total->tlbi_ns += run->tlbi_ns;
		total->pauses += run->pauses;
		total->yields += run->yields;
		if (run->hold_max_ns > total->hold_max_ns)
			total->hold_max_ns = run->hold_max_ns;
	} while (!err && run->size && total->calls != calls);
	return err;
}

static int hold(int fd, uint32_t flags)
{
	int ret = 0;

	if (flags & HOLD)
		ret = ioctl(fd, KVM_ARM_SPLIT_HOLD, 0);
	if (!ret && flags & RELEASE)
		ret = ioctl(fd, KVM_ARM_SPLIT_RELEASE, 0);
	return ret ? errno : 0;
}

static void split(int fd, char **argv)
{
	uint32_t flags = parse_flags(argv[0]);
	struct kvm_arm_split_run args = {
		.flags = flags & ~(HOLD | RELEASE),
		.gpa = option(argv, "gpa", 0),
		.size = option(argv, "size", 0),
		.max_tlbis = option(argv, "max", 0),
		.max_blocks = option(argv, "blocks", 0),
		.reserved = option(argv, "reserved", 0),
	};
	struct total total = { 0 };
	int err;

	err = hold(fd, flags);
	if (!err && (args.flags || !(flags & (HOLD | RELEASE))))
		err = run(fd, &args, option(argv, "calls", 1), &total);
	if (err)
		printf("error %s:", strerrorname_np(err));
	else
		printf("ok");
	printf(" gpa=%#llx size=%llu blocks=%" PRIu64 " tlbis=%" PRIu64 " calls=%" PRIu64
	       " tlbi_ns=%" PRIu64 " pauses=%" PRIu64 " hold_max_ns=%" PRIu64 " yields=%" PRIu64
	       "\n",
	       args.gpa, args.size, total.blocks, total.tlbis, total.calls, total.tlbi_ns,
	       total.pauses, total.hold_max_ns, total.yields);
}

static void tell_poll(int fd, bool wait)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };

	if (poll(&entry, 1, wait ? -1 : 0) < 0)
		print_error(-errno);
	else
		printf("ok in=%d hup=%d\n", !!(entry.revents & POLLIN),
		       !!(entry.revents & POLLHUP));
}

static void foreign(const char *pid)
{
	auto_fd vm = steal_vm_fd(pid);
	int ret;

	if (vm < 0) {
		print_error(vm);
		return;
	}
	ret = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY);
	if (ret < 0)
		print_error(-errno);
	else
		printf("ok value=%d\n", ret);
}

static void serve(int fd, const char *pid, char *line)
{
	char *argv[16], *save, *word;
	int n = 0, err;

	for (word = strtok_r(line, " \n", &save); word && n < 15;
	     word = strtok_r(NULL, " \n", &save))
		argv[n++] = word;
	argv[n] = NULL;
	if (!n)
		return;
	if (!strcmp(argv[0], "survey")) {
		err = survey(fd);
		if (err)
			print_error(err);
	} else if (!strcmp(argv[0], "poll")) {
		tell_poll(fd, option(argv, "wait", 0));
	} else if (!strcmp(argv[0], "foreign")) {
		foreign(pid);
	} else {
		split(fd, argv);
	}
}

int main(int argc, char **argv)
{
	auto_free char *line = NULL;
	auto_fd fd = -1;
	size_t room = 0;
	int err = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2) {
		fputs("usage: splitcall capability|PID\n", stderr);
		return 2;
	}
	if (!strcmp(argv[1], "capability")) {
		err = capability();
		if (err)
			print_error(err);
		return 0;
	}
	fd = make_splitter(argv[1]);
	if (fd < 0) {
		print_error(fd);
		return 0;
	}
	puts("ok");
	while (getline(&line, &room, stdin) > 0)
		serve(fd, argv[1], line);
	return 0;
}
