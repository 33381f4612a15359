# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel boots and runs a KVM guest whose memory holds."""

from host.vmm import MIB, Vmm

ORDER = 0
SERIES = ("none", "eager-split")
CPUS = ("neoverse-n1",)
SYSTEMD = False
DEBUG = False

LEAST_MIB = 16


def run(lab):
    mib = max(LEAST_MIB, lab.block // MIB)
    # As much work whatever a block is.
    step = mib // LEAST_MIB
    lab.huge_pages(mib)
    vmm = Vmm(lab)
    vmm.add(mib=mib)
    vmm.work("populate", 1, step=step)
    vmm.call("log", 1, on=1)
    vmm.work("pass", 1, write=4 * step, step=step)
    vmm.intact("a guest's memory is intact", step=step)
    vmm.quit()
