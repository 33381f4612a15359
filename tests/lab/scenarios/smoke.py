# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel boots and runs a KVM guest whose memory holds."""

from host.vmm import Vmm


def run(lab):
    lab.huge_pages(16)
    vmm = Vmm(lab)
    vmm.add(mib=16)
    vmm.work("populate", 1)
    vmm.work("pass", 1, write=4)
    vmm.intact("guest memory is intact")
    vmm.quit()
