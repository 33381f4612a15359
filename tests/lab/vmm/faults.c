// SPDX-License-Identifier: GPL-2.0-or-later
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define EVENT_ID "/sys/kernel/tracing/events/kvm/kvm_guest_fault/id"

/* On the fault status code in the syndrome: 0b0001xx, 0b0011xx, 0b0010xx; bit 6 is WnR. */
static const char *const filters[FAULT_KINDS] = {
	[FAULT_TRANSLATION] = "ipa >= %llu && hsr & 4 && !(hsr & 8)",
	[FAULT_PERMISSION] = "ipa >= %llu && hsr & 4 && hsr & 8",
	[FAULT_ACCESS_FLAG] = "ipa >= %llu && !(hsr & 4) && hsr & 8",
	[FAULT_WRITE] = "ipa >= %llu && hsr & 64",
};

static int event_id(uint64_t *id)
{
	auto_fd fd = open(EVENT_ID, O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -errno;
	*id = strtoull(text, NULL, 10);
	return *id ? 0 : -EINVAL;
}

static int counter_open(uint64_t id, const char *format, uint64_t gpa)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = id,
	};
	char filter[96];
	int fd, err;

	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(filter, sizeof(filter), format, (unsigned long long)gpa);
	if (ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

void faults_init(struct faults *faults)
{
	int kind;

	for (kind = 0; kind < FAULT_KINDS; kind++)
		faults->fds[kind] = -1;
}

int faults_open(struct faults *faults, uint64_t gpa)
{
	uint64_t id = 0;
	int err, kind;

	err = event_id(&id);
	for (kind = 0; kind < FAULT_KINDS && !err; kind++) {
		faults->fds[kind] = counter_open(id, filters[kind], gpa);
		if (faults->fds[kind] < 0)
			err = faults->fds[kind];
	}
	if (err)
		faults_close(faults);
	return err;
}

void faults_close(struct faults *faults)
{
	int kind;

	for (kind = 0; kind < FAULT_KINDS; kind++) {
		if (faults->fds[kind] >= 0)
			close(faults->fds[kind]);
		faults->fds[kind] = -1;
	}
}

int faults_add(const struct faults *faults, uint64_t counts[FAULT_KINDS])
{
	uint64_t count;
	int kind;

	for (kind = 0; kind < FAULT_KINDS; kind++) {
		if (read(faults->fds[kind], &count, sizeof(count)) != sizeof(count))
			return -EIO;
		counts[kind] += count;
	}
	return 0;
}
