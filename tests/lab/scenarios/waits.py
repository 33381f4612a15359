# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a vCPU waits for mmu_lock while 512 MiB are split, logged, cleared, recovered, unmapped.

The host's clock counts instructions. One of its CPUs does the work; on the other a vCPU faults on other memory all
the while. It may have to wait for one TLBI and for 8192 entries: as long as it takes to enable dirty logging on
32 MiB of pages, or to unmap them, caches included. That is measured, too, with nobody waiting. Where nothing is
invalidated for it, write-protecting goes on for one table of pages, of 512 entries.
"""

import os
import subprocess

from host.lab import BIN, Failed
from host.vmm import INITIALLY_SET, MEMORY, MIB, Vmm

ORDER = 16
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
CONFIGS = ("lab", "preempt")
COUNTED = 2
SYSTEMD = False
DEBUG = False

SIZE = 512
# Memory of which 8192 entries map the pages
SMALL = 32
ENTRIES, TABLE = 8192, 512
# Where the vCPU faults, a page each
OTHER, OTHER_MIB = 2, 32
OTHER_PAGES = OTHER_MIB * MIB // 4096
# The emulator has one CPU run at a time: the second until its turn is over, the first until it waits or yields.
WAITER, WORKER = 0, 1
# How long a turn is, in instructions. Who waits sees that late that the wait is over.
TURN = 20000
# What Linux 6.12 takes to split a block, the allocation of its table left out; see instructions.py
UPSTREAM = 140000
# What else the CPU is interrupted for while the lock is held, now and then for a million instructions, is none of it.
TRIES = 4
STEP = 512


class Guest:
    """A VM with memory of mib MiB, by blocks. Its only vCPU has a CPU of its own."""

    def __init__(self, lab, mib, manual=0, chunk=0):
        self.vmm = Vmm(lab, vcpus=1, manual=manual, chunk=chunk)
        self.pages = mib * MIB // 4096
        self.vmm.add(mib=mib)
        self.vmm.work("populate", 1, step=STEP)
        self.splitter = lab.splitter(self.vmm.pid) if lab.patched else None
        for thread in map(int, os.listdir(f"/proc/{self.vmm.pid}/task")):
            os.sched_setaffinity(thread, {WORKER if thread == self.vmm.pid else WAITER})
        if self.splitter:
            os.sched_setaffinity(self.splitter.pid, {WORKER})

    def add_other(self):
        """Memory that is there, and not mapped in stage 2."""
        options = {"slot": OTHER, "mib": OTHER_MIB, "gpa": MEMORY + (8 << 30), "backing": "4k"}
        self.vmm.add(**options)
        self.vmm.work("populate", OTHER)
        self.vmm.call("delete", OTHER)
        self.vmm.add(**options)

    # What is watched: each returns the instructions that it took, or that the lock was held for at a stretch.

    def run(self, flags):
        done = self.splitter.ask(flags, calls=0)
        if done["error"]:
            raise Failed(f"{flags}: {done}")
        return done["hold_max_ns"]

    def split(self):
        return self.run("hold+split")

    def recover(self):
        return self.run("release+recover")

    def log(self):
        return self.vmm.call("log", 1, on=1)["ns"]

    def clear(self):
        return self.vmm.call("clear", 1, first=0, pages=self.pages)["ns"]

    def delete(self):
        return self.vmm.call("delete", 1)["ns"]

    def prepare(self, work):
        """What there must be before."""
        if work != Guest.split:
            self.split()
        if work == Guest.clear:
            self.log()
            self.vmm.call("dirty", 1)

    def waits(self):
        stats = self.splitter.survey()
        return stats["stalls"], stats["stall_max_ns"]


def undisturbed(lab, work, mib, manual=0):
    guest = Guest(lab, mib, manual)
    guest.prepare(work)
    took = work(guest)
    guest.vmm.quit()
    return took


def reference(lab, work):
    """What 8192 entries take. One measurement of something that short is a fifth too low now and then: so the larger of
    that and of the share that they have of all."""
    return max(undisturbed(lab, work, SMALL), undisturbed(lab, work, SIZE) // (SIZE // SMALL))


def one_watch(lab, name, work, manual):
    """Returns what vCPUs have waited for at most, how often, and how many pages were faulted in meanwhile."""
    guest = Guest(lab, SIZE, manual)
    guest.prepare(work)
    guest.add_other()
    before, _ = guest.waits()
    guest.vmm.call("start", OTHER)
    guest.vmm.advance()
    took = work(guest)
    done = guest.vmm.call("progress")["done0"]
    guest.vmm.call("stop")
    stalls, longest = guest.waits()
    guest.vmm.quit()
    lab.note(f"{name}: {took} instructions with a vCPU, which waited {stalls - before} times, for {longest} at most")
    return longest, stalls - before, done


def watched(lab, name, work, bound, manual=0, entries=ENTRIES):
    alone = undisturbed(lab, work, SIZE, manual)
    lab.note(f"{name}: {alone} instructions with nobody waiting")
    for _ in range(TRIES):
        longest, stalls, done = one_watch(lab, name, work, manual)
        if longest <= bound + 3 * TURN:
            break
    lab.ok(done < OTHER_PAGES, f"{name}: a vCPU faults all the while", done)
    lab.ok(stalls > 0, f"{name}: it has to wait", stalls)
    lab.ok(longest <= bound + 3 * TURN, f"{name}: it waits for a TLBI and {entries} entries at most",
           f"{longest} instructions, wanted at most {bound}")
    return alone


def run(lab):
    lab.huge_pages(SIZE)
    lab.spawn(f"{BIN}/ticker", WORKER, TURN, stdin=subprocess.PIPE)
    walk = reference(lab, Guest.log)
    unmap = reference(lab, Guest.delete)
    lab.note(f"8192 entries and a TLBI: write-protected {walk} instructions, unmapped {unmap}")
    held = watched(lab, "split", Guest.split, walk) // (SIZE // 2)
    lab.ok(held <= UPSTREAM / 2, "split: at most half of what Linux 6.12 holds the lock for", held)
    table = walk * TABLE // ENTRIES
    watched(lab, "dirty logging enabled", Guest.log, table, entries=TABLE)
    watched(lab, "dirty log cleared", Guest.clear, table, manual=INITIALLY_SET, entries=TABLE)
    watched(lab, "recovered", Guest.recover, walk)
    # Later kernels free tables by RCU callbacks, which may run on the CPU while it holds the lock.
    watched(lab, "memslot deleted", Guest.delete, unmap if lab.base == "linux-6.1" else 3 * unmap)
