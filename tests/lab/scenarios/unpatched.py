# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon on a kernel without the patches, and on a host without KVM: it says so, and why."""

import os
import stat

from host.daemon import Daemon, Refused
from host.vmm import Vmm

ORDER = 60
SERIES = ("none",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
PARTS = ("daemon",)


def refused(lab, daemon, pid, why):
    try:
        daemon.register(pid, "guest")
    except Refused as error:
        lab.eq(error.name, "Unsupported", f"{why}: Register is refused")
        lab.ok(error.parameters.get("reason"), f"{why}: with a reason", error)
        lab.note(f"{why}: {error.parameters.get('reason')}")
    else:
        lab.ok(False, f"{why}: Register is refused")
    told = daemon.ctl("register", pid)
    lab.ok(told.returncode == 1 and told.stdout.strip(), f"{why}: eagersplitctl says so", told)


def run(lab):
    lab.huge_pages(16)
    vmm = Vmm(lab)
    vmm.add(mib=16)
    vmm.work("populate", 1)
    daemon = Daemon(lab)
    daemon.start()
    lab.eq(daemon.host()["supported"], False, "unpatched kernel: GetHost says that it is not supported")
    refused(lab, daemon, vmm.pid, "unpatched kernel")
    lab.eq(daemon.vms(), [], "unpatched kernel: no VM is in the list")
    daemon.stop()

    node = os.stat("/dev/kvm")
    os.unlink("/dev/kvm")
    daemon.start()
    lab.eq(daemon.host()["supported"], False, "no /dev/kvm: GetHost says that it is not supported")
    refused(lab, daemon, vmm.pid, "no /dev/kvm")
    daemon.stop()
    os.mknod("/dev/kvm", stat.S_IFCHR | stat.S_IMODE(node.st_mode), node.st_rdev)
    vmm.work("pass", 1, write=4)
    vmm.intact("the guest never noticed")
    vmm.quit()
