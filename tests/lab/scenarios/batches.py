# SPDX-License-Identifier: GPL-2.0-or-later
"""How many TLBIs splitting, recovering and unmapping take, with nobody waiting: one for hundreds of blocks."""

from host.vmm import BLOCK, MEMORY, MIB, Vmm

ORDER = 15
SERIES = ("eager-split", "bbm")
CPUS = {"eager-split": ("neoverse-n1", "cortex-a72"), "bbm": ("max", "max-bbm")}
SYSTEMD = False
DEBUG = True

SIZE = 128
BLOCKS = SIZE * MIB // BLOCK
# Of the pages one in so many is written and checked.
STEP = 64
# Blocks of 2 MiB of the memslots that are unmapped
UNMAPPED = 16


def there_and_back(lab):
    """128 MiB, with the vCPUs idle."""
    vmm = Vmm(lab)
    vmm.add(mib=SIZE)
    vmm.work("populate", 1, step=STEP)
    phase = lab.phase("128 MiB, split")
    done = lab.split(vmm.pid, "hold+split")
    lab.phase_end()
    lab.eq((done["error"], done["blocks"], done["tlbis"], done["yields"]), (None, BLOCKS, 1, 0), "128 MiB: split")
    lab.expect(phase, "128 MiB, split: one TLBI", broadcast=1)
    lab.eq(vmm.leaves(), (0, 0, BLOCKS), "128 MiB: all is tables of pages")
    phase = lab.phase("128 MiB, recovered")
    done = lab.split(vmm.pid, "release+recover")
    lab.phase_end()
    lab.eq((done["error"], done["blocks"], done["tlbis"], done["yields"]), (None, BLOCKS, 1, 0), "128 MiB: recovered")
    lab.expect(phase, "128 MiB, recovered: one TLBI", broadcast=1)
    lab.eq(vmm.leaves(), (0, BLOCKS, 0), "128 MiB: all is blocks")
    vmm.work("pass", 1, step=STEP, write=STEP)
    vmm.intact("128 MiB: memory is intact", step=STEP)
    vmm.quit()


def single(lab):
    """One block goes by its address, but without break-before-make; one table by the VMID."""
    vmm = Vmm(lab)
    vmm.add(mib=4)
    vmm.work("populate", 1)
    phase = lab.phase("one block, split")
    lab.eq(lab.split(vmm.pid, "split", blocks=1)["tlbis"], 1, "one block: TLBIs")
    lab.phase_end()
    broken = int(not lab.no_break)
    lab.expect(phase, "one block: by its address, if it is broken", ipas2e1is=broken, wide=1 - broken)
    phase = lab.phase("one block, recovered")
    lab.eq(lab.split(vmm.pid, "recover")["tlbis"], 1, "one block back: TLBIs")
    lab.phase_end()
    lab.expect(phase, "one block back: by the VMID", ipas2e1is=0, wide=1)
    vmm.intact("one block: memory is intact")
    vmm.quit()


def unmapped(lab, name, command, whole, split, **options):
    """
    Blocks and tables of pages, unmapped: TLBIs at most. What unmaps through the host's own page tables comes
    in pieces of its size, not of ours.
    """
    for first, most in (("blocks", whole), ("pages", split)):
        vmm = Vmm(lab)
        vmm.add(mib=UNMAPPED * 2, backing=options.get("backing", "huge"))
        vmm.work("populate", 1, step=STEP)
        blocks = vmm.leaves()[1]
        lab.ok(blocks == UNMAPPED, f"{name}, {first}: the guest is mapped by blocks", vmm.leaves())
        if first == "pages":
            lab.split(vmm.pid, "hold+split")
            lab.eq(vmm.leaves(), (0, 0, UNMAPPED), f"{name}, {first}: split")
        phase = lab.phase(f"{name}, {first}")
        vmm.call(command, 1)
        lab.phase_end()
        lab.at_most(phase, f"{name}, {first}: TLBIs at most", broadcast=most)
        if command != "delete":
            lab.eq(vmm.leaves(), (0, 0, 0), f"{name}, {first}: nothing is mapped")
        vmm.quit()


def part_unmapped(lab):
    """Some pages of a table go, the others stay; and a single one, by its address."""
    vmm = Vmm(lab)
    vmm.add(mib=2 * UNMAPPED, backing="4k")
    vmm.work("populate", 1)
    phase = lab.phase("MADV_DONTNEED, 1 MiB of pages")
    vmm.call("discard", 1, first=128, pages=256)
    lab.phase_end()
    lab.expect(phase, "MADV_DONTNEED, part of a table: one TLBI", broadcast=1)
    phase = lab.phase("MADV_DONTNEED, a page")
    vmm.call("discard", 1, first=0, pages=1)
    lab.phase_end()
    lab.expect(phase, "MADV_DONTNEED, a page: by its address", ipas2e1is=1, wide=0)
    lab.eq(vmm.leaves()[2], UNMAPPED, "MADV_DONTNEED, part of a table: the table stays")
    vmm.work("populate", 1)
    vmm.intact("MADV_DONTNEED, part of a table: written again, memory is intact")
    vmm.quit()


def of_tables(lab):
    """Later kernels free the table of those that nothing is mapped by any more along with them, for a TLBI of its own."""
    return 0 if lab.base == "linux-6.1" else 1


def collapsed(lab):
    """The host makes huge pages of small ones, one after the other."""
    vmm = Vmm(lab)
    vmm.add(mib=2 * UNMAPPED, backing="4k")
    vmm.work("populate", 1)
    lab.eq(vmm.leaves(), (0, 0, UNMAPPED), "MADV_COLLAPSE: the guest is mapped by pages")
    phase = lab.phase("MADV_COLLAPSE")
    vmm.call("collapse", 1)
    lab.phase_end()
    lab.at_most(phase, "MADV_COLLAPSE: TLBIs at most, one a table", broadcast=UNMAPPED + of_tables(lab))
    vmm.work("pass", 1, write=STEP)
    lab.eq(vmm.leaves(), (0, UNMAPPED, 0), "MADV_COLLAPSE: and by blocks then")
    vmm.intact("MADV_COLLAPSE: memory is intact")
    vmm.quit()


def run(lab):
    lab.huge_pages(SIZE + 8)
    there_and_back(lab)
    single(lab)
    unmapped(lab, "memslot deleted", "delete", 1 + of_tables(lab), 1 + of_tables(lab))
    unmapped(lab, "MADV_DONTNEED", "discard", UNMAPPED, UNMAPPED, backing="thp")
    part_unmapped(lab)
    collapsed(lab)
