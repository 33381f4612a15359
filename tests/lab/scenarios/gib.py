# SPDX-License-Identifier: GPL-2.0-or-later
"""How many TLBIs a GiB takes, split, back in blocks, and unmapped: eager splitting of upstream's, and ours.

The vCPUs are idle while it is split and recovered by us; without patches it is vCPUs' writes that bring blocks back.
`run --plot` draws these two.
"""

from host.vmm import BLOCK, Vmm

ORDER = 16
BASES = ("linux-6.12", "linux-7.2")
SERIES = ("none", "all")
CPUS = ("neoverse-n1", "max")
SYSTEMD = False
DEBUG = False

MIB = 1024
BLOCKS = MIB // 2
# Of the pages one in so many is written and checked: one a block.
STEP = 512


def counted(lab, name, what, at_most):
    """A phase with that in it, whose TLBIs are tested and go to the picture."""
    phase = lab.phase(name)
    what()
    lab.phase_end()
    lab.row(phase, name=name)
    lab.at_most(phase, f"1 GiB, {name}: TLBIs", broadcast=at_most)


def upstream(lab):
    vmm = Vmm(lab, chunk=BLOCK)
    vmm.add(mib=MIB)
    vmm.work("populate", 1, step=STEP)
    # Write-protecting ends with one for all.
    counted(lab, "split", lambda: vmm.call("log", 1, on=1), BLOCKS + 1)
    vmm.call("log", 1, on=0)
    counted(lab, "recovered", lambda: vmm.work("pass", 1, step=STEP, write=STEP), BLOCKS)
    vmm.intact("1 GiB: memory is intact", step=STEP)
    vmm.call("log", 1, on=1)
    # A page each, a table each, and one that these were in.
    counted(lab, "unmapped, split", lambda: vmm.call("delete", 1), MIB * 256 + BLOCKS + 1)
    vmm.quit()


def ours(lab):
    vmm = Vmm(lab)
    vmm.add(mib=MIB)
    vmm.work("populate", 1, step=STEP)
    lab.eq(vmm.leaves(), (0, BLOCKS, 0), "1 GiB: all is blocks")
    counted(lab, "split", lambda: lab.split(vmm.pid, "hold+split"), 1)
    lab.eq(vmm.leaves(), (0, 0, BLOCKS), "1 GiB: all is tables of pages")
    counted(lab, "recovered", lambda: lab.split(vmm.pid, "release+recover"), 1)
    lab.eq(vmm.leaves(), (0, BLOCKS, 0), "1 GiB: all is blocks again")
    vmm.intact("1 GiB: memory is intact", step=STEP)
    lab.split(vmm.pid, "split")
    # One for each 32 MiB whose caches have to be cleaned, without FEAT_S2FWB.
    counted(lab, "unmapped, split", lambda: vmm.call("delete", 1), (MIB // 32 if lab.cpu == "neoverse-n1" else 1) + 1)
    vmm.quit()


def run(lab):
    lab.huge_pages(MIB)
    if lab.patched:
        ours(lab)
    else:
        upstream(lab)
