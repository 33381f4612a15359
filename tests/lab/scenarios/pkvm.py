# SPDX-License-Identifier: GPL-2.0-or-later
"""Under pKVM, a guest that is not protected is mapped by blocks and logged, and finds what it wrote; no splitters."""

from host.lab import BIN, parse_answer
from host.vmm import Vmm

ORDER = 5
BASES = ("linux-7.2",)
SERIES = ("none", "all")
CPUS = ("neoverse-n1",)
KVM_MODE = "protected"
SYSTEMD = False
DEBUG = False

MIB = 16
# The first page that is looked at of each block but the first is not the block's first.
STEP = 3
BLOCK_PAGES = 512


def written(vmm):
    """By permission faults, where the blocks were write-protected; returns how many exits that took."""
    before = vmm.stats()["vcpu_exits"]
    vmm.work("pass", 1, write=STEP, step=STEP)
    return vmm.stats()["vcpu_exits"] - before


def run(lab):
    lab.ok("Protected" in lab.must("dmesg"), "this is pKVM")
    lab.eq(lab.capability(), 0, "no splitters are offered")
    vmm = Vmm(lab, vcpus=1, vgic=1)
    vmm.add(mib=MIB, backing="thp")
    vmm.work("populate", 1, step=STEP)
    if lab.patched:
        lab.eq(parse_answer(lab.must(f"{BIN}/splitcall", vmm.pid))["error"], "EINVAL", "none is made")
    vmm.call("log", 1, on=1)
    vmm.call("log", 1, on=0)
    exits = written(vmm)
    lab.ok(0 < exits < MIB * 256 // BLOCK_PAGES * 2, "write-protected blocks are made writable as a whole", exits)
    vmm.call("log", 1, on=1)
    exits = written(vmm)
    lab.ok(exits >= MIB * 256 // STEP, "logged, they are by pages", exits)
    vmm.intact("memory is intact", step=STEP)
    vmm.quit()
