# SPDX-License-Identifier: GPL-2.0-or-later
"""VMID rollovers without any help of the kernel's, on CPUs whose VMIDs are few: more VMs than there are VMIDs."""

import mmap
import os
import struct
from ctypes import addressof, c_char

from host.lab import read
from host.vmm import empty_vm, ioctl

MIDR = "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1"
# The part number in it of Cortex-A72, which has VMIDs of 8 bits, of which 0 is the host's
PART_SHIFT, PART_MASK, CORTEX_A72 = 4, 0xfff, 0xd08
VMIDS = 255

KVM_CREATE_VCPU, KVM_SET_USER_MEMORY_REGION, KVM_RUN = 0xae41, 0x4020ae46, 0xae80
KVM_ARM_VCPU_INIT, KVM_ARM_PREFERRED_TARGET = 0x4020aeae, 0x8020aeaf
# The guest stores where no memory is, for ever: mov x1, #0x10000000; 1: str w0, [x1]; b 1b
CODE = struct.pack("<3I", 0xd2a20001, 0xb9000020, 0x17ffffff)


def missing():
    """Why there can be none here, or nothing."""
    part = int(read(MIDR), 0) >> PART_SHIFT & PART_MASK if os.path.exists(MIDR) else 0
    return None if part == CORTEX_A72 else "this CPU may have 65536 VMIDs"


class Crowd:
    """One VM more than there are VMIDs, each with a vCPU that comes back as soon as it has run."""

    def __init__(self):
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._page.write(CODE)
        self._vms, self._vcpus = [], []
        for _ in range(VMIDS + 1):
            self._add()

    def _add(self):
        vm = empty_vm()
        self._vms.append(vm)
        where = addressof(c_char.from_buffer(self._page))
        ioctl(vm, KVM_SET_USER_MEMORY_REGION, struct.pack("IIQQQ", 0, 0, 0, mmap.PAGESIZE, where))
        target = bytearray(32)
        ioctl(vm, KVM_ARM_PREFERRED_TARGET, target)
        vcpu = ioctl(vm, KVM_CREATE_VCPU)
        self._vcpus.append(vcpu)
        ioctl(vcpu, KVM_ARM_VCPU_INIT, target)

    def run(self):
        """All of them, once: they cannot all have a VMID of one generation, so there is a rollover."""
        for vcpu in self._vcpus:
            ioctl(vcpu, KVM_RUN)

    def close(self):
        for fd in self._vcpus + self._vms:
            os.close(fd)
