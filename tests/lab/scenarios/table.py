# SPDX-License-Identifier: GPL-2.0-or-later
"""What dirty logging costs: stage-2 faults, exits and TLBIs of a pass over 128 MiB in 64 blocks.

On the unpatched kernel this is the baseline that there is to beat. On the patched one the blocks are
split ahead, by the ioctl or by KVM's own chunk-size knob, and then a pass takes one fault a written
page and no broadcast TLBI.
"""

from host.vmm import BLOCK, INITIALLY_SET, Vmm, since

ORDER = 10
BASES = ("linux-6.1",)
SERIES = ("none", "eager-split")
CPUS = ("neoverse-n1",)
SYSTEMD = False
DEBUG = True

GIANT = 1 << 30
PAGES = 32768
BLOCKS = 64
EVERY = 64
WRITTEN = PAGES // EVERY
NO_BROADCAST = {"broadcast": 0}


def make(lab, **options):
    vmm = Vmm(lab, faults=1, **options)
    vmm.add(mib=128)
    vmm.work("populate", 1)
    return vmm


def one_pass(lab, vmm, name, written, faults, tlbis):
    """A pass; its faults are to be exactly those. tlbis: {kind: count} in it."""
    phase = lab.phase(name)
    before = vmm.faults(), vmm.stats()
    vmm.work("pass", 1, write=PAGES // written)
    took, stats = since(before[0], vmm.faults()), since(before[1], vmm.stats())
    lab.phase_end()
    lab.note(f"{name}, {written} pages written: {took['all']} stage-2 faults, "
             f"{stats['vcpu_exits']} exits")
    lab.row(phase, name=name, written=written, faults=took["all"], exits=stats["vcpu_exits"])
    lab.eq(took["all"], faults, f"{name}, {written} pages written: stage-2 faults")
    lab.ok(stats["vcpu_exits"] >= took["all"], f"{name}, {written} pages written: exits", stats)
    lab.expect(phase, f"{name}, {written} pages written: broadcast TLBIs", **tlbis)
    return took


def dirty(lab, vmm, name, pages):
    log = vmm.call("dirty", 1)
    lab.eq((log["pages"], log["missing"]), (pages, 0), f"{name}: {pages} pages in the dirty log")


def two_passes(lab, vmm, name, written, first, following):
    """The first pass after all was write-protected, and the next; each (faults, tlbis)."""
    one_pass(lab, vmm, f"{name}, first pass", written, *first)
    dirty(lab, vmm, f"{name}, first pass", written)
    one_pass(lab, vmm, f"{name}, next pass", written, *following)
    dirty(lab, vmm, f"{name}, next pass", written)
    vmm.intact(f"{name}, {written} pages written: memory is intact")
    vmm.quit()


def unpatched(lab):
    for written in (PAGES, WRITTEN):
        vmm = make(lab)
        vmm.call("log", 1, on=1)
        two_passes(lab, vmm, "split on fault", written,
                   (PAGES, {"ipas2e1is": BLOCKS}), (written, {"ipas2e1is": written}))


def prepared_ahead(lab):
    for written in (PAGES, WRITTEN):
        vmm = make(lab)
        phase = lab.phase("preparing")
        done = lab.split(vmm.pid, "hold+split")
        lab.phase_end()
        lab.eq((done["error"], done["blocks"], done["tlbis"], done["size"]),
               (None, BLOCKS, 1, 0), "preparing: 64 blocks split for one TLBI")
        lab.expect(phase, "preparing: one TLBI", broadcast=1)
        vmm.call("log", 1, on=1)
        two_passes(lab, vmm, "prepared ahead", written,
                   (written, NO_BROADCAST), (written, NO_BROADCAST))


def split_when_enabled(lab):
    for chunk, tlbis in ((BLOCK, BLOCKS), (GIANT, 1)):
        vmm = make(lab, chunk=chunk)
        phase = lab.phase("chunk size, enabling")
        vmm.call("log", 1, on=1)
        lab.phase_end()
        # And one for the write protection.
        lab.expect(phase, f"chunk size of {chunk >> 20} MiB, enabling: a TLBI a chunk", broadcast=tlbis + 1)
        if chunk == GIANT:
            two_passes(lab, vmm, "chunk size, split when enabled", WRITTEN,
                       (WRITTEN, NO_BROADCAST), (WRITTEN, NO_BROADCAST))
        else:
            vmm.quit()


def split_when_cleared(lab):
    vmm = make(lab, chunk=BLOCK, manual=INITIALLY_SET)
    phase = lab.phase("chunk size, enabling, initially set")
    vmm.call("log", 1, on=1)
    lab.phase_end()
    lab.expect(phase, "chunk size, enabling, initially set: no TLBI", broadcast=0)
    dirty(lab, vmm, "initially set", PAGES)
    phase = lab.phase("chunk size, clearing one half")
    vmm.call("clear", 1, first=0, pages=PAGES // 2)
    lab.phase_end()
    lab.expect(phase, "chunk size, clearing one half: a TLBI a block", ipas2e1is=BLOCKS // 2)
    phase = lab.phase("chunk size, clearing the other half")
    vmm.call("clear", 1, first=PAGES // 2, pages=PAGES // 2)
    lab.phase_end()
    lab.expect(phase, "chunk size, clearing the other half: a TLBI a block", ipas2e1is=BLOCKS // 2)
    one_pass(lab, vmm, "chunk size, split when cleared", WRITTEN, WRITTEN, NO_BROADCAST)
    dirty(lab, vmm, "chunk size, split when cleared", WRITTEN)
    vmm.call("clear", 1, first=0, pages=PAGES)
    one_pass(lab, vmm, "chunk size, split when cleared, next pass", WRITTEN, WRITTEN, NO_BROADCAST)
    vmm.intact("chunk size, split when cleared: memory is intact")
    vmm.quit()


def run(lab):
    lab.huge_pages(128)
    if not lab.patched:
        unpatched(lab)
        return
    prepared_ahead(lab)
    split_when_enabled(lab)
    split_when_cleared(lab)
