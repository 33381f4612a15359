# SPDX-License-Identifier: GPL-2.0-or-later
"""Hold, split, release and recover, from another process, under a running guest."""

from host.vmm import BLOCK, MEMORY, MIB, Vmm, since

ORDER = 20
SERIES = ("eager-split", "bbm")
CPUS = {"eager-split": ("neoverse-n1",), "bbm": ("max", "max-bbm", "cortex-a72")}
SYSTEMD = False
DEBUG = True

SIZE = 32
BLOCKS = SIZE * MIB // BLOCK
PAGES = SIZE * 256
WHOLE = (0, BLOCKS, 0)
SPLIT = (0, 0, BLOCKS)
# Of two who split at once. Each is another one, as chance has it.
RACES = 48
# Changes of other memory's permissions meanwhile
PROTECTIONS = 200


def make(lab, backing="huge"):
    vmm = Vmm(lab, faults=1)
    vmm.add(mib=SIZE, backing=backing)
    vmm.work("populate", 1)
    return vmm


def write_protect(vmm):
    """Dirty logging on and off again leaves all mappings as they were, but write-protected."""
    vmm.call("log", 1, on=1)
    vmm.call("log", 1, on=0)


def held_blocks(lab, vmm):
    """Hold alone changes nothing that is mapped; what comes new, comes as pages."""
    phase = lab.phase("hold")
    held = lab.split(vmm.pid, "hold")
    lab.phase_end()
    lab.eq((held["error"], held["blocks"], held["tlbis"]), (None, 0, 0), "hold: touches no table")
    lab.expect(phase, "hold: no TLBI", broadcast=0)
    lab.eq(lab.survey(vmm.pid)["held"], 1, "hold: the survey tells")
    lab.eq(vmm.leaves(), WHOLE, "hold: blocks stay")
    vmm.add(2, mib=4, gpa=MEMORY + SIZE * MIB)
    vmm.work("populate", 2)
    lab.eq(vmm.leaves(2), (0, 0, 2), "hold: memory first touched now comes as pages")

    write_protect(vmm)
    before = vmm.faults()
    phase = lab.phase("hold, writing to write-protected blocks")
    vmm.work("pass", 1, write=64)
    lab.phase_end()
    took = since(before, vmm.faults())
    lab.eq((took["all"], took["permission"]), (BLOCKS, BLOCKS), "hold: a fault a write-protected block")
    lab.expect(phase, "hold: permission faults broadcast nothing", broadcast=0)
    lab.eq(vmm.leaves(), WHOLE, "hold: a block whose permission is relaxed stays a block")
    vmm.work("pass", 1, exec=512)
    lab.eq(vmm.leaves(), WHOLE, "hold: a block that is executed stays a block")
    lab.eq(lab.split(vmm.pid, "recover")["error"], "EBUSY", "hold: recovering is refused")


def split_in_steps(lab, vmm):
    """So many blocks a call, then so many TLBIs, with the vCPUs at work."""
    phase = lab.phase("split in steps")
    vmm.call("start", 1, write=3)
    first = lab.split(vmm.pid, "split", blocks=5)
    lab.eq((first["error"], first["blocks"]), (None, 5), "split: as many as allowed")
    lab.eq(vmm.leaves()[1], BLOCKS - 5, "split: as many blocks are gone")
    rest = lab.split(vmm.pid, "split", gpa=first["gpa"], size=first["size"], max=1, calls=0)
    lab.eq((rest["error"], rest["blocks"], rest["size"]), (None, BLOCKS - 5, 0), "split: the rest")
    lab.eq(rest["tlbis"], rest["calls"], "split: a TLBI a call")
    vmm.advance()
    vmm.work("stop")
    again = lab.split(vmm.pid, "split")
    lab.phase_end()
    lab.eq((again["error"], again["blocks"], again["tlbis"]), (None, 0, 0), "split: nothing is left")
    spent = first["tlbis"] + rest["tlbis"]
    lab.ok(spent <= 2 + first["yields"] + rest["yields"], "split: a TLBI a call, and one for each yield", (first, rest))
    lab.expect(phase, "split: those TLBIs, none in faults", broadcast=spent)
    lab.eq(vmm.leaves(), SPLIT, "split: all are pages")
    stats = vmm.stats()
    lab.eq((stats["blocks_split"], stats["tlbi_split"]), (BLOCKS, spent), "split: KVM's statistics agree")


def held_pages(lab, vmm):
    """What is split stays split, though the host maps it by huge pages."""
    write_protect(vmm)
    before = vmm.faults()
    phase = lab.phase("hold, writing to write-protected pages")
    vmm.work("pass", 1, write=1)
    lab.phase_end()
    took = since(before, vmm.faults())
    lab.eq((took["all"], took["permission"]), (PAGES, PAGES), "hold: a fault a write-protected page")
    lab.expect(phase, "hold: pages' permission faults broadcast nothing", broadcast=0)
    vmm.work("pass", 1, exec=8)
    lab.eq(vmm.leaves(), SPLIT, "hold: pages stay pages")
    vmm.intact("hold: memory is intact")


def recover_in_steps(lab, vmm):
    """Back to blocks, with the vCPUs at work."""
    released = lab.split(vmm.pid, "release")
    lab.eq((released["error"], released["blocks"]), (None, 0), "release: touches no table")
    lab.eq((lab.survey(vmm.pid)["held"], vmm.leaves()), (0, SPLIT), "release: the survey tells")
    phase = lab.phase("recover in steps")
    vmm.call("start", 1, write=3)
    first = lab.split(vmm.pid, "recover", blocks=3)
    lab.eq((first["error"], first["blocks"]), (None, 3), "recover: as many as allowed")
    rest = lab.split(vmm.pid, "recover", gpa=first["gpa"], size=first["size"], max=1, calls=0)
    lab.phase_end()
    vmm.advance()
    vmm.work("stop")
    # The second memslot's too.
    lab.eq((rest["error"], rest["blocks"]), (None, BLOCKS - 3 + 2), "recover: the rest")
    spent = first["tlbis"] + rest["tlbis"]
    lab.ok(spent <= 2 + first["yields"] + rest["yields"], "recover: a TLBI a call, and one for each yield",
           (first, rest))
    lab.expect(phase, "recover: those TLBIs", wide=spent, ipas2e1is=0)
    lab.eq(vmm.leaves(), WHOLE, "recover: all are blocks")
    lab.eq(vmm.leaves(2), (0, 2, 0), "recover: those that never were blocks, too")
    vmm.work("pass", 1, write=2, exec=512)
    vmm.intact("recover: memory is intact")


def cancelled_migration(lab):
    """Some pages writable and some not, as dirty logging leaves them, become blocks again."""
    vmm = make(lab)
    lab.split(vmm.pid, "hold+split")
    vmm.call("log", 1, on=1)
    vmm.work("pass", 1, write=2)
    dirty = vmm.call("dirty", 1)
    lab.eq((dirty["pages"], dirty["missing"]), (PAGES // 2, 0), "cancelled: the dirty log is complete")
    vmm.work("pass", 1, write=4)
    done = lab.split(vmm.pid, "release+recover")
    lab.eq((done["error"], done["blocks"]), (None, 0), "cancelled: none recovered while logging")
    lab.eq(vmm.leaves(), SPLIT, "cancelled: pages while logging")
    vmm.call("log", 1, on=0)
    done = lab.split(vmm.pid, "recover")
    lab.eq((done["error"], done["blocks"], done["tlbis"]), (None, BLOCKS, 1), "cancelled: recovered")
    before = vmm.faults()
    vmm.work("pass", 1, write=1)
    took = since(before, vmm.faults())
    lab.eq((took["all"], took["permission"]), (BLOCKS, BLOCKS), "cancelled: then a fault a block")
    lab.eq(vmm.leaves(), WHOLE, "cancelled: blocks again")
    vmm.intact("cancelled: memory is intact")
    vmm.quit()


def part_of_memory(lab):
    """A range that begins and ends within blocks, and holes."""
    vmm = make(lab)
    vmm.add(2, mib=4, gpa=MEMORY + (1 << 32))
    vmm.work("populate", 2)
    part = lab.split(vmm.pid, "split", gpa=MEMORY + 3 * BLOCK + 4096, size=BLOCK)
    lab.eq((part["error"], part["blocks"], part["size"]), (None, 2, 0), "range: blocks that overlap it")
    lab.eq(vmm.leaves(), (0, BLOCKS - 2, 2), "range: no others")
    hole = lab.split(vmm.pid, "split", gpa=MEMORY + SIZE * MIB, size=1 << 31)
    lab.eq((hole["error"], hole["blocks"], hole["tlbis"]), (None, 0, 0), "range: a hole")
    rest = lab.split(vmm.pid, "split")
    lab.eq((rest["error"], rest["blocks"]), (None, BLOCKS - 2 + 2), "range: all of the rest")
    vmm.intact("range: memory is intact")
    vmm.intact("range: memory beyond the hole is intact", slot=2)
    vmm.quit()


def transparent(lab):
    """Transparent huge pages: there, mostly; none of them left afterwards."""
    vmm = make(lab, backing="thp")
    blocks = vmm.leaves()[1]
    lab.ok(blocks > 0, "THP: the guest is mapped by blocks", vmm.leaves())
    done = lab.split(vmm.pid, "hold+split")
    lab.eq((done["error"], done["blocks"], done["tlbis"]), (None, blocks, 1), "THP: split")
    lab.eq(vmm.leaves(), SPLIT, "THP: all are pages")
    done = lab.split(vmm.pid, "release+recover")
    lab.eq((done["error"], vmm.leaves()[1]), (None, blocks), "THP: recovered")
    vmm.work("pass", 1, write=2)
    vmm.intact("THP: memory is intact")
    vmm.quit()


def gigantic(lab):
    """A block of 1 GiB becomes pages for two TLBIs, by way of blocks of 2 MiB, and a block again for two."""
    pages = 4096
    vmm = Vmm(lab, faults=1)
    vmm.add(mib=1024, backing="huge1g")
    vmm.work("populate", 1, pages=pages)
    lab.eq(vmm.leaves(), (1, 0, 0), "1 GiB: one block")
    phase = lab.phase("1 GiB, split")
    done = lab.split(vmm.pid, "hold+split")
    lab.phase_end()
    # Later kernels invalidate after each batch, and the blocks of 2 MiB are a batch of their own.
    tlbis = 1 if lab.no_break and lab.base == "linux-6.1" else 2
    lab.eq((done["error"], done["blocks"], done["tlbis"]), (None, 513, tlbis), "1 GiB: split")
    lab.expect(phase, "1 GiB, split: those TLBIs", broadcast=tlbis)
    lab.eq(vmm.leaves(), (0, 0, 512), "1 GiB: all are pages")
    vmm.work("pass", 1, write=2, pages=pages)
    phase = lab.phase("1 GiB, recover")
    done = lab.split(vmm.pid, "release+recover")
    lab.phase_end()
    lab.eq((done["error"], done["blocks"], done["tlbis"]), (None, 513, 2), "1 GiB: recovered")
    lab.expect(phase, "1 GiB, recover: two TLBIs", wide=2)
    lab.eq(vmm.leaves(), (1, 0, 0), "1 GiB: one block again")
    vmm.intact("1 GiB: memory is intact", pages=pages)
    vmm.quit()


def two_at_once(lab):
    """Who splits a block of 1 GiB leaves nothing of it, though another one, which goes no further, was there first."""
    vmm = Vmm(lab)
    vmm.add(mib=1024, backing="huge1g")
    vmm.work("populate", 1, pages=512)
    other = lab.new_splitter(vmm.pid)
    wrong = []
    for _ in range(RACES):
        lab.splitter(vmm.pid).tell("hold+split")
        other.tell("split", max=1)
        found = lab.splitter(vmm.pid).answer()["error"], other.answer()["error"], vmm.leaves()
        wrong += [found] * (found != (None, None, (0, 0, 512)))
        lab.split(vmm.pid, "release+recover")
    lab.eq(wrong, [], f"1 GiB, split by two at once, {RACES} times: all are pages")
    other.close()
    vmm.quit()


def beside_invalidation(lab):
    """Blocks come back though the VMM is at other memory all the while, which MMU notifiers tell of."""
    vmm = make(lab)
    vmm.add(2, mib=SIZE, gpa=MEMORY + (1 << 32), backing="4k")
    vmm.work("populate", 2)
    lab.split(vmm.pid, "hold+split")
    for i in range(PROTECTIONS):
        vmm.tell("protect", 2, exec=i % 2, first=0, pages=PAGES)
    done = lab.split(vmm.pid, "release+recover")
    failed = [answer for answer in (vmm.answer() for _ in range(PROTECTIONS)) if answer["error"]]
    lab.eq((done["error"], done["blocks"], failed), (None, BLOCKS, []), "recover: while other memory is invalidated, all")
    lab.eq(vmm.leaves(), WHOLE, "recover: blocks again")
    vmm.work("pass", 1, write=2)
    vmm.intact("recover: memory is intact")
    vmm.quit()


def run(lab):
    lab.huge_pages(SIZE + 8)
    # Of a kernel that can split by pauses, there is another bit.
    lab.eq(lab.capability() & 3, 3 if lab.no_break else 1, "the capability's value")
    vmm = make(lab)
    lab.eq(vmm.leaves(), WHOLE, "the guest is mapped by blocks")
    held_blocks(lab, vmm)
    split_in_steps(lab, vmm)
    held_pages(lab, vmm)
    recover_in_steps(lab, vmm)
    vmm.quit()
    cancelled_migration(lab)
    part_of_memory(lab)
    transparent(lab)
    gigantic(lab)
    two_at_once(lab)
    beside_invalidation(lab)
