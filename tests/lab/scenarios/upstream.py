# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels with an eager splitting of their own: what it takes to split, and to unmap what is split.

Counted without patches, as there is what there is to beat, and with all of them.
"""

from host.vmm import BLOCK, INITIALLY_SET, Vmm, since

ORDER = 10
BASES = ("linux-6.12", "linux-7.2")
SERIES = ("none", "all")
CPUS = ("neoverse-n1", "max", "ampere1", "max-bbm")
SYSTEMD = False
DEBUG = True

GIB = 1 << 30
BLOCKS = 64
PAGES = 512 * BLOCKS
EVERY = 64
WRITTEN = PAGES // EVERY
NO_BROADCAST = {"broadcast": 0}


def make(lab, mib=2 * BLOCKS, backing="huge", **options):
    vmm = Vmm(lab, faults=1, **options)
    vmm.add(mib=mib, backing=backing)
    vmm.work("populate", 1)
    return vmm


def one_pass(lab, vmm, name, pages=PAGES, every=EVERY):
    """A pass that must fault where it writes, and nowhere else, and break nothing."""
    phase = lab.phase(name)
    before = vmm.faults()
    vmm.work("pass", 1, write=every)
    took = since(before, vmm.faults())
    lab.phase_end()
    lab.eq(took["all"], pages // every, f"{name}: stage-2 faults")
    lab.expect(phase, f"{name}: broadcast TLBIs", **NO_BROADCAST)
    log = vmm.call("dirty", 1)
    lab.eq((log["pages"], log["missing"]), (pages // every, 0), f"{name}: pages in the dirty log")


def enabling(lab):
    vmm = make(lab, chunk=BLOCK)
    phase = lab.phase("enabling")
    vmm.call("log", 1, on=1)
    lab.phase_end()
    # Write-protecting ends with one for all.
    if lab.patched:
        lab.expect(phase, "split when enabled: one TLBI", ipas2e1is=0, wide=1 + 1)
    else:
        lab.expect(phase, "split when enabled: a TLBI a block", ipas2e1is=BLOCKS, wide=1)
    one_pass(lab, vmm, "split when enabled, first pass")
    one_pass(lab, vmm, "split when enabled, next pass")
    vmm.intact("split when enabled: memory is intact")
    vmm.quit()


def clearing(lab):
    vmm = make(lab, chunk=GIB, manual=INITIALLY_SET)
    vmm.call("log", 1, on=1)
    log = vmm.call("dirty", 1)
    lab.eq(log["pages"], PAGES, "initially set: all pages in the dirty log")
    phase = lab.phase("clearing")
    vmm.call("clear", 1, first=0, pages=PAGES)
    lab.phase_end()
    if lab.patched:
        lab.expect(phase, "split when cleared: one TLBI a chunk", ipas2e1is=0, wide=1 + 1)
    else:
        lab.expect(phase, "split when cleared: a TLBI a block", ipas2e1is=BLOCKS, wide=1)
    one_pass(lab, vmm, "split when cleared, first pass")
    vmm.intact("split when cleared: memory is intact")
    vmm.quit()


def ending(lab):
    """A migration that did not happen: the blocks that were split."""
    vmm = make(lab, chunk=BLOCK)
    vmm.call("log", 1, on=1)
    one_pass(lab, vmm, "before logging ends")
    phase = lab.phase("ending")
    vmm.call("log", 1, on=0)
    lab.phase_end()
    lab.expect(phase, "logging ends: TLBIs, one for all blocks", ipas2e1is=0, wide=1 if lab.patched else 0)
    phase = lab.phase("after it has ended")
    before = vmm.faults()
    vmm.work("pass", 1, write=EVERY // 8)
    took = since(before, vmm.faults())
    lab.phase_end()
    lab.eq((took["all"], took["permission"]), (BLOCKS, BLOCKS), "logging has ended: a fault a block")
    tlbis = 0 if lab.patched else BLOCKS
    lab.expect(phase, "logging has ended: broadcast TLBIs in faults", broadcast=tlbis, wide=tlbis)
    vmm.intact("logging has ended: memory is intact")
    vmm.quit()


def unmapping(lab, what, command, backing):
    """16 blocks, whole and split."""
    for chunk in (0, BLOCK):
        vmm = make(lab, mib=32, backing=backing, chunk=chunk)
        if chunk:
            vmm.call("log", 1, on=1)
        phase = lab.phase(what)
        vmm.call(command, 1)
        lab.phase_end()
        name = f"{what}, 16 blocks, " + ("split" if chunk else "whole")
        # The table that the blocks, or their tables, are in is freed, too.
        if lab.patched:
            lab.expect(phase, f"{name}: one TLBI, and one a table of tables", ipas2e1is=1, wide=1)
        # CPUs with FEAT_TLBIRANGE and FEAT_S2FWB are not told entry by entry.
        elif lab.cpu == "neoverse-n1":
            lab.expect(phase, f"{name}: a TLBI an entry", wide=0,
                       ipas2e1is=16 * 512 + 16 + 1 if chunk else 16 + 1)
        vmm.quit()


def run(lab):
    lab.huge_pages(2 * BLOCKS)
    enabling(lab)
    clearing(lab)
    ending(lab)
    unmapping(lab, "memslot deleted", "delete", "huge")
    unmapping(lab, "MADV_DONTNEED", "discard", "thp")
