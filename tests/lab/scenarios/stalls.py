# SPDX-License-Identifier: GPL-2.0-or-later
"""The longest exit of a vCPU while other memory is split, by eager splitting of upstream's, and by ours.

As `waits`, on a host whose clock counts instructions; but by the trace of exits, which stock kernels have, too. What is
more than it takes to map a page, the vCPU has waited. By hand, for what there is to beat.
"""

import subprocess

from host.lab import BIN
from host.trace import Trace, now_usec
from host.vmm import BLOCK, INITIALLY_SET
from scenarios.waits import OTHER, OTHER_PAGES, SIZE, TURN, WORKER, Guest

ORDER = 17
BASES = ("linux-6.12", "linux-7.2")
SERIES = ("none", "all")
CPUS = ("neoverse-n1",)
COUNTED = 2
SYSTEMD = False
DEBUG = False
LONG = True

GIB = 1 << 30
# For some thousands of exits
TRACE_KIB = 32768


def longest(lab, name, work, chunk=0, manual=0, prepared=()):
    """While that is done to SIZE MiB; prepared: what is done to them before."""
    guest = Guest(lab, SIZE, manual, chunk)
    for step in prepared:
        step(guest)
    guest.add_other()
    with Trace("kvm_entry", "kvm_exit", kib=TRACE_KIB) as trace:
        guest.vmm.call("start", OTHER)
        guest.vmm.advance()
        begin = now_usec()
        work(guest)
        end = now_usec()
        done = guest.vmm.call("progress")["done0"]
        guest.vmm.call("stop")
    # One that it waits in may end a little later.
    exits = [took for when, took in trace.exits() if begin < when and when - took < end]
    lab.note(f"{name}: {max(exits)}000 instructions the longest of {len(exits)} exits in {end - begin}000")
    lab.ok(done < OTHER_PAGES, f"{name}: a vCPU faults all the while", done)
    guest.vmm.quit()


def fetch(guest):
    guest.vmm.call("dirty", 1)


def run(lab):
    lab.huge_pages(SIZE)
    lab.spawn(f"{BIN}/ticker", WORKER, TURN, stdin=subprocess.PIPE)
    longest(lab, "dirty logging enabled, not split", Guest.log)
    for chunk in (BLOCK, GIB):
        size = f"chunks of {chunk >> 20} MiB"
        longest(lab, f"{size}, split when logging is enabled", Guest.log, chunk)
        longest(lab, f"{size}, split when the log is cleared", Guest.clear, chunk, INITIALLY_SET, (Guest.log, fetch))
    longest(lab, "memslot deleted, whole", Guest.delete)
    longest(lab, "memslot deleted, split", Guest.delete, BLOCK, 0, (Guest.log,))
    if lab.patched:
        longest(lab, "split by a splitter", Guest.split)
        longest(lab, "recovered by a splitter", Guest.recover, prepared=(Guest.split,))
