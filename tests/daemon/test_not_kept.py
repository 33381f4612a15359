#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of VMs and cannot be written: nothing older contradicts it, it is said, and tried again."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time

from harness import FAST, STUCK, Daemon, Vmm
from tap import Skip, equal, main, test, true


@contextlib.contextmanager
def nothing_written(daemon):
    """To no file, until the end of the context or of the daemon: removing them is possible."""
    pid = daemon.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextlib.contextmanager
def mounted(daemon, options):
    """A file system of its own for the records."""
    path = daemon.path("vms")
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "eagersplitd-test", path], capture_output=True,
                       text=True, check=False)
    if r.returncode != 0:
        raise Skip(f"nothing can be mounted: {r.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def read_only(daemon):
    path = daemon.path("vms")
    if os.geteuid() != 0:
        os.chmod(path, 0o500)
        try:
            yield
        finally:
            os.chmod(path, 0o700)
        return
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", path], check=True)


def not_kept(daemon):
    """Why, and of how many VMs."""
    return (daemon.call("GetHost")["host"].get("notKept"),
            daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["vmsNotKept"])


def wait_until_kept(daemon):
    """It tries again by itself."""
    while not_kept(daemon) != (None, 0):
        time.sleep(0.01)


def records(daemon):
    return {name for name in os.listdir(daemon.path("vms")) if not name.startswith(".")}


@test
def no_record_that_is_out_of_date():
    """A migration that was called off while nothing could be written is not scheduled after a crash"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        equal(records(daemon), {str(vm.vm_id)})
        with nothing_written(daemon):
            equal(daemon.migrate(vm.id, "cancelled")["migration"], "cancelled")
            equal(records(daemon), set())
            daemon.wait_for_stage(vm.id, "whole")
            daemon.restart(signal.SIGKILL)
        equal(daemon.wait_for_vm(vm.id)["migration"], "none")
        equal((vm.blocks, vm.held), (512, False))


@test
def said_everywhere():
    """That something is not kept is said by the status line, GetHost, the figures, host and doctor"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, Vmm() as other:
        daemon.register(vmm, "guest")
        daemon.register(other, "other")
        equal(not_kept(daemon), (None, 0))
        with nothing_written(daemon):
            daemon.migrate("guest", "scheduled")
            equal(not_kept(daemon), ("File too large", 1))
            while "1 not kept for a restart" not in daemon.notify.receive().get("STATUS", ""):
                pass
            true("File too large" in daemon.ctl("host")[1], "host")
            checks = json.loads(daemon.ctl("doctor", "--json")[1])["checks"]
            check = next(check for check in checks if check["check"] == "daemon")
            equal(check["status"], "failed")
            true("File too large" in check["found"] and check["advice"], check)
            true("\neagersplitd_vms_not_kept 1\n" in daemon.ctl("metrics")[1], "metrics")
        wait_until_kept(daemon)
        while "not kept" in daemon.notify.receive().get("STATUS", "not kept"):
            pass
        true("kept again" in daemon.whole_log(), daemon.log())


@test
def written_later():
    """What could not be written is as soon as it can be, all of it, and outlives a crash by then"""
    with Daemon(**STUCK) as daemon, contextlib.ExitStack() as stack:
        names = [f"guest{n}" for n in range(5)]
        for name in names:
            daemon.register(stack.enter_context(Vmm()), name)
        with nothing_written(daemon):
            for name in names[1:]:
                daemon.migrate(name, "scheduled")
            daemon.migrate(names[2], "active")
            daemon.call("Unregister", vm=names[4])
            # One that is not to be found again is one of them.
            equal(not_kept(daemon), ("File too large", 4))
        wait_until_kept(daemon)
        daemon.restart(signal.SIGKILL)
        expected = dict(zip(names, ("none", "scheduled", "active", "scheduled")))
        with daemon.client() as client:
            for vm in client.watch():
                if expected.get(vm["vm"]) == vm["migration"]:
                    del expected[vm["vm"]]
                if not expected:
                    break
        # It is not found, either: of that there is a record, too.
        equal(len(daemon.call("ListVms")["vms"]), 4)


@test
def folder_made_anew():
    """A folder of records that is gone, or another one, is noticed, and all of them are written there"""
    # Of one that is being split a record is written each second, whatever is done to the folder just then.
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        daemon.register(vmm, "guest")
        daemon.register(other, "other")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        folder = daemon.path("vms")
        before = records(daemon)
        equal(len(before), 2)
        shutil.rmtree(folder)
        # A call that is about one of them, or about none.
        daemon.migrate("guest", "active")
        wait_until_kept(daemon)
        equal(records(daemon), before)
        os.rename(folder, daemon.path("away"))
        os.mkdir(folder)
        while records(daemon) != before:
            daemon.call("GetHost")
        # There may be something else in its place.
        shutil.rmtree(folder)
        with open(folder, "w", encoding="utf-8"):
            pass
        daemon.migrate("other", "scheduled")
        equal(not_kept(daemon)[0], "Not a directory")
        os.unlink(folder)
        wait_until_kept(daemon)
        equal(records(daemon), before)
        daemon.restart(signal.SIGKILL)
        equal(daemon.wait_for_vm("guest")["migration"], "active")
        equal(daemon.wait_for_vm("other")["migration"], "scheduled")


@test
def no_folder_at_the_start():
    """Where there is no place for records, the daemon runs, says so, and writes them once there is"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        equal(daemon.stop(), 0)
        os.rmdir(daemon.path("vms"))
        with open(daemon.path("vms"), "w", encoding="utf-8"):
            pass
        daemon.start_again()
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        equal(not_kept(daemon), ("Not a directory", 1))
        os.unlink(daemon.path("vms"))
        wait_until_kept(daemon)
        equal(records(daemon), {str(vm.vm_id)})


@test
def full():
    """In a folder without any room a record takes that of the one before it"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, mounted(daemon, "size=64k") as folder:
        daemon.register(vmm, "guest")
        with open(os.path.join(folder, "full"), "wb", buffering=0) as f, contextlib.suppress(OSError):
            while f.write(b"x" * 4096):
                pass
        for state in "scheduled", "active", "failed", "scheduled":
            daemon.migrate("guest", state)
            equal(not_kept(daemon)[1], 0)
        daemon.restart(signal.SIGKILL)
        equal(daemon.wait_for_vm("guest")["migration"], "scheduled")


@test
def read_only_folder():
    """A call whose answer an older record would contradict is refused, and changes nothing"""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(**FAST))
        if os.geteuid() == 0:
            stack.enter_context(mounted(daemon, "size=64k"))
        vmm, other = stack.enter_context(Vmm()), stack.enter_context(Vmm())
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        # While a record is being written it cannot be made read-only; of one that is split none is.
        daemon.wait_for_stage(vm.id, "split")
        with read_only(daemon):
            refused = ("NotKept", {"vm": vm.id, "reason": "Read-only file system"})
            equal(daemon.error("SetMigrationState", vm=vm.id, migration="cancelled"), refused)
            equal(daemon.error("Unregister", vm=vm.id), refused)
            equal(daemon.error("Register", pid=vmm.pid, name=vm.id.replace(".", "-"))[0], "NotKept")
            equal(daemon.call("GetVm", vm=vm.id)["vm"]["migration"], "scheduled")
            status, out, err = daemon.ctl("cancel", vm.id)
            equal((status, out), (1, ""))
            true("Read-only file system" in err, err)
            # One of which nothing is written is not contradicted.
            daemon.register(other, "other")
            equal(daemon.migrate("other", "scheduled")["migration"], "scheduled")
            daemon.restart(signal.SIGKILL)
            equal(daemon.wait_for_vm(vm.id)["migration"], "scheduled")
            # Whatever it is found as.
            while len(daemon.call("ListVms")["vms"]) < 2:
                pass
        equal(daemon.migrate(vm.id, "cancelled")["migration"], "cancelled")
        wait_until_kept(daemon)
        daemon.restart(signal.SIGKILL)
        equal(daemon.wait_for_vm(vm.id)["migration"], "cancelled")


if __name__ == "__main__":
    main()
