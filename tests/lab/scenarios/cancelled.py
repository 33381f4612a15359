# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations of stock QEMU that do not happen: the blocks come back, within the budget.

Called off half way through splitting, when split, and while memory is on its way; by orchestration, and by
nobody: then QEMU's dirty logging is all that the daemon sees.
"""

from host.daemon import Daemon
from host.migration import Migration
from host.qemu import RAM, Guest
from host.trace import Trace, worst_excess

ORDER = 46
SERIES = ("bbm",)
CPUS = ("neoverse-n1", "max-bbm")
SYSTEMD = True
DEBUG = True
PARTS = ("daemon", "guest")

MIB = 128
RATE, BURST = 50, 4
# In blocks, whatever the guest's kernel has touched besides.
WORKED_ON = MIB * 3 // 4 // 2


class Cancelled:
    """One guest, whose migration is called off again and again."""

    def __init__(self, lab, daemon):
        self._lab = lab
        self._daemon = daemon
        self.guest = Guest(lab, MIB, write=8)
        self.guest.wait_populated()
        self.vm = daemon.find(self.guest.pid)["vm"]

    def blocks(self):
        slots = [s for s in self._lab.survey(self.guest.pid)["slot"] if s["gpa"] >= RAM]
        return sum(s["blocks1"] + s["blocks2"] for s in slots)

    def all_blocks(self, case):
        blocks = self.blocks()
        self._lab.ok(blocks >= WORKED_ON, f"{case}: the guest is mapped by blocks", blocks)
        return blocks

    def tell(self, state):
        return self._daemon.migration(self.vm, state)

    def wait(self, stage):
        return self._daemon.wait_stage(self.vm, stage)

    def prepare(self):
        self.tell("scheduled")
        return self.wait("split")

    def begin(self, blocks):
        """Until so many blocks more are split."""
        before = self.tell("scheduled")["blocksSplit"]
        self._daemon.wait_split(self.vm, before + blocks)

    def blocks_split(self):
        return self._daemon.vm(self.vm)["blocksSplit"]

    def is_active(self):
        return self._daemon.vm(self.vm)["migration"] == "active"

    def is_scheduled(self):
        return self._daemon.vm(self.vm)["migration"] == "scheduled"

    def check(self, case, blocks, cancel, split=None):
        """
        Calls it off; what was split comes back, by the daemon, or by a vCPU's fault that finds a page still
        write-protected. split: how many the daemon has split, where faults broke others before. Of those
        most pages are not mapped: they are blocks again when the guest touches one.
        """
        lab = self._lab
        phase = lab.phase(f"{case}: cancelling")
        with Trace("kvm_arm_eager_split") as trace:
            cancel()
            after = self.wait("whole")
            lab.phase_end()
            recovered = [r for r in trace.ranges() if r.recover]
        back, wanted = self.blocks(), blocks if split is None else split
        lab.ok(back * 100 >= wanted * 99, f"{case}: at least 99 % of the blocks are back", f"{back} of {wanted}")
        made, spent = sum(r.blocks for r in recovered), sum(r.tlbis for r in recovered)
        lab.note(f"{case}: {back} of {wanted} blocks are back, {made} of them recovered, by {spent} TLBIs")
        lab.ok(spent <= made, f"{case}: at most a TLBI a block recovered", (spent, made))
        lab.at_most(phase, f"{case}: at most a TLBI a block, counted by the emulator", wide=blocks)
        excess = worst_excess(recovered, RATE, BURST)
        lab.ok(excess <= 0, f"{case}: no interval has more than rate * t + burst TLBIs", excess)
        lab.eq((after["migration"], lab.survey(self.guest.pid)["held"]), ("cancelled", 0),
               f"{case}: the daemon takes it for cancelled, and no hold is left")
        self.guest.intact(f"{case}: the guest runs on, its memory is intact")


def half_way(cancelled):
    blocks = cancelled.all_blocks("half way")
    cancelled.begin(blocks // 2)
    cancelled.check("half way", blocks, lambda: cancelled.tell("cancelled"))


def when_split(lab, cancelled):
    blocks = cancelled.all_blocks("split")
    cancelled.prepare()
    lab.eq(cancelled.blocks(), 0, "split: blocks left")
    cancelled.check("split", blocks, lambda: cancelled.tell("cancelled"))


def migrating_told(lab, cancelled):
    """Orchestration calls it off, by QMP and to the daemon."""
    blocks = cancelled.all_blocks("migrating, told")
    cancelled.prepare()
    cancelled.tell("active")
    migration = Migration(lab, cancelled.guest)
    migration.start()
    cancelled.guest.wait_rounds()

    def cancel():
        migration.cancel()
        cancelled.tell("cancelled")

    cancelled.check("migrating, told", blocks, cancel)


def migrating_untold(lab, cancelled, prepare):
    """
    Nobody tells the daemon that it begins: it was scheduled, or not even that. Then what is not split yet is,
    while the guest's memory is on its way, and the end of dirty logging is all that is seen of its end.
    """
    case = "migrating, scheduled" if prepare else "migrating, unannounced"
    blocks = cancelled.all_blocks(case)
    before = cancelled.blocks_split()
    if prepare:
        cancelled.prepare()
    migration = Migration(lab, cancelled.guest)
    migration.start()
    lab.wait_for("the daemon to see the migration", cancelled.is_active)
    vm = cancelled.wait("split")
    lab.eq((vm["migration"], vm["blocks"], cancelled.blocks()), ("active", 0, 0),
           f"{case}: the daemon sees that it migrates, and no block is left")
    cancelled.guest.wait_rounds()
    split = vm["blocksSplit"] - before
    lab.ok(split > 0, f"{case}: the daemon has split blocks", split)

    def cancel():
        migration.cancel()
        if prepare:
            # What was scheduled is, until somebody says otherwise.
            lab.wait_for("the daemon to see that logging has stopped", cancelled.is_scheduled)
            cancelled.tell("cancelled")

    cancelled.check(case, blocks, cancel, split=split)


def run(lab):
    lab.huge_pages(2 * MIB)
    daemon = Daemon(lab)
    # Half way is where a TLBI splits some blocks, not all.
    daemon.start(rate=RATE, burst=BURST, bbm="off")
    cancelled = Cancelled(lab, daemon)
    half_way(cancelled)
    daemon.reconfigure(RATE, BURST)
    when_split(lab, cancelled)
    migrating_told(lab, cancelled)
    migrating_untold(lab, cancelled, prepare=True)
    migrating_untold(lab, cancelled, prepare=False)
    cancelled.guest.quit()
    daemon.stop()
