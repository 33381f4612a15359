# SPDX-License-Identifier: GPL-2.0-or-later
"""
The TLBI budget, for their rate and for their time, as the kernel's trace of split ranges shows it, with two VMs
sharing it. Each has many memslots, since of one memslot a TLBI would split all.
"""

from host.daemon import Daemon
from host.trace import Trace, now_usec, worst_excess, worst_load
from host.vmm import BLOCK, MEMORY, MIB, Vmm

ORDER = 50
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = True
PARTS = ("daemon",)

# Memslots, of so many blocks each
SLOTS, EACH = 24, 4
BLOCKS = SLOTS * EACH
PAGES_A_BLOCK = 512
BUDGETS = ((20, 2), (100, 4), (1000, 16))
# How often the daemon grants TLBIs, where its burst allows
GRANTS_A_SECOND = 100
# Times that the shares are looked at again
TRIES = 4
LOADS = (5, 50)


def make(lab):
    """A VM of which each block is touched in one page."""
    vmm = Vmm(lab, vcpus=1)
    for slot in range(1, SLOTS + 1):
        vmm.add(slot, mib=EACH * BLOCK // MIB, gpa=MEMORY + slot * 2 * EACH * BLOCK)
        vmm.work("populate", slot, step=PAGES_A_BLOCK)
    return vmm


def count_blocks(lab, vmm):
    return sum(slot["blocks2"] for slot in lab.survey(vmm.pid)["slot"])


def split_both(lab, daemon, meanwhile=lambda: None):
    """Both VMs at once; returns the trace's ranges, and the VMs' processes."""
    vmms = {name: make(lab) for name in ("one", "two")}
    for name, vmm in vmms.items():
        daemon.register(vmm.pid, name)
        lab.eq(count_blocks(lab, vmm), BLOCKS, f"VM {name}: blocks")
    with Trace("kvm_arm_eager_split") as trace:
        for name in vmms:
            daemon.migration(name, "scheduled")
        meanwhile()
        for name in vmms:
            vm = daemon.wait_stage(name, "split")
            lab.eq((vm["tlbis"], vm["blocksSplit"]), (SLOTS, BLOCKS), f"VM {name}: a TLBI a memslot")
        ranges = trace.ranges()
    for name, vmm in vmms.items():
        for slot in range(1, SLOTS + 1):
            vmm.work("pass", slot, write=PAGES_A_BLOCK, step=PAGES_A_BLOCK)
        vmm.intact(f"VM {name}: memory is intact", slot=SLOTS, step=PAGES_A_BLOCK)
        daemon.call("Unregister", vm=name)
        vmm.quit()
    lab.eq(sum(r.tlbis for r in ranges), 2 * SLOTS, "TLBIs in the trace")
    return ranges, [vmm.pid for vmm in vmms.values()]


def shares(ranges, pids):
    """
    TLBIs of the VM that was done first, and of the other one, from the other's first call until then: that one may be
    far ahead before the other has been told of, and held.
    """
    done, since = (dict.fromkeys(pids, 0) for _ in range(2))
    for event in ranges:
        done[event.pid] += event.tlbis
        if all(done.values()):
            since[event.pid] += event.tlbis
        if done[event.pid] == SLOTS:
            break
    first, other = sorted(pids, key=done.get, reverse=True)
    return since[first], since[other]


def shared(lab, daemon, what, look, call=1):
    """
    Both VMs at once, until one is done: the other had its part, but for the calls that were under way, of so many TLBIs
    at the most. What one loses for which the emulator has no time, for longer than it may save up, it does not lose each time.
    look: at the ranges, each time.
    """
    for last in [False] * TRIES + [True]:
        ranges, pids = split_both(lab, daemon)
        look(ranges)
        first, other = shares(ranges, pids)
        good = first - 2 * call <= 2 * other
        if good or last:
            break
        lab.note(f"{what}: {first} TLBIs of one VM, {other} of the other: once more")
    lab.ok(good, f"{what}: until one VM was done, the other had at least half as much", (first, other))


def check(lab, ranges, rate, burst, what):
    excess = worst_excess(ranges, rate, burst)
    lab.note(f"{what}: {len(ranges)} ranges, {sum(r.tlbis for r in ranges)} TLBIs, the fullest interval "
             f"stays {-excess / 1000000:.3f} TLBIs below the budget")
    lab.ok(excess <= 0, f"{what}: no interval has more than rate * t + burst TLBIs", excess)


def check_load(lab, ranges, percent):
    excess = worst_load(ranges, percent * 10000)
    taken = sum(r.tlbi_nsec for r in ranges)
    lab.note(f"load {percent}%: {taken} ns of TLBIs in {ranges[-1].usec - ranges[0].usec} us, the fullest interval "
             f"stays {-excess} ns below the budget")
    lab.ok(taken > 0 and excess <= 0, f"load {percent}%: no interval has more than load * t and a call", excess)


def fixed(lab, daemon):
    for rate, burst in BUDGETS:
        daemon.configure(rate, burst)
        daemon.call("Reload")
        host = daemon.host()
        lab.eq((host["tlbiRate"], host["tlbiBurst"]), (rate, burst), f"{rate}/s, burst {burst}: in effect")
        what = f"{rate}/s, burst {burst}"
        shared(lab, daemon, what, lambda ranges: check(lab, ranges, rate, burst, what),
               max(1, min(rate // GRANTS_A_SECOND, burst // 2)))


def loaded(lab, daemon):
    """Of their time, whatever that is on an emulator: one call at a time, and each is earned before the next."""
    for percent in LOADS:
        daemon.reconfigure(0, 16, load=f"{percent}%")
        lab.eq(daemon.host()["tlbiLoadPpm"], percent * 10000, f"load {percent}%: in effect")
        shared(lab, daemon, f"load {percent}%", lambda ranges: check_load(lab, ranges, percent))


def changed(lab, daemon):
    """Re-rated in the middle: what lies before it keeps the old budget, all of it the larger one."""
    slow, fast, burst = 10, 1000, 4
    daemon.configure(slow, burst)
    daemon.call("Reload")
    before = []

    def meanwhile():
        daemon.wait_split("one", 4 * EACH)
        daemon.configure(fast, burst)
        before.append(now_usec())
        daemon.call("Reload")

    ranges, _ = split_both(lab, daemon, meanwhile)
    check(lab, [r for r in ranges if r.usec < before[0]], slow, burst, "re-rated, before")
    check(lab, ranges, fast, burst, "re-rated, altogether")


def run(lab):
    lab.huge_pages(2 * BLOCKS * BLOCK // MIB)
    daemon = Daemon(lab)
    daemon.start()
    fixed(lab, daemon)
    loaded(lab, daemon)
    changed(lab, daemon)
    daemon.stop()
