// SPDX-License-Identifier: GPL-2.0-or-later
#include "vgic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Where there is nothing else; see guest-abi.h. */
#define VGIC_DISTRIBUTOR   0x30000000ull
#define VGIC_REDISTRIBUTOR 0x30100000ull

static int set(int fd, uint32_t group, uint64_t attribute, const uint64_t *value)
{
	struct kvm_device_attr attr = {
		.group = group,
		.attr = attribute,
		.addr = (uintptr_t)value,
	};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &attr) ? -errno : 0;
}

int vgic_new(int vm_fd)
{
	const uint64_t distributor = VGIC_DISTRIBUTOR, redistributor = VGIC_REDISTRIBUTOR;
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	int err;

	if (ioctl(vm_fd, KVM_CREATE_DEVICE, &create))
		return -errno;
	err = set(create.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &distributor);
	if (!err)
		err = set(create.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
			  &redistributor);
	if (err) {
		close(create.fd);
		return err;
	}
	return create.fd;
}

int vgic_init(int fd)
{
	return set(fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}
