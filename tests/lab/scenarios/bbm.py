# SPDX-License-Identifier: GPL-2.0-or-later
"""FEAT_BBM level 2: what the kernel and the daemon say and do with it, without it, and when it is off."""

from host.daemon import Daemon
from host.trace import Trace, worst_excess
from host.vmm import BLOCK, MIB, Vmm, since

ORDER = 35
SERIES = ("bbm",)
CPUS = ("neoverse-n1", "max", "max-bbm")
SYSTEMD = True
DEBUG = True
PARTS = ("daemon",)

SIZE = 32
BLOCKS = SIZE * MIB // BLOCK
SPLITTERS, NO_BREAK = 1, 2
# Of the pages one in so many is written and checked: a few in each block.
STEP = 64
# One TLBI a second: what takes a TLBI a block can be seen to wait for it.
RATE, BURST = 1, 1


def make(lab, mib=SIZE):
    """A VM of which one page in so many is looked at."""
    vmm = Vmm(lab, faults=1)
    vmm.add(mib=mib)
    vmm.work("populate", 1, step=STEP)
    return vmm


def capability(lab):
    want = SPLITTERS | NO_BREAK if lab.no_break else SPLITTERS
    lab.eq((lab.capability() & (SPLITTERS | NO_BREAK),), (want,), f"the capability's value is {want}")


def calls(lab):
    """By the plugin: each call that splits ends with one invalidation of the VMID, and has no other."""
    vmm = make(lab)
    vmm.call("start", 1, write=3 * STEP, step=STEP)
    before = vmm.faults()
    phase = lab.phase("4 calls of 4 blocks")
    done = lab.split(vmm.pid, "hold+split", blocks=BLOCKS // 4, calls=0)
    again = lab.split(vmm.pid, "split")
    lab.phase_end()
    took = since(before, vmm.faults())
    tlbis = done["tlbis"] if not lab.no_break else 4
    lab.eq((done["error"], done["blocks"], done["tlbis"]), (None, BLOCKS, tlbis), f"{BLOCKS} blocks for {tlbis} TLBIs")
    lab.ok(tlbis <= 4 + done["yields"], "a TLBI a call, and one for each yield", done)
    lab.eq((again["error"], again["blocks"], again["tlbis"]), (None, 0, 0), "a call with nothing to split takes none")
    lab.expect(phase, "TLBIs counted by the emulator", broadcast=tlbis)
    if lab.no_break:
        lab.eq(took["translation"], 0, "translation faults of vCPUs that read and write meanwhile")
    vmm.advance()
    vmm.work("stop")
    lab.eq(vmm.leaves(), (0, 0, BLOCKS), "all are pages")
    vmm.intact("memory is intact", step=STEP)
    vmm.quit()


def break_on_request(lab):
    """The same kernel goes by break-before-make where a call says so."""
    vmm = make(lab)
    phase = lab.phase("by break-before-make on request")
    done = lab.split(vmm.pid, "split+break")
    lab.phase_end()
    lab.eq((done["error"], done["blocks"], done["tlbis"]), (None, BLOCKS, 1), "on request: one TLBI, nobody waits")
    lab.expect(phase, "on request: TLBIs counted by the emulator", broadcast=1)
    vmm.intact("on request: memory is intact", step=STEP)
    vmm.quit()


def prepare(lab, daemon, vmm, name):
    """Returns the VM when it is split, and the trace's ranges."""
    daemon.register(vmm.pid, "guest")
    with Trace("kvm_arm_eager_split") as trace:
        daemon.migration("guest", "scheduled")
        vm = daemon.wait_stage("guest", "split")
        ranges = trace.ranges()
    lab.eq(vmm.leaves()[1], 0, f"{name}: blocks left")
    vmm.intact(f"{name}: memory is intact", step=STEP)
    daemon.call("Unregister", vm="guest")
    return vm, ranges


def not_throttled(lab, daemon):
    """More blocks than the budget has TLBIs for in that time, however long that was."""
    vmm = make(lab, mib=512)
    host = daemon.host()
    lab.eq((host["bbmLevel"], host["throttled"]), (2, False), "not throttled: the daemon says so")
    vm, ranges = prepare(lab, daemon, vmm, "not throttled")
    split = [r._replace(tlbis=r.blocks) for r in ranges]
    excess = worst_excess(split, RATE, BURST)
    lab.note(f"not throttled: {vm['blocksSplit']} blocks by {vm['tlbis']} TLBIs; by a TLBI a block that is "
             f"{excess / 1000000:.1f} more than {RATE}/s allow")
    lab.ok(excess > 0, "not throttled: blocks do not wait for the budget", ranges)
    vmm.quit()


def throttled(lab, daemon, name):
    """The counts of a CPU without the feature."""
    vmm = make(lab, mib=12)
    host = daemon.host()
    lab.eq((host["bbmLevel"], host["throttled"]), (0, True), f"{name}: the daemon says so")
    phase = lab.phase(name)
    vm, ranges = prepare(lab, daemon, vmm, name)
    lab.phase_end()
    excess = worst_excess(ranges, RATE, BURST)
    lab.eq((vm["tlbis"], vm["blocksSplit"]), (1, 6), f"{name}: a TLBI for all")
    lab.expect(phase, f"{name}: TLBIs counted by the emulator", broadcast=1)
    lab.note(f"{name}: the fullest interval stays {-excess / 1000000:.3f} TLBIs below the budget")
    lab.ok(excess <= 0, f"{name}: no interval has more than rate * t + burst TLBIs", excess)
    vmm.quit()


def run(lab):
    lab.huge_pages(512)
    capability(lab)
    calls(lab)
    daemon = Daemon(lab)
    daemon.start(RATE, BURST)
    if lab.no_break:
        break_on_request(lab)
        not_throttled(lab, daemon)
        daemon.reconfigure(RATE, BURST, bbm="off")
        throttled(lab, daemon, "off")
    else:
        throttled(lab, daemon, "nothing changes")
    daemon.stop()
