#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon that ends, however and whenever: the next one goes on where the work was."""

import contextlib
import fcntl
import json
import os
import random
import re
import signal
import time

from harness import FAST, STUCK, Daemon, Qemu, SimVm, Vmm
from tap import alive, equal, main, test, true
from varlink import Error

# So slow that each of the moments below is in the middle of something.
SLOW = {"TlbiRate": 2000, "TlbiBurst": 4, "Memory": "1G", "TlbiUSec": 10}


def get(daemon, name):
    """One that is found again is, a moment after the daemon is ready."""
    return daemon.wait_for_vm(name)


def records(daemon, vm):
    """The records that are kept, but for the one more of this VM's that is there while one is written."""
    return set(os.listdir(daemon.path("vms"))) - {f".{vm.vm_id}.new"}


@test
def what_is_kept():
    """Name, state, deadline, rate and counts survive a restart, a crash and a hang"""
    deadline = int((time.time() + 3600) * 1e6)
    for number in signal.SIGTERM, signal.SIGKILL, signal.SIGABRT:
        with Daemon(**FAST) as daemon, Vmm() as vmm:
            vm = daemon.create_vm(vmm)
            daemon.wait_for_vm(vm.id)
            daemon.register(vmm, "guest")
            daemon.migrate("guest", "scheduled", deadlineUSec=deadline, tlbiRate=7777)
            before = daemon.wait_for_stage("guest", "split")
            daemon.restart(number)
            after = daemon.wait_for_stage("guest", "split")
            for key in "vm", "pid", "migration", "deadlineUSec", "blocksSplit", "tlbis":
                equal(after[key], before[key], key)
            true(vm.held, "held")
            equal(vm.blocks, 0)


@test
def rate_is_kept():
    """The rate that was said with a migration holds for the next daemon, too"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled", tlbiRate=1)
        daemon.restart(signal.SIGKILL)
        # 512 blocks, one a second; without it they are split at once.
        after = daemon.wait_for(vm.id, lambda vm: "etaUSec" in vm or vm["stage"] == "split")
        equal(after["stage"], "splitting")
        true(after["etaUSec"] > 256e6, after)


@test
def name_is_kept():
    """The name that was given at Register is kept, though QEMU has another for the VM"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as vmm:
        daemon.create_vm(vmm)
        daemon.wait_for_vm("web")
        daemon.register(vmm, "mine")
        daemon.restart()
        equal([vm["vm"] for vm in daemon.call("ListVms")["vms"]], ["mine"])


@test
def counts_are_kept_now_and_then():
    """What was split is kept also while nothing else changes"""
    # For longer than a test may take.
    with Daemon(TlbiRate=1) as daemon, Vmm() as vmm, daemon.client() as client:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        for told in client.watch(vm.id):
            with open(daemon.path(f"vms/{vm.vm_id}"), encoding="utf-8") as f:
                record = json.load(f)
            if record["blocksSplit"] or told["stage"] == "split":
                break
        equal((record["stage"], told["stage"]), ("splitting", "splitting"))


@test
def folder_locked_by_others():
    """Whoever may look into the runtime folder can lock it, and keeps no daemon from starting"""
    with Daemon(**FAST) as daemon:
        folder = os.open(daemon.folder, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_SH)
        daemon.restart(signal.SIGKILL)
        daemon.restart()
        os.close(folder)


@test
def done_is_done():
    """What had come to its end is not done again by the next daemon"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.migrate(vm.id, "cancelled")
        daemon.wait_for_stage(vm.id, "whole")
        daemon.restart()
        equal(get(daemon, vm.id)["migration"], "cancelled")
        calls = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["calls"]
        equal({call["operation"] for call in calls if call["count"]}, {"survey"})


@test
def held_until_it_stops():
    """When it stops the hold stays as long as the splitter is kept; without, the next daemon holds again"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        true(vm.held, "held")
        equal(daemon.stop(), 0)
        equal((vm.held, vm.blocks), (True, 0), "the service manager has the splitter")
        daemon.wait_for_exit()
        daemon.notify.drop_kept()
        equal((vm.held, vm.blocks), (False, 0), "nobody has")
        daemon.start_again()
        get(daemon, vm.id)
        daemon.wait_for_stage(vm.id, "split")
        true(vm.held, "held again")


@test
def counts_to_the_last():
    """What a call has done that was in flight when it was to stop is counted, too"""
    for tlbi_usec in 20, 100, 500, 2500:
        with Daemon(TlbiRate=0, TlbiUSec=tlbi_usec) as daemon, Vmm() as vmm:
            vm = daemon.create_vm(vmm)
            daemon.wait_for_vm(vm.id)
            # One call, of which nothing is told before its end: it ends earlier.
            daemon.migrate(vm.id, "scheduled")
            while not daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["queue"]["running"]:
                if not vm.blocks:
                    break
            equal(daemon.stop(), 0)
            done = 512 - vm.blocks
            daemon.configure(**FAST)
            daemon.start_again()
            after = daemon.wait_for_stage(vm.id, "split")
            equal((after["blocksSplit"], after["tlbis"]), (512, 512), f"{done} before the restart")


def kill_and_go_on(daemon, vm, reached):
    """Kills the daemon where a watch has seen what is to be seen, and starts the next one."""
    daemon.wait_for(vm.id, reached)
    daemon.restart(signal.SIGKILL)


@test
def killed_while_splitting():
    """SIGKILL after so many blocks were split, 20 times: the next daemon splits the rest"""
    for n in range(0, 500, 25):
        alive()
        with Daemon(**SLOW) as daemon, Vmm() as vmm:
            vm = daemon.create_vm(vmm)
            daemon.wait_for_vm(vm.id)
            daemon.migrate(vm.id, "scheduled")
            kill_and_go_on(daemon, vm, lambda vm, n=n: vm["blocks"] <= 512 - n)
            equal(get(daemon, vm.id)["migration"], "scheduled")
            daemon.wait_for_stage(vm.id, "split")
            equal((vm.held, vm.blocks), (True, 0))
            equal(vmm.process.poll(), None, "the VMM's exit status")


@test
def killed_while_recovering():
    """SIGKILL after so many blocks were recovered: the next daemon recovers the rest"""
    for n in range(0, 500, 50):
        alive()
        with Daemon(**SLOW) as daemon, Vmm() as vmm:
            vm = daemon.create_vm(vmm)
            daemon.wait_for_vm(vm.id)
            daemon.migrate(vm.id, "scheduled")
            daemon.wait_for_stage(vm.id, "split")
            daemon.migrate(vm.id, "failed")
            while vm.blocks < n:
                time.sleep(0.001)
            daemon.restart(signal.SIGKILL)
            equal(daemon.wait_for_stage(vm.id, "whole")["migration"], "failed")
            equal((vm.held, vm.blocks), (False, 512))


@test
def killed_after_each_word():
    """SIGKILL right behind the answer to each word of a migration: what was said holds"""
    lives = {
        ("scheduled",): (True, 0),
        ("active",): (True, 0),
        ("scheduled", "active"): (True, 0),
        ("scheduled", "active", "completed"): (False, None),
        ("scheduled", "cancelled"): (False, 512),
        ("scheduled", "active", "failed"): (False, 512),
        ("scheduled", "cancelled", "scheduled"): (True, 0),
    }
    for settings in SLOW, STUCK:
        for words, (held, blocks) in lives.items():
            alive()
            with Daemon(**settings) as daemon, Vmm() as vmm:
                vm = daemon.create_vm(vmm)
                daemon.wait_for_vm(vm.id)
                for word in words:
                    daemon.migrate(vm.id, word)
                    daemon.restart(signal.SIGKILL)
                    equal(get(daemon, vm.id)["migration"], word)
                if settings == STUCK and held:
                    continue
                daemon.wait_for(vm.id, lambda vm, held=held: vm["stage"] == "split" if held
                                else vm["stage"] == "whole")
                if held:
                    true(vm.held, words)
                else:
                    # After its end it is looked after no more, and let go of a moment later.
                    vm.wait_until_released()
                if blocks is not None:
                    equal(vm.blocks, blocks, words)


@test
def killed_again_and_again():
    """SIGKILL as soon as there is progress, until all is split, and until all is recovered"""
    with Daemon(**SLOW) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        for state, stage, blocks in ("scheduled", "split", 0), ("cancelled", "whole", 512):
            daemon.migrate(vm.id, state)
            for _ in range(10):
                alive()
                daemon.restart(signal.SIGKILL)
                before = vm.blocks
                daemon.wait_for(vm.id, lambda _: vm.blocks != before or vm.blocks == blocks)
            daemon.wait_for(vm.id, lambda vm, stage=stage: vm["stage"] == stage)
            equal((vm.held, vm.blocks), (blocks == 0, blocks))


@test
def held_by_nobody():
    """A VM held by a daemon of which nothing is known is released, and its pages are left"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        os.unlink(daemon.path(f"vms/{vm.vm_id}"))
        daemon.start_again()
        vm.wait_until_released()
        equal(get(daemon, vm.id)["migration"], "none")
        equal(vm.blocks, 0)


@test
def gone_meanwhile():
    """VMMs that exit while there is no daemon are forgotten, also if the id is another's by then"""
    with Daemon(**FAST) as daemon, Vmm() as other:
        vmm = Vmm()
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        vmm.kill()
        # What is known of the one that is gone, under the id of one that lives.
        with open(daemon.path(f"vms/{vm.vm_id}"), encoding="utf-8") as f:
            record = f.read()
        forged = SimVm(daemon.path("sim"), other)
        with open(daemon.path(f"vms/{forged.vm_id}"), "w", encoding="utf-8") as f:
            f.write(record.replace(f'"pid":{vmm.pid}', f'"pid":{other.pid}'))
        daemon.start_again()
        equal(daemon.wait_for_vm(forged.id)["migration"], "none")
        equal([vm["vm"] for vm in daemon.call("ListVms")["vms"]], [forged.id])
        equal(records(daemon, forged), {str(forged.vm_id)})


@test
def bad_records():
    """Records that make no sense are passed over and said so, and the others are used"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "active")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        for name, text in ("1", "{"), ("2", ""), ("x", "x"), ("3", "[" * 3000), (".4.new", "{"):
            with open(daemon.path(f"vms/{name}"), "w", encoding="utf-8") as f:
                f.write(text)
        # What is no record is somebody's, and left alone.
        os.mkdir(daemon.path("vms/5"))
        daemon.start_again()
        equal(get(daemon, vm.id)["migration"], "active")
        equal(records(daemon, vm), {str(vm.vm_id), "5"})
        daemon.wait_for_log("The record of VM 1 cannot be used")
        true(os.path.isdir(daemon.path("vms/5")), "the folder in a record's place is there")


@test
def seen_before():
    """What was only seen is still that after a crash, and is corrected by what is said then"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        vm.log_dirty_pages(True)
        daemon.wait_for_stage(vm.id, "split")
        daemon.restart(signal.SIGKILL)
        equal(daemon.wait_for_stage(vm.id, "split")["migration"], "active")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        vm.log_dirty_pages(False)
        daemon.start_again()
        daemon.wait_for(vm.id, lambda vm: vm["migration"] == "cancelled" and vm["stage"] == "whole")
        daemon.restart(signal.SIGKILL)
        equal(daemon.migrate(vm.id, "completed")["migration"], "completed")


@test
def told_before():
    """Dirty logging of a migration that was told is known after a crash, and that it has ended then"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.migrate(vm.id, "active")
        vm.log_dirty_pages(True)
        while not daemon.call("GetVm", vm=vm.id)["vm"]["memslots"][0]["dirtyLogging"]:
            pass
        # That may have been said before all that follows from it was done: now it is.
        daemon.call("GetVm", vm=vm.id)
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        vm.log_dirty_pages(False)
        daemon.start_again()
        # Likewise: it answers the first once it has looked.
        get(daemon, vm.id)
        equal(get(daemon, vm.id)["migration"], "cancelled")
        daemon.wait_for_stage(vm.id, "whole")
        equal((vm.held, vm.blocks), (False, 512))


@test
def unregistered_stays_so():
    """A VM that was unregistered is left alone by the next daemon too"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm("web")
        daemon.call("Unregister", vm="web")
        daemon.restart(signal.SIGKILL)
        equal(daemon.call("ListVms")["vms"], [])
        vm.log_dirty_pages(True)
        equal(daemon.register(vmm, "again")["vm"], "again")
        daemon.wait_for_stage("again", "split")
        daemon.restart(signal.SIGKILL)
        equal(get(daemon, "again")["migration"], "active")


@test
def unregistered_and_killed():
    """SIGKILL before a VM that was unregistered has been let go of: the next daemon lets go of it"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        # What Unregister writes before it has the hold released.
        with open(daemon.path(f"vms/{vm.vm_id}"), "r+", encoding="utf-8") as f:
            record = f.read()
            true('"unwanted":false' in record, record)
            f.seek(0)
            f.write(record.replace('"unwanted":false', '"unwanted":true '))
        daemon.start_again()
        equal(daemon.call("ListVms")["vms"], [])
        # A process that shares the killed one's descriptors ends a moment after it.
        vm.wait_until_released()
        equal(vm.blocks, 0)
        # From then on it is left alone, whoever holds it.
        with vm.hold():
            daemon.restart()
            true(vm.held, "held by another")
        equal(daemon.register(vmm, "again")["migration"], "none")


@test
def unregistered_and_closed():
    """A VM that was unregistered, and closed while there was no daemon, is not taken for the one that is made then"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.call("Unregister", vm=vm.id)
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        vm.destroy()
        daemon.start_again()
        vm = daemon.create_vm(vmm)
        equal(daemon.wait_for_vm(vm.id)["pid"], vmm.pid)


@test
def unregistered_and_let_go_of():
    """A VM that was unregistered when it was split is left alone once it has been let go of"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.wait_for_stage(vm.id, "split")
        daemon.call("Unregister", vm=vm.id)
        vm.wait_until_released()
        # What others need a place for is not kept of it any more.
        while daemon.notify.kept:
            daemon.notify.wait_for("FDSTOREREMOVE", "1")
        equal((daemon.stop(), vm.held, vm.blocks), (0, False, 0))
        with vm.hold():
            daemon.start_again()
            equal(daemon.stop(), 0)
            true(vm.held, "held by another")


@test
def many_unregistered():
    """VMs that were unregistered, however many, take no VM's place in what the next daemon knows"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        daemon.migrate(vm.id, "scheduled")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        with open(daemon.path(f"vms/{vm.vm_id}"), encoding="utf-8") as f:
            record = f.read()
        for vm_id in range(1, 4097):
            with open(daemon.path(f"vms/{vm_id}"), "w", encoding="utf-8") as f:
                f.write(record.replace(str(vm.vm_id), str(vm_id)).replace('"unwanted":false', '"unwanted":true '))
        daemon.start_again()
        equal(get(daemon, vm.id)["migration"], "scheduled")


@test
def registered_without_a_name():
    """A VM that goes by its id is known by the next daemon, with all that was said of it"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        name = daemon.call("Register", pid=vmm.pid)["vm"]["vm"]
        daemon.migrate(name, "scheduled")
        daemon.restart(signal.SIGKILL)
        equal(get(daemon, name)["migration"], "scheduled")
        equal(daemon.error("Register", pid=vmm.pid), ("VmExists", {"vm": name, "pid": vmm.pid}))


def pids(daemon):
    return {vm["vm"]: vm["pid"] for vm in daemon.call("ListVms")["vms"]}


def wait_until_called(daemon, name, vmm):
    while pids(daemon).get(name) != vmm.pid:
        pass


@test
def names_stay():
    """A name that could be either's of two VMs is neither's for the next daemon, too"""
    for number in signal.SIGTERM, signal.SIGKILL:
        with Qemu("guest=web") as source, Qemu("guest=web") as target:
            with Daemon(**FAST) as daemon:
                first, second = (daemon.create_vm(vmm) for vmm in (source, target))
                for vmm in source, target:
                    daemon.wait_for_claim(vmm, "web")
                before = {first.id: source.pid, second.id: target.pid}
                equal(pids(daemon), before)
                daemon.restart(number)
                equal(pids(daemon), before)


@test
def given_names_stay():
    """A name that was given at Register stays that VM's, though another's VMM calls its VM the same"""
    with Qemu("guest=web") as a, Qemu("guest=web") as b:
        for mine, other in (a, b), (b, a):
            with Daemon(**FAST) as daemon:
                daemon.create_vm(mine)
                daemon.register(mine, "web")
                daemon.migrate("web", "scheduled")
                vm = daemon.create_vm(other)
                daemon.wait_for_vm(vm.id)
                daemon.restart(signal.SIGKILL)
                equal(pids(daemon), {"web": mine.pid, vm.id: other.pid})
                equal(get(daemon, "web")["migration"], "scheduled")


@test
def names_pass_on():
    """A name that has passed to another VM while there was a daemon is that one's for the next, too"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as target:
        source = Qemu("guest=web")
        daemon.create_vm(source)
        daemon.create_vm(target)
        daemon.wait_for_claim(target, "web")
        source.kill()
        wait_until_called(daemon, "web", target)
        daemon.restart(signal.SIGKILL)
        equal(pids(daemon), {"web": target.pid})


@test
def schedule_goes_on():
    """The time of a schedule that nobody follows up goes on while there is no daemon"""
    # It is found again by its splitter, or by looking for VMs.
    for is_kept in True, False:
        # As long as this machine runs: what was scheduled when it began is over by now, and nothing else.
        timeout = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        with Daemon(ScheduledTimeoutSec=timeout, **FAST) as daemon, Vmm() as vmm:
            vm = daemon.create_vm(vmm)
            daemon.wait_for_vm(vm.id)
            daemon.migrate(vm.id, "scheduled")
            daemon.kill(signal.SIGKILL)
            daemon.wait_for_exit()
            with open(daemon.path(f"vms/{vm.vm_id}"), "r+", encoding="utf-8") as f:
                record, n = re.subn(r'"scheduledUSec":\d+', '"scheduledUSec":1', f.read())
                equal(n, 1)
                f.seek(0)
                f.truncate()
                f.write(record)
            if not is_kept:
                daemon.notify.drop_kept()
            daemon.start_again()
            daemon.wait_for_vm(vm.id)
            daemon.wait_for(vm.id, lambda vm: vm["migration"] == "cancelled" and vm["stage"] == "whole")
            equal((vm.held, vm.blocks), (False, 512))


@test
def splitters_are_kept():
    """Each VM's splitter is kept when the daemon stops, and dropped when the VM is gone or forgotten"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vms = [daemon.create_vm(vmm, number=number) for number in (0, 1, 2)]
        for vm in vms:
            daemon.wait_for_vm(vm.id)
        for _ in range(2):
            equal(daemon.stop(), 0)
            daemon.wait_for_exit()
            equal(set(daemon.notify.kept), {f"vm-{vm.vm_id}" for vm in vms})
            equal([len(fds) for fds in daemon.notify.kept.values()], [1, 1, 1])
            daemon.start_again()
        for vm in vms[0], vms[2]:
            with daemon.client() as client:
                watch = client.watch(vm.id)
                next(watch)
                vm.destroy()
                with contextlib.suppress(Error):
                    list(watch)
        # One that is destroyed while it is looked at may be found once more, for a moment.
        while set(daemon.notify.kept) != {f"vm-{vms[1].vm_id}"}:
            daemon.notify.wait_for("FDSTOREREMOVE", "1")


@test
def kept_in_vain():
    """What is kept and is no splitter, is that of a VM that is gone, or of one of which nothing is known, is let go of"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        gone, unknown = daemon.create_vm(vmm), daemon.create_vm(other)
        for vm in gone, unknown:
            daemon.wait_for_vm(vm.id)
            daemon.migrate(vm.id, "scheduled")
            daemon.wait_for_stage(vm.id, "split")
        daemon.kill(signal.SIGKILL)
        daemon.process.wait()
        vmm.kill()
        os.unlink(daemon.path(f"vms/{unknown.vm_id}"))
        daemon.notify.kept["vm-7"] = [os.open("/dev/null", os.O_RDONLY), os.memfd_create("x")]
        daemon.start_again()
        unknown.wait_until_released()
        get(daemon, unknown.id)
        vms = daemon.call("ListVms")["vms"]
        equal([(vm["vm"], vm["migration"]) for vm in vms], [(unknown.id, "none")])


@test
def killed_at_random():
    """SIGKILL at 100 moments: what is kept goes on where it was; once that is lost nothing is held"""
    clock = random.Random(15)
    with Daemon(TlbiRate=0, TlbiUSec=100, Batch=64) as daemon, Vmm() as vmm, Vmm() as other:
        vms = [daemon.create_vm(v, blocks=4096) for v in (vmm, other)]
        for vm in vms:
            daemon.wait_for_vm(vm.id)
        for n in range(100):
            alive()
            word = "cancelled" if n % 20 == 19 else "scheduled"
            for vm in vms:
                if get(daemon, vm.id)["migration"] != word:
                    daemon.migrate(vm.id, word)
            if n % 20 == 9:
                for vm in vms:
                    daemon.wait_for_stage(vm.id, "split")
            # Whatever it is in the middle of: nothing depends on what that is.
            time.sleep(clock.uniform(0, 0.02))
            held, blocks = [vm.held for vm in vms], [vm.blocks for vm in vms]
            daemon.kill(signal.SIGKILL)
            daemon.wait_for_exit()
            if word == "scheduled":
                true(all(vm.held >= was for vm, was in zip(vms, held)), "held by what is kept")
                # Right behind a cancelled migration a call that recovers may not have come to its end yet.
                true(n % 20 == 0 or all(vm.blocks <= was for vm, was in zip(vms, blocks)), "no block came back")
            if n % 10 == 5:
                daemon.notify.drop_kept()
                # Processes that share the daemon's descriptors end a moment after it.
                for vm in vms:
                    vm.wait_until_released()
            daemon.start_again()
            equal([get(daemon, vm.id)["migration"] for vm in vms], [word, word])
        for vm in vms:
            daemon.migrate(vm.id, "cancelled")
            daemon.wait_for_stage(vm.id, "whole")
            equal((vm.held, vm.blocks), (False, 4096))


if __name__ == "__main__":
    main()
