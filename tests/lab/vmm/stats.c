// SPDX-License-Identifier: GPL-2.0-or-later
#include "stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "cleanup.h"

static int read_at(int fd, void *buffer, size_t bytes, off_t offset)
{
	return pread(fd, buffer, bytes, offset) == (ssize_t)bytes ? 0 : -EIO;
}

int stats_open(int fd)
{
	int stats = ioctl(fd, KVM_GET_STATS_FD, NULL);

	return stats < 0 ? -errno : stats;
}

int stats_read(int stats, void (*each)(void *data, const char *name, uint64_t value), void *data)
{
	auto_free struct kvm_stats_desc *desc = NULL;
	struct kvm_stats_header header;
	size_t desc_bytes;
	uint64_t value;
	unsigned int i;

	if (read_at(stats, &header, sizeof(header), 0))
		return -EIO;
	desc_bytes = sizeof(*desc) + header.name_size;
	desc = malloc(desc_bytes);
	if (!desc)
		return -ENOMEM;
	for (i = 0; i < header.num_desc; i++) {
		if (read_at(stats, desc, desc_bytes, header.desc_offset + i * desc_bytes))
			return -EIO;
		if (desc->size != 1)
			continue;
		if (read_at(stats, &value, sizeof(value), header.data_offset + desc->offset))
			return -EIO;
		each(data, desc->name, value);
	}
	return 0;
}
