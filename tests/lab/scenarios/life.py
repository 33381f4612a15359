# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs that come and go: the daemon finds them by itself, and nothing of them stays behind.

QEMU as it is, without a guest, and the lab's own VMM, where a guest's memory matters.
"""

import os
import signal
import time

from host.daemon import Daemon
from host.lab import read
from host.vmm import BLOCK, MEMORY, MIB, Vmm

ORDER = 72
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
PARTS = ("daemon",)

QEMU = ("qemu-system-aarch64", "-S", "-M", "virt,gic-version=3", "-accel", "kvm", "-cpu", "host", "-nodefaults",
        "-display", "none", "-m", 4, "-mem-path", "/dev/hugepages")
# In a row, so many of them at once; the first ones are for the daemon to warm up.
QEMUS, WARM_UP, IN_A_ROW, AT_ONCE = 10, 40, 200, 10
# Allocators keep a little of what they once needed.
GROWTH_KIB = 64
SIZE = 128
BLOCKS = SIZE * MIB // BLOCK
# In blocks: before there was any TLBI, and after
KILL_AFTER = (0, 1, 0, 1)
# A TLBI splits all of a memslot: there are as many as seconds, one a second, in which it can be seen that it is late.
HURRIED = 16


def qemu(lab, name):
    return lab.spawn(*QEMU, "-name", name)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def memory(daemon):
    """Private pages that the daemon has written, KiB."""
    for line in read(f"/proc/{daemon.pid}/smaps_rollup").splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    return None


def found_by_name(lab, daemon):
    """One QEMU, from its start to an orderly end."""
    process = qemu(lab, "shortlived")
    lab.wait_for("QEMU in the list", lambda: "shortlived" in daemon.vms())
    listed = daemon.ctl("list")
    lab.ok("shortlived" in listed.stdout, "eagersplitctl list: a VM is there once QEMU has created it, by its name",
           listed.stdout)
    process.terminate()
    process.wait()
    lab.wait_for("QEMU to leave the list", lambda: not daemon.vms())
    listed = daemon.ctl("list")
    lab.ok("shortlived" not in listed.stdout, "eagersplitctl list: it is gone when QEMU has exited", listed.stdout)


def some_qemus(lab):
    return [qemu(lab, f"q{number}") for number in range(AT_ONCE)]


def some_vmms(lab):
    """Each with a block that is mapped."""
    vmms = [Vmm(lab, vcpus=1) for _ in range(AT_ONCE)]
    for vmm in vmms:
        vmm.add(mib=2)
        vmm.work("populate", 1, pages=1)
    return [vmm.process for vmm in vmms]


def come_and_go(lab, daemon, start, count):
    """VMMs started and killed, all of which the daemon sees. Returns how many times memory was not free then."""
    pages = lab.free_huge_pages()
    kept = 0
    for _ in range(0, count, AT_ONCE):
        processes = start(lab)
        pids = sorted(process.pid for process in processes)
        lab.wait_for("all VMs in the list", lambda pids=pids: daemon.pids() == pids)
        for process in processes:
            kill(process)
        kept += lab.free_huge_pages() != pages
        lab.wait_for("an empty list", lambda: not daemon.vms())
    return kept


def leave_nothing(lab, daemon):
    kept = come_and_go(lab, daemon, some_qemus, QEMUS) + come_and_go(lab, daemon, some_vmms, WARM_UP)
    lab.wait_for("the fd store to be empty", lambda: daemon.show("NFileDescriptorStore") == "0")
    fds, threads = daemon.held()
    before = memory(daemon)
    kept += come_and_go(lab, daemon, some_vmms, IN_A_ROW)
    what = f"{IN_A_ROW} VMs created and killed"
    after = memory(daemon)
    lab.wait_for("the fd store to be empty", lambda: daemon.show("NFileDescriptorStore") == "0")
    lab.eq(daemon.held(), (fds, threads), f"{what}: {fds} file descriptors and {threads} threads, as before")
    lab.ok(after - before <= GROWTH_KIB, f"{what}: no more memory", f"{before} KiB before, {after} KiB after")
    lab.note(f"{what}: {before} KiB of private memory before, {after} KiB after")
    lab.eq(os.listdir("/run/eagersplitd/vms"), [], f"{what}: nothing is kept of them for the next daemon")
    lab.eq(kept, 0, f"{what}: their huge pages are free at once")


def make(lab):
    vmm = Vmm(lab)
    vmm.add(mib=SIZE)
    vmm.work("populate", 1, step=64)
    return vmm


def free_at_once(lab, daemon):
    """Of a VMM that is killed while its VM is being split, or is split: the daemon has its splitter, and no more."""
    pages = lab.free_huge_pages()
    for blocks in KILL_AFTER:
        vmm = make(lab)
        vm = daemon.find(vmm.pid)["vm"]
        daemon.migration(vm, "scheduled")
        daemon.wait_split(vm, blocks)
        lab.wait_for("the splitter alone", lambda: daemon.vm_fds() == (0, 1))
        kill(vmm.process)
        free = lab.free_huge_pages()
        lab.eq(free, pages, f"killed after {blocks} blocks: its huge pages are free at once")
        lab.wait_for("an empty list", lambda: not daemon.vms())


def make_hurried(lab):
    vmm = Vmm(lab)
    for slot in range(HURRIED):
        vmm.add(slot + 1, mib=SIZE // HURRIED, gpa=MEMORY + slot * SIZE // HURRIED * MIB)
        vmm.work("populate", slot + 1, step=64)
    return vmm


def missed_deadline(lab, daemon):
    """The first TLBI comes after a second, and the deadline before."""
    hurried = make_hurried(lab)
    start = time.time_ns() // 1000
    vm = daemon.find(hurried.pid)["vm"]
    daemon.migration(vm, "scheduled", deadlineUSec=start + 500000, tlbiRate=1)

    def late():
        told = daemon.vm(vm)
        return told if told["late"] else None

    told = lab.wait_for("the daemon to say that it is late", late)
    at = time.time_ns() // 1000 - start
    lab.note(f"late: told after {at} us, {told['blocks']} of {BLOCKS} blocks left")
    status = daemon.ctl("status", vm)
    missed = "missed" in status.stdout or "passed" in status.stdout
    if not missed and daemon.vm(vm)["stage"] == "split":
        lab.skip("eagersplitctl status: it is missed", "this host was so slow that all was split before it was asked")
    else:
        lab.ok("Deadline:" in status.stdout and missed, "eagersplitctl status: it is missed", status.stdout)
    journal = lab.wait_for("the journal", lambda: [line for line in daemon.journal().splitlines() if "Late: " in line])
    lab.eq(len(journal), 1, "the journal: told once")
    daemon.migration(vm, "scheduled", tlbiRate=1000, deadlineUSec=start + 3600 * 1000000)
    daemon.wait_stage(vm, "split")
    lab.eq(daemon.vm(vm)["late"], False, "with a larger budget and more time it is not late")
    kill(hurried.process)
    lab.wait_for("an empty list", lambda: not daemon.vms())


def run(lab):
    lab.huge_pages(SIZE)
    daemon = Daemon(lab)
    daemon.start(rate=100, burst=1)
    found_by_name(lab, daemon)
    leave_nothing(lab, daemon)
    free_at_once(lab, daemon)
    missed_deadline(lab, daemon)
    daemon.stop()
