# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions that it takes to split a block, by each kernel that splits ahead of faults.

On a host of one CPU whose clock counts them: how many more it takes to enable dirty logging if blocks are split for
it, and of our own how many of them with mmu_lock held. Upstream's walker does all of it with the lock held, but for
the allocation of tables. By hand, with --base=linux-6.12, for what there is to beat, and with --base=linux-6.1.
"""

from host.vmm import BLOCK, MIB, Vmm

ORDER = 95
BASES = ("linux-6.1", "linux-6.12", "linux-7.2")
SERIES = ("bbm", "none", "all")
CPUS = ("neoverse-n1",)
COUNTED = 1
SYSTEMD = False
DEBUG = False
LONG = True

SIZE = 512
BLOCKS = SIZE * MIB // BLOCK
GIB = 1 << 30


def make(lab, chunk=0):
    vmm = Vmm(lab, vcpus=1, chunk=chunk)
    vmm.add(mib=SIZE)
    vmm.work("populate", 1, step=512)
    return vmm


def logging_enabled(lab, chunk=0):
    vmm = make(lab, chunk)
    took = vmm.call("log", 1, on=1)["ns"]
    vmm.quit()
    return took


def run(lab):
    if lab.base == "linux-6.1" and not lab.patched:
        lab.skip("instructions a block", "this kernel splits in faults only")
        return
    lab.huge_pages(SIZE)
    alone = logging_enabled(lab)
    for chunk in (BLOCK, GIB):
        took = (logging_enabled(lab, chunk) - alone) // BLOCKS
        lab.note(f"chunks of {chunk // MIB} MiB: {took} instructions a block")
        lab.ok(took > 0, f"chunks of {chunk // MIB} MiB: blocks were split", took)
    if lab.series == "none" or not lab.capability():
        return
    vmm = make(lab)
    done = lab.split(vmm.pid, "hold+split")
    lab.eq((done["blocks"], done["tlbis"]), (BLOCKS, 1), "splitter: one batch")
    held = done["hold_max_ns"] // BLOCKS
    lab.note(f"splitter: {held} instructions a block with the lock held")
    vmm.quit()
