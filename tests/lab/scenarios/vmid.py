# SPDX-License-Identifier: GPL-2.0-or-later
"""Split and recovered by pauses: no broadcast TLBI on any CPU, whatever the guest does meanwhile."""

from host.lab import Failed
from host.vmm import BLOCK, INITIALLY_SET, MIB, Vmm, since
from scenarios.dirty_stress import CYCLE, stress

ORDER = 27
BASES = ("linux-6.1",)
SERIES = ("vmid",)
CPUS = ("neoverse-n1", "max", "cortex-a72")
SYSTEMD = False
DEBUG = True

VCPUS = 2
SIZE = 512
BLOCKS = SIZE * MIB // BLOCK
# Of the pages one in so many is looked at
STEP = 16
# KVM_ARM_EAGER_SPLIT_PAUSE, and the flags for KVM_ARM_SPLIT_RUN
PAUSE_CAPABILITY = 4
SPLIT, RECOVER = 1 | 8, 2 | 8
# Rounds of the guest's own changes, and of dirty logging, each way
REMAPS, LONG_REMAPS = 400, 10000
ROUNDS, LONG_ROUNDS = 60, 2400


def most_tlbis(lab, pauses):
    """One CPU has VMIDs of 8 bits, and a rollover at the latest when as many have been left behind; all of the host."""
    return pauses // 255 + 1 if lab.cpu == "cortex-a72" else 0


def exchanged(lab, vmm, name, flags, leaves, **options):
    """All of it, with the vCPUs at work. Returns what it took."""
    before, faults = vmm.stats(), vmm.faults()
    phase = lab.phase(name)
    done = lab.split(vmm.pid, flags, calls=0, **options)
    lab.phase_end()
    took = since(before, vmm.stats())
    lab.note(f"{name}: {done['pauses']} pauses, {done['yields']} yields, {took['vcpu_exits']} exits")
    lab.eq((done["error"], done["blocks"]), (None, BLOCKS), f"{name}: all blocks")
    lab.ok(done["tlbis"] <= most_tlbis(lab, done["pauses"]), f"{name}: no TLBI but for rollovers", done)
    lab.expect(phase, f"{name}: broadcast TLBIs, as the kernel counts them", broadcast=done["tlbis"])
    lab.eq(vmm.leaves(), leaves, f"{name}: it is done")
    lab.eq(took["pauses"], done["pauses"], f"{name}: KVM's statistics agree")
    lab.eq(since(faults, vmm.faults())["translation"], 0, f"{name}: no fault on what was mapped")
    vmm.advance()
    return {**done, "exits": took["vcpu_exits"]}


def at_work(lab):
    """512 MiB, under vCPUs that read, write and execute: a block a pause, then all at once."""
    vmm = Vmm(lab, vcpus=VCPUS, faults=1)
    vmm.add(mib=SIZE)
    vmm.work("populate", 1, step=STEP)
    vmm.call("start", 1, write=3, exec=5, step=STEP)
    vmm.advance()
    for name, options in (("one by one", {"blocks": 1}), ("all at once", {})):
        for flags, leaves in (("hold+split+pause", (0, 0, BLOCKS)), ("release+recover+pause", (0, BLOCKS, 0))):
            done = exchanged(lab, vmm, f"{name}, {flags}", flags, leaves, **options)
            if options:
                lab.eq(done["pauses"], BLOCKS, f"{name}, {flags}: pauses")
                # The host's own interrupts are among them.
                lab.ok(done["exits"] <= 2 * VCPUS * done["pauses"], f"{name}, {flags}: exits a vCPU and pause, at most two",
                       done)
            else:
                lab.eq(done["pauses"], 1 + done["yields"], f"{name}, {flags}: a pause, and one for each yield")
    vmm.work("stop")
    vmm.intact("at work: memory is intact", step=STEP)
    vmm.quit()


def gigantic(lab):
    """A block of 1 GiB, by way of blocks of 2 MiB, and back."""
    vmm = Vmm(lab)
    vmm.add(mib=1024, backing="huge1g")
    vmm.work("populate", 1, pages=4096)
    vmm.call("start", 1, write=3, exec=5, pages=4096)
    phase, tlbis = lab.phase("1 GiB, there and back"), 0
    for flags, leaves in (("split+pause", (0, 0, 512)), ("recover+pause", (1, 0, 0))):
        done = lab.split(vmm.pid, flags)
        lab.eq((done["error"], done["blocks"]), (None, 513), f"1 GiB, {flags}: all blocks")
        lab.eq(done["pauses"], 2 + done["yields"], f"1 GiB, {flags}: two pauses, and one for each yield")
        tlbis += done["tlbis"]
        lab.eq(vmm.leaves(), leaves, f"1 GiB, {flags}: it is done")
    lab.phase_end()
    lab.ok(tlbis <= most_tlbis(lab, 4), "1 GiB: no TLBI but for rollovers", tlbis)
    lab.expect(phase, "1 GiB: broadcast TLBIs, as the kernel counts them", broadcast=tlbis)
    vmm.advance()
    vmm.work("stop")
    vmm.intact("1 GiB: memory is intact", pages=4096)
    vmm.quit()


def limits(lab):
    """max_tlbis is about pauses; flags that do not go together."""
    vmm = Vmm(lab)
    vmm.add(mib=32)
    vmm.work("populate", 1, step=STEP)
    done = lab.split(vmm.pid, "split+pause", blocks=4, max=1)
    lab.eq((done["blocks"], done["pauses"]), (4, 1), "limits: so many blocks")
    done = lab.split(vmm.pid, "split+pause", gpa=done["gpa"], size=done["size"], max=1, calls=0)
    lab.eq((done["blocks"], done["pauses"], done["calls"]), (12, 1, 1), "limits: so many pauses")
    for flags in ("pause", "split+break+pause", "split+recover+pause"):
        lab.eq(lab.split(vmm.pid, flags)["error"], "EINVAL", f"limits: {flags} is refused")
    lab.eq(lab.split(vmm.pid, "recover+pause")["blocks"], 16, "limits: recovered")
    vmm.quit()


def remapped(lab):
    """The guest changes its own tables and invalidates by broadcast all the while: nothing stale is seen."""
    vmm = Vmm(lab)
    vmm.add(mib=32)
    vmm.work("populate", 1)
    vmm.call("remap", 1)
    wanted, times, tlbis, pauses = LONG_REMAPS if lab.long else REMAPS, 0, 0, 0
    phase = lab.phase("guest remaps")
    while vmm.call("progress")["done0"] < wanted // 2:
        for flags in ("split+pause", "recover+pause"):
            done = lab.split(vmm.pid, flags, calls=0)
            if done["error"]:
                raise Failed(f"guest remaps: {done}")
            tlbis += done["tlbis"]
            pauses += done["pauses"]
        times += 1
    lab.phase_end()
    rounds = vmm.call("stop")
    lab.note(f"guest remaps: {rounds['done0'] + rounds['done1']} rounds, {times} times there and back")
    lab.eq(rounds["errors"], 0, "guest remaps: stale translations")
    lab.ok(tlbis <= most_tlbis(lab, pauses), "guest remaps: no TLBI of ours but for rollovers", (tlbis, pauses))
    lab.expect(phase, "guest remaps: broadcast TLBIs, as the kernel counts them", broadcast=tlbis)
    vmm.intact("guest remaps: memory is intact")
    vmm.quit()


def logged(lab):
    """No dirty page is lost; see dirty_stress."""
    rounds = lab.rounds or (LONG_ROUNDS if lab.long else ROUNDS)
    for cleared, manual in (("cleared when fetched", 0), ("cleared by hand", INITIALLY_SET)):
        found = stress(lab, f"stress, {cleared}", rounds, manual=manual, split=SPLIT, recover=RECOVER)
        lab.ok(found["blocks"] >= rounds // CYCLE // (CYCLE + 1) // 2, f"stress, {cleared}: blocks were split", found)
        lab.ok(found["tlbis"] <= most_tlbis(lab, rounds), f"stress, {cleared}: no TLBI but for rollovers", found)


def run(lab):
    lab.huge_pages(SIZE)
    lab.ok(lab.capability() & PAUSE_CAPABILITY, "the capability's bit")
    at_work(lab)
    gigantic(lab)
    limits(lab)
    remapped(lab)
    logged(lab)
