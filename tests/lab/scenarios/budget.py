# SPDX-License-Identifier: GPL-2.0-or-later
"""The TLBI budget, as the kernel's trace of split ranges shows it, with two VMs sharing it."""

from host.daemon import Daemon
from host.trace import Trace, now_usec, worst_excess
from host.vmm import Vmm

ORDER = 50
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = True
PARTS = ("daemon",)

MIB = 512
BLOCKS = MIB // 2
PAGES_A_BLOCK = 512
BUDGETS = ((100, 4), (500, 16), (2000, 64))


def make(lab):
    """A VM of 256 blocks, of which each is touched in one page."""
    vmm = Vmm(lab, vcpus=1)
    vmm.add(mib=MIB)
    vmm.work("populate", 1, step=PAGES_A_BLOCK)
    return vmm


def split_both(lab, daemon, meanwhile=lambda: None):
    """Both VMs at once; returns the trace's ranges."""
    vmms = {name: make(lab) for name in ("one", "two")}
    for name, vmm in vmms.items():
        daemon.register(vmm.pid, name)
        lab.eq(vmm.leaves()[1], BLOCKS, f"VM {name}: blocks")
    with Trace("kvm_arm_eager_split") as trace:
        for name in vmms:
            daemon.migration(name, "scheduled")
        meanwhile()
        for name in vmms:
            vm = daemon.wait_stage(name, "split")
            lab.eq((vm["tlbis"], vm["blocksSplit"]), (BLOCKS, BLOCKS), f"VM {name}: a TLBI a block")
        ranges = trace.ranges()
    for name, vmm in vmms.items():
        vmm.work("pass", 1, write=PAGES_A_BLOCK, step=PAGES_A_BLOCK)
        vmm.intact(f"VM {name}: memory is intact", step=PAGES_A_BLOCK)
        daemon.call("Unregister", vm=name)
        vmm.quit()
    lab.eq(sum(r.tlbis for r in ranges), 2 * BLOCKS, "TLBIs in the trace")
    return ranges, {name: vmm.pid for name, vmm in vmms.items()}


def shared(lab, ranges, pids):
    """While both had work, each got its part."""
    done = dict.fromkeys(pids.values(), 0)
    for event in ranges:
        done[event.pid] += event.tlbis
        if max(done.values()) == BLOCKS:
            break
    lab.ok(min(done.values()) * 2 >= BLOCKS, "when one VM was done, the other had at least half as much",
           done)


def check(lab, ranges, rate, burst, what):
    excess = worst_excess(ranges, rate, burst)
    lab.note(f"{what}: {len(ranges)} ranges, {sum(r.tlbis for r in ranges)} TLBIs, the fullest interval "
             f"stays {-excess / 1000000:.3f} TLBIs below the budget")
    lab.ok(excess <= 0, f"{what}: no interval has more than rate * t + burst TLBIs", excess)


def fixed(lab, daemon):
    for rate, burst in BUDGETS:
        daemon.configure(rate, burst)
        daemon.call("Reload")
        host = daemon.host()
        lab.eq((host["tlbiRate"], host["tlbiBurst"]), (rate, burst), f"{rate}/s, burst {burst}: in effect")
        ranges, pids = split_both(lab, daemon)
        check(lab, ranges, rate, burst, f"{rate}/s, burst {burst}")
        shared(lab, ranges, pids)


def changed(lab, daemon):
    """Re-rated in the middle: what lies before it keeps the old budget, all of it the larger one."""
    slow, fast, burst = 50, 1000, 8
    daemon.configure(slow, burst)
    daemon.call("Reload")
    before = []

    def meanwhile():
        daemon.wait_split("one", 20)
        daemon.configure(fast, burst)
        before.append(now_usec())
        daemon.call("Reload")

    ranges, _ = split_both(lab, daemon, meanwhile)
    check(lab, [r for r in ranges if r.usec < before[0]], slow, burst, "re-rated, before")
    check(lab, ranges, fast, burst, "re-rated, altogether")


def run(lab):
    lab.huge_pages(2 * MIB)
    daemon = Daemon(lab)
    daemon.start()
    fixed(lab, daemon)
    changed(lab, daemon)
    daemon.stop()
