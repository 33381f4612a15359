# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon with Method=pause prepares a guest at work, and takes that back, without any TLBI. By hand."""

from host.daemon import Daemon
from host.vmm import BLOCK, MIB, Vmm

ORDER = 36
BASES = ("linux-6.1",)
SERIES = ("vmid",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
PARTS = ("daemon",)
LONG = True

SIZE = 512
BLOCKS = SIZE * MIB // BLOCK
STEP = 64


def run(lab):
    lab.huge_pages(SIZE)
    daemon = Daemon(lab)
    # A budget that would not do for it.
    daemon.start(rate=1, burst=1, method="pause")
    host = daemon.host()
    lab.eq((host["method"], host["throttled"]), ("pause", False), "the daemon says how it splits")
    vmm = Vmm(lab)
    vmm.add(mib=SIZE)
    vmm.work("populate", 1, step=STEP)
    vmm.call("start", 1, write=3, exec=5, step=STEP)
    daemon.register(vmm.pid, "guest")
    phase = lab.phase("prepared and cancelled")
    daemon.migration("guest", "scheduled")
    vm = daemon.wait_stage("guest", "split")
    lab.eq((vm["blocksSplit"], vm["tlbis"]), (BLOCKS, 0), "all is split, for no TLBI")
    daemon.migration("guest", "cancelled")
    daemon.wait_stage("guest", "whole")
    lab.phase_end()
    lab.expect(phase, "no broadcast TLBI", broadcast=0)
    lab.eq(vmm.leaves(), (0, BLOCKS, 0), "and recovered")
    pauses = daemon.host()["pausesTotal"]
    lab.ok(pauses >= 2 and pauses == vmm.stats()["pauses"], "the daemon counts pauses as the kernel does", pauses)
    vmm.work("stop")
    vmm.intact("memory is intact", step=STEP)
    daemon.call("Unregister", vm="guest")
    vmm.quit()
    daemon.stop()
