# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong on a real host: VMMs that die, memslots that go, memory that runs short, bad requests."""

import os
import signal

from host.daemon import Daemon, Refused
from host.lab import read, write
from host.vmm import BLOCK, MEMORY, MIB, Vmm

ORDER = 70
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = True
PARTS = ("daemon",)

SIZE = 64
BLOCKS = SIZE * MIB // BLOCK
KILL_AFTER = (0, 1, 2, 3, 5, 8, 13, 21, 30)
STOP_AFTER = (0, 1, 4, 9, 20)
CGROUP = "/sys/fs/cgroup/lab-small"


def make(lab, mib=SIZE, prefix=()):
    """Each block is touched in one page only: that is enough to map it."""
    vmm = Vmm(lab, prefix=prefix)
    vmm.add(mib=mib)
    vmm.work("populate", 1, step=64)
    return vmm


def refused(lab, daemon, pid, error, what):
    try:
        daemon.register(pid, "nobody")
        lab.ok(False, f"{what}: {error}", "was accepted")
    except Refused as refusal:
        lab.eq(refusal.name, error, f"{what}: {error}")
    told = daemon.ctl("register", pid, "--name=nobody")
    lab.ok(told.returncode in (1, 4) and told.stdout.strip(), f"{what}: eagersplitctl says so", told)


def bad_requests(lab, daemon, vmm):
    gone = lab.spawn("true")
    gone.wait()
    refused(lab, daemon, gone.pid, "NoSuchProcess", "a process that has exited")
    sleeper = lab.spawn("sleep", "infinity")
    refused(lab, daemon, sleeper.pid, "NotAVmm", "a process that is no VMM")
    daemon.register(vmm.pid, "bystander")
    refused(lab, daemon, vmm.pid, "VmExists", "a VM that is registered already")
    for method, parameters, error in (
            ("GetVm", {"vm": "nobody"}, "NoSuchVm"),
            ("SetMigrationState", {"vm": "bystander", "migration": "completed"}, "InvalidTransition"),
            ("SetMigrationState", {"vm": "bystander", "migration": "sideways"}, "InvalidParameter"),
            ("Explode", {}, "MethodNotFound")):
        try:
            daemon.call(method, **parameters)
            lab.ok(False, f"{method} {parameters}: {error}", "was accepted")
        except Refused as refusal:
            lab.eq(refusal.name, error, f"{method} {parameters}: {error}")


def kill_vmms(lab, daemon):
    """Its memory is free at once, and nothing of it stays in the daemon."""
    pages = lab.free_huge_pages()
    before = None
    for blocks in KILL_AFTER:
        # The daemon starts its worker threads when it first needs them.
        before = before or (daemon.held() if blocks else None)
        vmm = make(lab)
        daemon.register(vmm.pid, "victim")
        daemon.migration("victim", "scheduled")
        daemon.wait_split("victim", blocks)
        vmm.process.send_signal(signal.SIGKILL)
        vmm.process.wait()
        lab.wait_for("the VM to leave the list", lambda: "victim" not in daemon.vms())
        lab.wait_for("the VM's splitter to be closed", lambda: sum(daemon.vm_fds()) <= 1)
        lab.wait_for("the huge pages", lambda: lab.free_huge_pages() == pages)
    lab.ok(True, f"a VMM killed after {', '.join(map(str, KILL_AFTER))} blocks: its huge pages are free")
    lab.wait_for("the daemon's fds", lambda: daemon.held() == before)
    lab.ok(True, "killed VMMs leave no file descriptor and no thread behind")


def die_at_once(lab, daemon):
    """The VMM dies between Register and the rest."""
    commands = (
        ("SetMigrationState", lambda: daemon.migration("victim", "scheduled")),
        ("GetVm", lambda: daemon.vm("victim")),
        ("Unregister", lambda: daemon.call("Unregister", vm="victim")),
    )
    for name, command in commands:
        vmm = make(lab, mib=4)
        daemon.register(vmm.pid, "victim")
        vmm.process.send_signal(signal.SIGKILL)
        error = None
        try:
            command()
        except Refused as refusal:
            error = refusal.name
        lab.ok(error in (None, "NoSuchVm"), f"{name} for a VMM that has just died: answered, or NoSuchVm",
               error)
        vmm.process.wait()
        lab.wait_for("the VM to leave the list", lambda: "victim" not in daemon.vms())


def change_memslots(lab, daemon):
    """Deleted, and moved, while being split."""
    vmm = make(lab)
    high = MEMORY + (4 << 30)
    vmm.add(2, mib=SIZE, gpa=high)
    vmm.work("populate", 2, step=64)
    daemon.register(vmm.pid, "changing")
    daemon.migration("changing", "scheduled")
    daemon.wait_split("changing", 5)
    vmm.call("delete", 2)
    vm = daemon.wait_stage("changing", "split")
    lab.eq((vm["blocks"], vmm.leaves()[1]), (0, 0), "a memslot deleted while splitting: the rest is split")
    lab.ok(vm["blocksSplit"] >= BLOCKS, "a memslot deleted while splitting: what was there is counted", vm)
    # It comes back whole, and what is touched there comes as pages: the hold is still on.
    vmm.add(2, mib=SIZE, gpa=high)
    vmm.work("pass", 2, step=64)
    lab.eq(vmm.leaves(2)[1], 0, "a memslot added while held comes as pages")
    daemon.migration("changing", "cancelled")
    daemon.wait_stage("changing", "whole")
    vmm.work("pass", 2, step=64, write=64)

    daemon.migration("changing", "scheduled")
    daemon.wait_split("changing", vm["blocksSplit"] + 5)
    vmm.call("move", 2, gpa=high + (1 << 30))
    daemon.wait_stage("changing", "split")
    lab.eq(vmm.leaves(1)[1], 0, "a memslot moved while splitting: the rest is split")
    vmm.intact("memslots changed while splitting: memory is intact", step=64)
    vmm.intact("the memslot that moved: memory is intact", slot=2, step=64)
    daemon.call("Unregister", vm="changing")
    vmm.quit()


def oom_kills():
    for line in read(f"{CGROUP}/memory.events").splitlines():
        key, value = line.split()
        if key == "oom_kill":
            return int(value)
    return None


def short_of_memory(lab, daemon):
    """The VM's cgroup has no room for tables: a clear error, no OOM kill, and later it works."""
    write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
    os.makedirs(CGROUP, exist_ok=True)
    vmm = make(lab, prefix=("/bin/sh", "-c", f'echo $$ >{CGROUP}/cgroup.procs; exec "$@"', "sh"))
    vmm.call("start", 1, write=64, step=64)
    daemon.register(vmm.pid, "poor")
    # Each CPU may have up to 64 pages charged in advance, enough for all tables: to lower a limit gives them back.
    write(f"{CGROUP}/memory.high", int(read(f"{CGROUP}/memory.current")) - 4096)
    write(f"{CGROUP}/memory.high", "max")
    write(f"{CGROUP}/memory.max", int(read(f"{CGROUP}/memory.current")) + 8 * 4096)
    daemon.migration("poor", "scheduled")
    vm = daemon.wait_stage("poor", "failed")
    lab.ok(vm.get("error"), "memory too short for tables: the VM has an error", vm)
    lab.note(f"memory too short for tables: {vm.get('error')}")
    lab.ok(vmm.leaves()[1] > 0, "memory too short for tables: some blocks are left", vmm.leaves())
    vmm.advance()
    lab.eq(oom_kills(), 0, "memory too short for tables: OOM kills")
    write(f"{CGROUP}/memory.max", "max")
    daemon.migration("poor", "cancelled")
    daemon.wait_stage("poor", "whole")
    daemon.migration("poor", "scheduled")
    daemon.wait_stage("poor", "split")
    vmm.advance()
    vmm.work("stop")
    lab.eq(vmm.leaves()[1], 0, "with memory again: all is split")
    vmm.intact("memory was short: the guest's is intact", step=64)
    daemon.call("Unregister", vm="poor")
    vmm.quit()
    os.rmdir(CGROUP)


def stop_daemon(lab, daemon):
    """SIGTERM at some moments: guests run on, pages stay as they are, no hold is left; the next daemon goes on."""
    vmm = make(lab)
    vmm.call("start", 1, write=64, step=64)
    # Slow enough that something is left to be split whenever it is stopped.
    daemon.reconfigure(40, 1)
    before = vmm.stats()["blocks_split"]
    total = 0
    daemon.register(vmm.pid, "running")
    daemon.migration("running", "scheduled")
    for blocks in STOP_AFTER:
        daemon.wait_split("running", total + blocks)
        lab.must("systemctl", "stop", "eagersplitd.service")
        lab.eq(daemon.show("Result"), "success", f"stopped after {blocks} blocks: ends well")
        survey = lab.survey(vmm.pid)
        left, split = vmm.leaves()[1], vmm.stats()["blocks_split"] - before
        lab.eq(survey["held"], 0, f"stopped after {blocks} blocks: no hold is left")
        lab.ok(left == BLOCKS - split, f"stopped after {blocks} blocks: the others stay blocks", (left, split))
        vmm.advance()
        lab.ok(split >= blocks, f"stopped after {blocks} blocks: the guest runs on", split)
        back = lab.split(vmm.pid, "recover")
        lab.ok(back["blocks"] == split, f"stopped after {blocks} blocks: those can be recovered", back)
        before += split
        total += split
        lab.must("systemctl", "start", "eagersplitd.service")
        daemon.wait_known("running")
    vm = daemon.wait_stage("running", "split")
    lab.eq((vm["migration"], vmm.leaves()[1]), ("scheduled", 0), "started again: it goes on with what was begun")
    vmm.work("stop")
    vmm.intact("the daemon was stopped: memory is intact", step=64)
    daemon.call("Unregister", vm="running")
    vmm.quit()


def run(lab):
    lab.huge_pages(4 * SIZE)
    daemon = Daemon(lab)
    daemon.start(rate=400, burst=1)
    bystander = make(lab, mib=4)
    bystander.call("start", 1, write=64, step=64)
    bad_requests(lab, daemon, bystander)
    kill_vmms(lab, daemon)
    die_at_once(lab, daemon)
    change_memslots(lab, daemon)
    short_of_memory(lab, daemon)
    lab.eq(daemon.vms(), ["bystander"], "the daemon and its other VM went on through all of it")
    bystander.advance()
    bystander.work("stop")
    bystander.intact("the other VM's memory is intact", step=64)
    stop_daemon(lab, daemon)
    daemon.stop()
