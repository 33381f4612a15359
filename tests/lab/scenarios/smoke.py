# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel boots and runs a KVM guest whose memory holds."""

from host.vmm import Vmm

ORDER = 0
SERIES = ("none", "eager-split")
CPUS = ()
SYSTEMD = False
DEBUG = False


def run(lab):
    lab.huge_pages(16)
    vmm = Vmm(lab)
    vmm.add(mib=16)
    vmm.work("populate", 1)
    vmm.call("log", 1, on=1)
    vmm.work("pass", 1, write=4)
    vmm.intact("a guest's memory is intact")
    vmm.quit()
