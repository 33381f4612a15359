# SPDX-License-Identifier: GPL-2.0-or-later
"""The longest stage-2 fault of a vCPU while its guest migrates: stock, QEMU's eager-split-size, prepared ahead.

As `migration`, on a host whose clock counts the instructions of all its CPUs, for guests of 1, 2 and 4 vCPUs, which have a
CPU each. All else shares one more. The figures of all boots are the table of `run --longest-faults`.
"""

import glob
import os
import subprocess

from host.daemon import Daemon
from host.lab import BIN, read
from host.migration import Migration
from host.qemu import EAGER, EAGER_SINCE, RAM, Guest, version
from host.trace import FaultTimes

ORDER = 47
BASES = ("linux-6.12", "linux-7.2")
SERIES = ("none", "all")
CPUS = ("neoverse-n1",)
VCPUS = (1, 2, 4)
COUNTED = max(VCPUS) + 1
SYSTEMD = True
DEBUG = False
LONG = True
PARTS = ("daemon", "guest")

MIB = 128
# Of each kind; more in a long run
RUNS, LONG_RUNS = 1, 3
LOADS = {"reads mostly": 64, "writes": 2}
# Whatever is no vCPU runs here.
OTHERS = COUNTED - 1
# How long a CPU's turn is at the most, in instructions
TURN = 10000
TRACE_KIB = 24576


def pin(guest):
    """Gives each of its vCPUs a CPU that nothing else runs on; QEMU's other threads are born where we run."""
    for cpu, thread in enumerate(guest.threads()):
        os.sched_setaffinity(thread, {cpu})


def longest_stall(guest):
    """What KVM itself has counted since the VM was made: the longest wait for mmu_lock in a fault; None: it does not."""
    found = glob.glob(f"/sys/kernel/debug/kvm/{guest.pid}-*/stall_max_ns")
    return int(read(found[0])) // 1000 if found else None


def migrate(lab, guest, **columns):
    """One migration, whose figures go to a row. Returns the guest where it is then."""
    migration = Migration(lab, guest)
    pin(guest)
    name = f"{columns['way']}, {columns['load']}, {guest.vcpus} vCPUs"
    phase = lab.phase(name)
    with FaultTimes(guest.threads(), RAM, TRACE_KIB) as times:
        migration.start()
        guest.wait_rounds()
        migration.finish()
    lab.phase_end()
    lab.row(phase, **columns, vcpus=guest.vcpus, faults=len(times.usec), took=sum(times.usec),
            longest=max(times.usec), stall=longest_stall(guest))
    lab.ok(times.usec, f"{name}: its vCPUs fault")
    return migration.arrive()


def prepare(daemon, guest):
    vm = daemon.find(guest.pid)["vm"]
    daemon.migration(vm, "scheduled")
    daemon.wait_stage(vm, "split")
    daemon.migration(vm, "active")


def several(lab, way, load, vcpus, eager=0, daemon=None):
    """A guest that migrates once, or several times."""
    guest = Guest(lab, MIB, vcpus=vcpus, write=LOADS[load], eager=eager)
    pin(guest)
    guest.wait_populated()
    for _ in range(LONG_RUNS if lab.long else RUNS):
        if daemon:
            prepare(daemon, guest)
        guest = migrate(lab, guest, way=way, load=load)
        guest.intact(f"{way}, {load}, {vcpus} vCPUs: it arrives and runs, memory is intact")
    guest.quit()


def run(lab):
    lab.huge_pages(2 * MIB)
    os.sched_setaffinity(0, {OTHERS})
    for cpu in range(COUNTED):
        lab.spawn(f"{BIN}/ticker", cpu, TURN, stdin=subprocess.PIPE)
    daemon = None
    if lab.patched:
        daemon = Daemon(lab)
        daemon.start(rate=400, burst=8)
    for load in LOADS:
        for vcpus in VCPUS:
            if daemon:
                several(lab, "prepared ahead", load, vcpus, daemon=daemon)
                continue
            several(lab, lab.base.replace("linux-", "Linux "), load, vcpus)
            if version(lab) >= EAGER_SINCE:
                several(lab, "QEMU's eager-split-size", load, vcpus, eager=EAGER)
    if daemon:
        daemon.stop()
