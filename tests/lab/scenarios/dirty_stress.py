# SPDX-License-Identifier: GPL-2.0-or-later
"""No dirty page is lost: splitting, dirty logging and clearing at once, for hundreds of rounds, or thousands.

Each round, when the vCPUs stand still, every page whose content is not what the log before last told
of must be in the log; the page's own content says whether it was written. Without the series the blocks
split in the vCPUs' faults, with it in a thread of its own.
"""

import os

from host.lab import read, write
from host.vmm import BLOCK, INITIALLY_SET, MEMORY, MIB, Vmm

ORDER = 25
SERIES = ("none", "bbm")
CPUS = {"none": ("neoverse-n1", "max"), "bbm": ("neoverse-n1", "max-bbm")}
SYSTEMD = False
DEBUG = True

# Two blocks, as large as the host's are; of their pages 1024 are looked at
BLOCKS = 2
BESIDE_MIB = 4
ROUNDS = 150
OTHER_BASES_ROUNDS = 40
LONG_ROUNDS = 2400
DEBUG_ROUNDS = 50
# Rounds from enabling dirty logging to disabling it
CYCLE = 4
WRITE_EVERY = 8
# Pages that each vCPU goes over between two steps of a round, at least
PROGRESS = 24
# KVM_ARM_SPLIT_RUN_SPLIT, KVM_ARM_SPLIT_RUN_RECOVER
SPLIT, RECOVER = 1, 2
# A memslot beside the one that is looked at; see vmm/stress.h
BESIDE, BESIDE_GPA = 2, MEMORY + (4 << 30)
KSM = "/sys/kernel/mm/ksm"


def stress(lab, name, rounds, chunk=0, manual=0, backing="huge", **options):
    vmm = Vmm(lab, chunk=chunk, manual=manual)
    vmm.add(mib=BLOCKS * lab.block // MIB, backing=backing)
    if "beside" in options:
        vmm.add(options["beside"], mib=BESIDE_MIB, gpa=BESIDE_GPA, backing="4k")
    step = lab.block // BLOCK
    vmm.work("populate", 1, step=step)
    found = vmm.call("stress", 1, rounds=rounds, manual=int(bool(manual)), cycle=CYCLE, write=WRITE_EVERY,
                     progress=PROGRESS, step=step, **options)
    lab.note(f"{name}: {found['rounds']} rounds, {found['logged']} pages logged, {found['blocks']} blocks split "
             f"by {found['tlbis']} TLBIs in {found['calls']} calls")
    lab.ok(found["missing"] == 0, f"{name}: every page that was written is in the log, every round", found)
    lab.ok(found["rounds"] >= rounds and found["logged"] > rounds, f"{name}: pages were written", found)
    lab.eq(found["errors"], 0, f"{name}: pages that the guest found wrong")
    vmm.intact(f"{name}: memory is intact", step=step)
    vmm.quit()
    return found


def disturbed(lab, name, rounds, **options):
    """The host's mapping changes, not in step with any of it; other memory of the guest moves, and is merged."""
    rounds //= 2
    found = stress(lab, f"disturbed, {name}", rounds, backing="thp", disturb=1, beside=BESIDE, **options)
    lab.ok(found["collapsed"], f"disturbed, {name}: huge pages were made", found)
    found = stress(lab, f"remapped, {name}", rounds, backing="shared", disturb=1, beside=BESIDE, **options)
    lab.ok(found["disturbed"], f"remapped, {name}: it was", found)


def merge_pages(lab):
    """Has the kernel do so all the time. Returns whether it can."""
    if not os.path.exists(KSM):
        return False
    for file, value in (("sleep_millisecs", 1), ("pages_to_scan", 4096), ("run", 1)):
        write(f"{KSM}/{file}", value)
    return True


def vm_event(name):
    """How often it has happened."""
    events = dict(line.split() for line in read("/proc/vmstat").splitlines())
    return int(events[name])


def turn(lab, rounds, prefix):
    """So many rounds of each kind."""
    for cleared, manual in (("cleared when fetched", 0), ("cleared by hand", INITIALLY_SET)):
        name = f"{prefix}{cleared}"
        disturbed(lab, name, rounds, manual=manual, **({"split": SPLIT, "recover": RECOVER} if lab.patched else {}))
        if not lab.patched:
            stress(lab, f"split on fault, {name}", rounds, manual=manual)
            continue
        found = stress(lab, f"split ahead, {name}", rounds, manual=manual, split=SPLIT, recover=RECOVER)
        # In one of so many cycles it begins before there are faults that split, and half of the time at least there are
        # blocks by then. Where a guest looks at some pages only, what those have split stays split, as the tables are
        # not full.
        least = rounds // CYCLE // (CYCLE + 1) // 2 if lab.block == BLOCK else 1
        lab.ok(found["blocks"] >= least, f"split ahead, {name}: blocks were split", found)
    if lab.patched:
        stress(lab, f"chunk size, {name}", rounds, manual=manual, chunk=lab.block, recover=RECOVER)


def run(lab):
    usual = ROUNDS if lab.base == "linux-6.1" else OTHER_BASES_ROUNDS
    rounds = DEBUG_ROUNDS if lab.debug else LONG_ROUNDS if lab.long else usual
    rounds = lab.rounds or rounds
    lab.huge_pages(2 * BLOCKS * lab.block // MIB)
    merged = merge_pages(lab)
    # In turns, so that of a long run that was stopped it is known what it has done, of all kinds the same.
    for done in range(0, rounds, ROUNDS):
        turn(lab, min(ROUNDS, rounds - done), f"after {done} rounds, " if rounds > ROUNDS else "")
    if not merged:
        lab.skip("pages are merged meanwhile", "this kernel has no KSM")
        return
    scans, written = int(read(f"{KSM}/full_scans")), vm_event("cow_ksm")
    lab.note(f"{scans} times all pages were looked at, to be merged; {written} that were merged have been written to")
    # They are filled once a cycle, and written to in the next.
    lab.ok(written or rounds // 2 <= CYCLE, "pages are merged meanwhile", (scans, written))
    write(f"{KSM}/run", 2)
