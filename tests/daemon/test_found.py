#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs that are found without anyone's word, and dirty logging that is seen."""

import contextlib
import os
import time

from harness import FAST, STUCK, Daemon, Qemu, SimVm, Vmm
from tap import equal, main, test, true
from varlink import Error


def names(daemon):
    return sorted(vm["vm"] for vm in daemon.call("ListVms")["vms"])


def wait_until_gone(daemon, name):
    with contextlib.suppress(Error):
        daemon.wait_for(name, lambda vm: False)


@test
def comes_and_goes():
    """A VM is listed once it is created, and gone once its VMM is, or has closed it"""
    with Daemon(**FAST) as daemon:
        gone = []
        for end in Vmm.exit, Vmm.kill, None:
            with contextlib.ExitStack() as stack:
                vmm = Vmm()
                vm = daemon.create_vm(vmm)
                found = daemon.wait_for_vm(vm.id)
                equal((found["pid"], found["uid"], found["migration"], found["blocks"]),
                      (vmm.pid, os.getuid(), "none", 512))
                if end:
                    end(vmm)
                else:
                    stack.enter_context(vmm)
                    vm.destroy()
                wait_until_gone(daemon, vm.id)
                gone.append(vm.id)
                daemon.wait_for_vms([], gone)


@test
def there_before():
    """VMs that are there when the daemon starts are found, and one whose VMM has ended is not"""
    with Daemon(**FAST) as daemon, Vmm() as a, Vmm() as b:
        ids = sorted(daemon.create_vm(vmm).id for vmm in (a, b))
        stale = Vmm()
        SimVm(daemon.path("sim"), stale)
        stale.kill()
        daemon.restart()
        for name in ids:
            daemon.wait_for_vm(name)
        equal(names(daemon), ids)


@test
def two_of_a_process():
    """The VMs of one process are told apart by their number"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        first, second = daemon.create_vm(vmm, number=9), daemon.create_vm(vmm, number=11, blocks=7)
        daemon.wait_for_vm(first.id)
        equal(daemon.wait_for_vm(second.id)["blocks"], 7)
        daemon.migrate(second.id, "scheduled")
        daemon.wait_for_stage(second.id, "split")
        equal((first.blocks, second.blocks), (512, 0))
        first.destroy()
        wait_until_gone(daemon, first.id)
        daemon.wait_for_vms([second.id], [first.id])


@test
def told_of_early():
    """A VM that the host tells of before its VMM has it is looked for, though another of its process goes"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        tried, vm = (daemon.create_vm(vmm, number=n, early=True) for n in (0, 1))
        tried.destroy()
        # By then the daemon has heard all of it.
        daemon.wait_for_vm(daemon.create_vm(other).id)
        equal(names(daemon), [f"{other.pid}.0"])
        vm.appear()
        equal(daemon.wait_for_vm(vm.id)["blocks"], 512)


@test
def two_told_of_early():
    """Of two VMs that the host tells of before their VMM has them both are looked for, not just the first"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        first, second = (daemon.create_vm(vmm, number=n, early=True) for n in (0, 1))
        wait_until_heard(daemon, other)
        for vm in first, second:
            vm.appear()
            equal(daemon.wait_for_vm(vm.id)["blocks"], 512)


def wait_until_heard(daemon, vmm, **options):
    """Returns once the daemon has heard of all that happened before: it has found another VM, which is given."""
    vm = daemon.create_vm(vmm, **options)
    daemon.wait_for_vm(vm.id)
    return vm


@test
def made_anew():
    """A VM that a VMM makes in place of one that is split, or is being split, is another one, and that one is gone"""
    for settings in FAST, STUCK:
        with Daemon(**settings) as daemon, Vmm() as vmm:
            daemon.create_vm(vmm)
            daemon.register(vmm, "db")
            daemon.migrate("db", "scheduled")
            daemon.wait_for("db", lambda vm: vm["blocks"] < 512)
            vm = daemon.create_vm(vmm)
            found = daemon.wait_for_vm(vm.id)
            equal((found["migration"], found["stage"], found["blocks"]), ("none", "whole", 512))
            equal((vm.held, vm.blocks), (False, 512))
            equal(daemon.error("GetVm", vm="db"), ("NoSuchVm", {"vm": "db"}))


@test
def named_by_qemu():
    """A QEMU's -name is its VM's name; the id goes on being understood"""
    with Daemon(**FAST) as daemon, Qemu("guest=web,debug-threads=on") as web, Qemu("db") as db, \
            Qemu("guest=debian 12,,B\u00fcro") as odd, Qemu("not/a/name") as other, Qemu("1234.0") as another:
        vms = [(daemon.create_vm(vmm), vmm) for vmm in (other, another)]
        for vm, vmm in vms:
            equal(daemon.wait_for_vm(vm.id)["pid"], vmm.pid)
        for vmm, name in (web, "web"), (db, "db"), (odd, "debian 12,B\u00fcro"):
            vm = daemon.create_vm(vmm)
            equal(daemon.wait_for_vm(name)["pid"], vmm.pid)
            equal(daemon.call("GetVm", vm=vm.id)["vm"]["vm"], name)
        # Names are asked for in turn: by now these have been dealt with.
        for vm, _ in vms:
            equal(daemon.call("GetVm", vm=vm.id)["vm"]["vm"], vm.id)
        # What it is called already is no other's name.
        equal(daemon.register(db, "db")["vm"], "db")
        equal(daemon.error("Register", pid=db.pid, name="db"), ("VmExists", {"vm": "db", "pid": db.pid}))


@test
def same_name_twice():
    """Two VMs of a name go by their ids until one is gone: a migration within a host"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as target:
        source = Qemu("guest=web")
        first = daemon.create_vm(source)
        daemon.wait_for_vm("web")
        vm = daemon.create_vm(target)
        daemon.wait_for_claim(target, "web")
        equal([(vm["vm"], vm["claimedName"]) for vm in daemon.call("ListVms")["vms"]],
              [(first.id, "web"), (vm.id, "web")])
        equal(daemon.error("GetVm", vm="web"), ("NoSuchVm", {"vm": "web"}))
        with daemon.client() as client:
            watch = client.watch(first.id)
            equal(next(watch)["pid"], source.pid)
            source.kill()
            with contextlib.suppress(Error):
                list(watch)
        equal(daemon.call("GetVm", vm="web")["vm"]["pid"], target.pid)


@test
def registered_later():
    """Register gives a VM that was found another name, once"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as vmm, Vmm() as other:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm("web")
        daemon.create_vm(other)
        daemon.wait_for_vm(f"{other.pid}.0")
        equal(daemon.register(vmm, "mine")["vm"], "mine")
        equal(daemon.call("GetVm", vm=vm.id)["vm"]["vm"], "mine")
        equal(daemon.error("GetVm", vm="web"), ("NoSuchVm", {"vm": "web"}))
        equal(daemon.error("Register", pid=vmm.pid, name="yours"), ("VmExists", {"vm": "mine", "pid": vmm.pid}))
        equal(daemon.error("Register", pid=other.pid, name="mine"), ("VmExists", {"vm": "mine", "pid": vmm.pid}))
        equal(daemon.call("Register", pid=other.pid)["vm"]["vm"], f"{other.pid}.0")
        equal(len(names(daemon)), 2)


@test
def unregistered():
    """A VM that was unregistered is left alone until it is registered again"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.call("Unregister", vm=vm.id)
        vm.log_dirty_pages(True)
        later = daemon.create_vm(other)
        daemon.wait_for_vm(later.id)
        equal(names(daemon), [later.id])
        vm.wait_until_released()
        equal(daemon.register(vmm, "again")["vm"], "again")


@test
def registered_by_its_name():
    """Register by a name that one of a process's VMs has by itself is of that one, and leaves the others alone"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as vmm:
        first = daemon.create_vm(vmm)
        daemon.wait_for_vm("web")
        second = daemon.create_vm(vmm, number=1)
        daemon.wait_for_claim(vmm, "web")
        daemon.call("Unregister", vm=first.id)
        # Now it is the other's.
        equal(names(daemon), ["web"])
        daemon.register(vmm, "web")
        equal(names(daemon), ["web"])
        equal(daemon.call("GetVm", vm=second.id)["vm"]["vm"], "web")


@test
def unregistered_and_made_anew():
    """A VM that a VMM makes once it has closed one that was unregistered is found"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.call("Unregister", vm=vm.id)
        vm.destroy()
        heard = [wait_until_heard(daemon, other)]
        vm = daemon.create_vm(vmm)
        heard.append(wait_until_heard(daemon, other, number=1))
        equal(names(daemon), sorted(each.id for each in (vm, *heard)))


@test
def unannounced():
    """Dirty logging that nobody announced has the VM split, and its end recovered"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        for _ in range(3):
            vm.log_dirty_pages(True)
            seen = daemon.wait_for(vm.id, lambda vm: vm["stage"] == "split")
            equal((seen["migration"], vm.held, vm.blocks), ("active", True, 0))
            vm.log_dirty_pages(False)
            seen = daemon.wait_for(vm.id, lambda vm: vm["migration"] == "cancelled"
                                   and vm["stage"] == "whole")
            equal((vm.held, vm.blocks), (False, 512))


def surveys(daemon):
    calls = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["calls"]
    return next(call["count"] for call in calls if call["operation"] == "survey")


@test
def logging_on_and_off():
    """However often a VMM switches dirty logging, the daemon does little about it, and sees the last of it"""
    toggles = 1000
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        watch = client.watch_all(vm=vm.id)
        told = [next(watch)]
        start, before = time.monotonic(), surveys(daemon)
        for i in range(toggles):
            vm.log_dirty_pages(i % 2 == 0)
            # By then it has heard of that.
            daemon.call("GetHost")
        vm.log_dirty_pages(True)
        for answer in watch:
            told.append(answer)
            if answer["vm"]["migration"] == "active" and logging(daemon.call("GetVm", vm=vm.id)["vm"])[1 << 30]:
                break
        equal(daemon.wait_for_stage(vm.id, "split")["migration"], "active")
        counts = surveys(daemon) - before, len(told)
        # Ten times a second it is seen to be switched, and then has three surveys, and six replies at the most.
        allowed = 60 * (time.monotonic() - start + 1)
        true(max(counts) <= allowed, f"{counts} surveys and replies, {allowed:.0f} allowed")


@test
def logged_anew_at_once():
    """Dirty logging that begins anew behind a migration that was cancelled is another one's, however soon it does"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        # Each of the two makes the pause longer until it is listened to again.
        for _ in range(5):
            vm.log_dirty_pages(True)
            daemon.wait_for(vm.id, lambda vm: vm["migration"] == "active" and vm["stage"] == "split")
            vm.log_dirty_pages(False)
            daemon.migrate(vm.id, "cancelled")
            daemon.wait_for_stage(vm.id, "whole")


def logging(vm):
    """What of its memslots is logged, by their sizes."""
    return {slot["bytes"]: slot["dirtyLogging"] for slot in vm["memslots"]}


@test
def framebuffer():
    """A framebuffer that is logged all the time is no migration, and hides none, nor its end"""
    size, memory = 16 << 20, 1 << 30
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm, framebuffer=size)
        equal(daemon.wait_for_vm(vm.id)["migration"], "none")
        seen = daemon.call("GetVm", vm=vm.id)["vm"]
        equal(logging(seen), {size: True, memory: False})
        equal((seen["migration"], seen["stage"], vm.held, vm.blocks), ("none", "whole", False, 512))
        for _ in range(2):
            # Of which the kernel says nothing, since one memslot is logged already, and still is.
            vm.log_dirty_pages(True)
            equal(daemon.wait_for_stage(vm.id, "split")["migration"], "active")
            equal((vm.held, vm.blocks), (True, 0))
            vm.log_dirty_pages(False)
            daemon.wait_for(vm.id, lambda vm: vm["migration"] == "cancelled" and vm["stage"] == "whole")
            equal((vm.held, vm.blocks), (False, 512))


@test
def framebuffer_and_restart():
    """A daemon that finds a VM by its framebuffer only goes on with what was known of it"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm, framebuffer=16 << 20)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.restart()
        equal(daemon.wait_for_stage(vm.id, "split")["migration"], "scheduled")
        vm.log_dirty_pages(True)
        daemon.wait_for(vm.id, lambda vm: vm["migration"] == "active")
        daemon.restart()
        daemon.wait_for_stage(vm.id, "split")
        vm.log_dirty_pages(False)
        daemon.wait_for(vm.id, lambda vm: vm["migration"] == "scheduled" and vm["stage"] == "split")
        equal((vm.held, vm.blocks), (True, 0))


@test
def logging_comes_and_goes():
    """A schedule stays what it is when memory is logged for a while, and costs nothing twice"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled", deadlineUSec=1)
        spent = daemon.wait_for_stage(vm.id, "split")["tlbis"]
        for _ in range(3):
            vm.log_dirty_pages(True)
            daemon.wait_for(vm.id, lambda vm: vm["migration"] == "active")
            vm.log_dirty_pages(False)
            seen = daemon.wait_for(vm.id, lambda vm: vm["migration"] == "scheduled")
            equal((vm.held, vm.blocks, seen["deadlineUSec"]), (True, 0, 1))
        equal(daemon.call("GetVm", vm=vm.id)["vm"]["tlbis"], spent)
        daemon.migrate(vm.id, "completed")
        vm.wait_until_released()


@test
def on_at_the_start():
    """Dirty logging that is on when the VM is found counts as started"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        vm.log_dirty_pages(True)
        daemon.restart()
        equal(daemon.wait_for_stage(vm.id, "split")["migration"], "active")


@test
def ignored():
    """With OnDirtyLog=ignore what nobody scheduled is left alone, and what was is active"""
    with Daemon(OnDirtyLog="ignore", **FAST) as daemon, Vmm() as vmm, Vmm() as expected:
        vm, scheduled = daemon.create_vm(vmm), daemon.create_vm(expected)
        for each in vm, scheduled:
            daemon.wait_for_vm(each.id)
        daemon.migrate(scheduled.id, "scheduled")
        vm.log_dirty_pages(True)
        scheduled.log_dirty_pages(True)
        daemon.wait_for(scheduled.id, lambda vm: vm["migration"] == "active")
        seen = daemon.call("GetVm", vm=vm.id)["vm"]
        equal((seen["migration"], seen["memslots"][0]["dirtyLogging"], vm.blocks),
              ("none", True, 512))


def wait_until_logging(daemon, vm):
    while not logging(daemon.call("GetVm", vm=vm.id)["vm"])[1 << 30]:
        pass
    # That may have been said before all that follows from it was done: now it is.
    daemon.call("GetVm", vm=vm.id)


@test
def scheduled_late():
    """With OnDirtyLog=ignore a migration that is scheduled when it has begun is active"""
    with Daemon(OnDirtyLog="ignore", **FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        vm.log_dirty_pages(True)
        wait_until_logging(daemon, vm)
        equal(daemon.migrate(vm.id, "scheduled", deadlineUSec=1)["migration"], "active")
        equal(daemon.wait_for_stage(vm.id, "split")["deadlineUSec"], 1)
        vm.log_dirty_pages(False)
        daemon.wait_for(vm.id, lambda vm: vm["migration"] == "scheduled")
        equal((vm.held, vm.blocks), (True, 0))


@test
def scheduled_behind_another():
    """What is still logged of a migration that has ended is not taken for the next one's"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "active")
        vm.log_dirty_pages(True)
        wait_until_logging(daemon, vm)
        daemon.migrate(vm.id, "completed")
        equal(daemon.migrate(vm.id, "scheduled")["migration"], "scheduled")


@test
def told_otherwise():
    """What was only seen gives way to what is said a moment later"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        vm.log_dirty_pages(True)
        daemon.wait_for_stage(vm.id, "split")
        equal(daemon.migrate(vm.id, "scheduled")["migration"], "active")
        daemon.migrate(vm.id, "active")
        vm.log_dirty_pages(False)
        daemon.wait_for(vm.id, lambda vm: vm["migration"] == "cancelled")
        equal(daemon.migrate(vm.id, "completed")["migration"], "completed")
        equal(daemon.error("SetMigrationState", vm=vm.id, migration="failed")[0],
              "InvalidTransition")


@test
def cancelled_while_logging():
    """Cancelled before dirty logging ends: the blocks come back once it has"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        vm.log_dirty_pages(True)
        daemon.wait_for_stage(vm.id, "split")
        daemon.migrate(vm.id, "cancelled")
        equal(daemon.wait_for_stage(vm.id, "whole")["blocks"], 0)
        vm.log_dirty_pages(False)
        daemon.wait_for(vm.id, lambda vm: vm["blocks"] == 512)
        true(not vm.held, "the hold has ended")


@test
def many_in_a_row():
    """200 VMs created and killed in a row leave no descriptor and no thread behind"""
    with Daemon(**STUCK) as daemon, daemon.client() as client:
        def target(path):
            with contextlib.suppress(OSError):
                return os.readlink(path)

        def count(what):
            folder = f"/proc/{daemon.process.pid}/{what}"
            # A thread may be writing that.
            return len([n for n in os.listdir(folder) if daemon.path("history") not in (target(f"{folder}/{n}") or "")])

        gone = []

        def generation(n):
            vmms = [Vmm() for _ in range(n)]
            for vm in [daemon.create_vm(vmm) for vmm in vmms]:
                daemon.wait_for_vm(vm.id)
                daemon.migrate(vm.id, "scheduled")
            for vmm in vmms:
                vmm.kill()
                wait_until_gone(daemon, f"{vmm.pid}.0")
                gone.append(f"{vmm.pid}.0")
            daemon.wait_for_vms([], gone)

        def counts():
            """Once no thread is at work, which may have opened something, and no other client is left."""
            while True:
                metrics = client.call("org.eagersplit.Metrics.GetMetrics")["metrics"]
                if not metrics["queue"]["running"] + metrics["queue"]["queued"] and \
                        metrics["connections"]["current"] == 1:
                    return count("fd"), count("task")

        generation(20)
        before = counts()
        for _ in range(9):
            generation(20)
        # Splitters are closed by threads.
        while counts() > before:
            pass
        equal([name for name in os.listdir(daemon.path("sim")) if not name.startswith("splitter-")], [])
        # That is heard after it has been said.
        while daemon.notify.kept:
            daemon.notify.wait_for("FDSTOREREMOVE", "1")


if __name__ == "__main__":
    main()
