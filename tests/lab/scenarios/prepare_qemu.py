# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: eagersplitd prepares a stock QEMU's guest of 512 MiB while it reads and writes.

By break-before-make a TLBI splits as many blocks as there are, up to 512, until a vCPU waits. Without, a call
takes one at most, and no vCPU ever finds a hole: there is no translation fault on what was mapped before.
"""

from host.daemon import Daemon
from host.qemu import RAM, Guest
from host.trace import Trace, now_usec

ORDER = 40
SERIES = ("bbm",)
CPUS = ("neoverse-n1", "max-bbm")
SYSTEMD = True
DEBUG = True
PARTS = ("daemon", "guest")

MIB = 512
BLOCK_SHIFT = 21
# For all of it, whatever its vCPUs do meanwhile.
TLBIS_MAX = 16


def blocks(lab, guest):
    """Blocks of any size left in all memslots of the guest."""
    return sum(s[f"blocks{level}"] for s in lab.survey(guest.pid)["slot"] for level in (0, 1, 2))


def check_tlbis(lab, daemon, phase, vm):
    """What the daemon reports, and the emulator has counted."""
    host = daemon.host()
    lab.eq(host["tlbisTotal"], vm["tlbis"], "TLBIs that it reports for the host")
    if not lab.no_break:
        lab.ok(0 < vm["tlbis"] <= TLBIS_MAX, f"TLBIs that the daemon reports, at most {TLBIS_MAX}", vm)
        lab.expect(phase, "TLBIs counted by the emulator are those reported", broadcast=vm["tlbis"])
        return
    calls = daemon.calls("split")
    lab.note(f"{vm['blocksSplit']} blocks split by {vm['tlbis']} TLBIs in {calls} calls")
    lab.ok(0 < vm["tlbis"] <= calls, "TLBIs that the daemon reports, at most one a call", (vm, calls))
    lab.expect(phase, "TLBIs counted by the emulator are those reported", wide=vm["tlbis"],
               ipas2e1is=0)


def check_faults(lab, faults, since):
    """Of the blocks that a vCPU's fault had mapped before, none was found missing."""
    mapped = {f.ipa >> BLOCK_SHIFT for f in faults if f.usec < since and f.translation and f.ipa >= RAM}
    missing = [f for f in faults if f.usec >= since and f.translation and f.ipa >> BLOCK_SHIFT in mapped]
    lab.note(f"{len(mapped)} blocks mapped by faults before, {len(missing)} translation faults on them while "
             "they were split")
    if lab.no_break:
        lab.ok(mapped and not missing, "no vCPU takes a translation fault on what was mapped", missing[:5])


def prepare(lab, daemon, guest, trace):
    before = blocks(lab, guest)
    lab.ok(before >= MIB // 2 * 3 // 4, "the guest is mapped by blocks", before)
    registered = daemon.ctl("register", guest.pid, "--name=guest")
    lab.ok(registered.returncode == 0, "eagersplitctl register", registered.stdout)
    since = now_usec()
    phase = lab.phase("eagersplitctl prepare --wait")
    prepared = daemon.ctl("prepare", "guest", "--wait")
    lab.phase_end()
    lab.ok(prepared.returncode == 0, "eagersplitctl prepare --wait", prepared.stdout)
    check_faults(lab, trace.faults(), since)
    vm = daemon.vm("guest")
    lab.note(f"{before} blocks before, {vm['blocksSplit']} split, {vm['tlbis']} TLBIs")
    lab.eq((vm["stage"], vm["blocks"]), ("split", 0), "the daemon says that it is split")
    lab.eq(blocks(lab, guest), 0, "the survey shows blocks left")
    lab.ok(vm["blocksSplit"] >= before, "all its blocks were split", vm)
    check_tlbis(lab, daemon, phase, vm)
    return vm


def cancel(lab, daemon, guest, split):
    """The migration is off: the blocks come back, for as few TLBIs."""
    phase = lab.phase("eagersplitctl migration guest cancelled")
    cancelled = daemon.ctl("migration", "guest", "cancelled")
    lab.ok(cancelled.returncode == 0, "eagersplitctl migration cancelled", cancelled.stdout)
    vm = daemon.wait_stage("guest", "whole")
    lab.phase_end()
    back = blocks(lab, guest)
    lab.ok(back * 100 >= split["blocksSplit"] * 99, "cancelled: the blocks are back",
           f"{back} of {split['blocksSplit']}")
    tlbis = vm["tlbis"] - split["tlbis"]
    lab.note(f"{back} blocks recovered by {tlbis} TLBIs")
    lab.ok(0 < tlbis <= TLBIS_MAX, f"cancelled: TLBIs that the daemon reports, at most {TLBIS_MAX}", tlbis)
    lab.expect(phase, "cancelled: TLBIs counted by the emulator", broadcast=tlbis)
    lab.eq(lab.survey(guest.pid)["held"], 0, "cancelled: no hold is left")


def run(lab):
    daemon = Daemon(lab)
    daemon.start(rate=200, burst=8)
    lab.eq(daemon.show("ActiveState"), "active", "systemctl start eagersplitd")
    lab.eq(daemon.host()["supported"], True, "the daemon finds the kernel's interface")
    lab.huge_pages(MIB)
    with Trace("kvm_guest_fault", kib=16384) as trace:
        guest = Guest(lab, MIB)
        guest.wait_populated()
        lab.eq(daemon.find(guest.pid)["migration"], "none", "the daemon has found the guest by itself")
        vm = prepare(lab, daemon, guest, trace)
    guest.intact("prepared: the guest runs on, reads and writes, its memory is intact")
    cancel(lab, daemon, guest, vm)
    guest.intact("cancelled: the guest runs on, its memory is intact")
    daemon.stop()
    lab.eq(daemon.show("Result"), "success", "systemctl stop eagersplitd")
    guest.intact("stopped: the guest runs on, its memory is intact")
