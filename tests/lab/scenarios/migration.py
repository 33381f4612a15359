# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migrations of stock QEMU: on the stock kernel, on the patched one, and prepared ahead.

A guest goes from one QEMU to the next, again and again. Its memory is sent slowly until it has gone over
all of it, and at full speed then: so each migration sees the same work, however slow the emulator is. The
figures of all boots are compared by the runner, and are the table of `run --migrations`.
"""

import glob

from host.daemon import Daemon
from host.lab import read
from host.migration import Migration
from host.qemu import EAGER, EAGER_SINCE, RAM, Guest, version
from host.trace import FaultCount

ORDER = 45
SERIES = ("none", "bbm")
CPUS = {"none": ("neoverse-n1", "max"), "bbm": ("neoverse-n1", "max-bbm")}
SYSTEMD = True
DEBUG = False
PARTS = ("daemon", "guest")

MIB = 128
# Of each kind, in a long run.
RUNS = 5
# One page in so many is written each round.
LOADS = {"reads mostly": 64, "writes": 2}
SHORT = ("reads mostly",)
# In blocks, or tables, whatever the guest's kernel has touched besides.
WORKED_ON = MIB * 3 // 4 // 2


def exits(guest):
    """Of all its vCPUs."""
    path, = glob.glob(f"/sys/kernel/debug/kvm/{guest.pid}-*/exits")
    return int(read(path))


def leaves(lab, guest):
    """By what its memory is mapped: (blocks, tables of pages)."""
    slots = [s for s in lab.survey(guest.pid)["slot"] if s["gpa"] >= RAM]
    return sum(s["blocks1"] + s["blocks2"] for s in slots), sum(s["tables"] for s in slots)


def migrate(lab, guest, name, row):
    """One migration; counts go to the row. Returns the guest where it is then."""
    migration = Migration(lab, guest)
    before = exits(guest)
    phase = lab.phase(f"{name}: migrating")
    with FaultCount(guest.threads(), RAM) as faults:
        migration.start()
        guest.wait_rounds()
        info = migration.finish()
    lab.phase_end()
    took = exits(guest) - before
    lab.row(phase, **row, faults=faults.count, exits=took, pages=info["ram"]["normal"],
            iterations=info["ram"]["dirty-sync-count"])
    return phase, migration


def on_its_own(lab, guest, name, row):
    """Nobody prepares anything."""
    if lab.patched:
        lab.ok(leaves(lab, guest)[0] >= WORKED_ON, f"{name}: the guest is mapped by blocks", leaves(lab, guest))
    _, migration = migrate(lab, guest, name, {**row, "ahead": 0})
    return migration.arrive()


def prepared(lab, daemon, guest, name, row):
    """The daemon has split all blocks before, and has nothing left to do while the guest migrates."""
    blocks = leaves(lab, guest)[0]
    lab.ok(blocks >= WORKED_ON, f"{name}: the guest is mapped by blocks", blocks)
    vm = daemon.find(guest.pid)["vm"]
    phase = lab.phase(f"{name}: preparing")
    daemon.migration(vm, "scheduled")
    ahead = daemon.wait_stage(vm, "split")
    lab.phase_end()
    lab.expect(phase, f"{name}: TLBIs spent ahead, counted by the emulator", broadcast=ahead["tlbis"])
    daemon.migration(vm, "active")
    phase, migration = migrate(lab, guest, name, {**row, "ahead": ahead["tlbis"]})
    lab.expect(phase, f"{name}: no broadcast TLBI in vCPU faults", ipas2e1is=0)
    after = daemon.migration(vm, "completed")
    lab.eq((after["tlbis"], after["blocksSplit"] >= blocks), (ahead["tlbis"], True),
           f"{name}: the daemon has split all of it, before")
    return migration.arrive()


def ways(lab):
    """How it is done on this kernel and CPU: (name in the table, the daemon's Bbm= or None, QEMU's own splitting)."""
    kernel = "patched" if lab.patched else lab.base.replace("linux-", "Linux ")
    eager = EAGER if lab.base != "linux-6.1" and version(lab) >= EAGER_SINCE else 0
    all_ways = [("patched, not prepared" if lab.patched else kernel, None, 0)]
    if eager:
        all_ways.append((f"{kernel}, QEMU's eager-split-size", None, eager))
    if lab.patched:
        all_ways.append(("prepared ahead, break-before-make", "off", 0))
    return all_ways + [("prepared ahead, FEAT_BBM", "auto", 0)] * lab.no_break


def several(lab, guest, load, way, bbm):
    """As many migrations as the plan says, all in one way; returns the guest."""
    daemon = None
    if bbm:
        daemon = Daemon(lab)
        daemon.start(rate=400, burst=8, bbm=bbm)
    for number in range(1, (RUNS if lab.long else 1) + 1):
        name = f"{way}, {load}, {number}"
        row = {"way": way, "load": load}
        if daemon:
            guest = prepared(lab, daemon, guest, name, row)
        else:
            guest = on_its_own(lab, guest, name, row)
        guest.intact(f"{name}: it arrives and runs, memory is intact before, meanwhile and after")
    if daemon:
        daemon.stop()
    return guest


def run(lab):
    lab.huge_pages(2 * MIB)
    for load in LOADS if lab.long else SHORT:
        guest = None
        for way, bbm, eager in ways(lab):
            if guest and guest.eager != eager:
                guest.quit()
                guest = None
            if not guest:
                guest = Guest(lab, MIB, write=LOADS[load], eager=eager)
                guest.wait_populated()
                guest.intact(f"{load}: before, memory is intact")
            guest = several(lab, guest, load, way, bbm)
        guest.quit()
