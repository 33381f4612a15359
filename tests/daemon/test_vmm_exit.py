#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VMM that exits between any two steps: its VM is gone, the others go on."""

import contextlib
import os

from harness import FAST, STUCK, Daemon, Vmm
from tap import equal, main, test, true
from varlink import Error


def wait_until_gone(daemon, name):
    """Returns once the daemon has noticed; a watch that comes too late is refused, just as well."""
    try:
        daemon.wait_for(name, lambda vm: False)
    except Error as error:
        equal((error.name, error.parameters), ("org.eagersplit.Manager.NoSuchVm", {"vm": name}))


STEPS = {
    "registered": [],
    "scheduled": ["scheduled"],
    "active": ["scheduled", "active"],
    "completed": ["scheduled", "completed"],
    "cancelled": ["scheduled", "cancelled"],
}


def exit_at_each_step(settings):
    with Daemon(**settings) as daemon, Vmm() as bystander:
        daemon.register(bystander, "bystander")
        gone = set()
        for how in Vmm.exit, Vmm.kill:
            for step, states in STEPS.items():
                vmm = Vmm()
                daemon.register(vmm, step)
                for state in states:
                    daemon.migrate(step, state)
                how(vmm)
                wait_until_gone(daemon, step)
                gone.add(f"{vmm.pid}.0")
                daemon.wait_for_vms(["bystander"], gone)
        equal(daemon.call("GetVm", vm="bystander")["vm"]["stage"], "whole")


@test
def while_fast():
    """At each step, with splitting that is done at once"""
    exit_at_each_step(FAST)


@test
def while_throttled():
    """At each step, while splitting waits for the budget"""
    exit_at_each_step(STUCK)


@test
def while_in_a_call():
    """At each step, while a call into the host takes its time"""
    exit_at_each_step({"TlbiRate": 0, "Memory": "64G", "TlbiUSec": 1000})


@test
def before_register():
    """A VMM that is gone, or a zombie, cannot be registered"""
    with Daemon(**FAST) as daemon:
        zombie = Vmm()
        zombie.process.kill()
        # Not reaped yet: wait without reaping.
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        equal(daemon.error("Register", pid=zombie.pid, name="x"),
              ("NoSuchProcess", {"pid": zombie.pid}))
        zombie.kill()
        equal(daemon.error("Register", pid=zombie.pid, name="x"),
              ("NoSuchProcess", {"pid": zombie.pid}))


@test
def during_register():
    """VMMs that exit while they are being registered and surveyed leave nothing behind"""
    gone = set()
    with Daemon(**FAST) as daemon, daemon.client() as client:
        for i in range(50):
            vmm = Vmm()
            client.send("Register", pid=vmm.pid, name="victim")
            if i % 2:
                vmm.kill()
            with contextlib.suppress(Error):
                client.reply()
            if not i % 2:
                vmm.kill()
            wait_until_gone(daemon, "victim")
            gone.add(f"{vmm.pid}.0")
        daemon.wait_for_vms([], gone)


@test
def during_get_vm():
    """A call that waits for a VM whose VMM exits is answered"""
    with Daemon(**FAST) as daemon, daemon.client() as client:
        for _ in range(20):
            vmm = Vmm()
            # While its first survey is under way: a later one would not be made again so soon.
            client.send("Register", oneway=True, pid=vmm.pid, name="victim")
            client.send("GetVm", vm="victim")
            client.send("GetVm", vm="victim")
            vmm.kill()
            for _ in range(2):
                try:
                    equal(client.reply()[0]["vm"]["vm"], "victim")
                except Error as error:
                    equal(error.name, "org.eagersplit.Manager.NoSuchVm")
            wait_until_gone(daemon, "victim")


@test
def many_at_once():
    """Twenty VMMs killed in the middle of splitting: the one that stays is split"""
    with Daemon(TlbiRate=0, Memory="1G", TlbiUSec=20) as daemon, Vmm() as survivor:
        daemon.register(survivor, "survivor")
        vmms = [Vmm() for _ in range(20)]
        for i, vmm in enumerate(vmms):
            daemon.register(vmm, f"vm{i}")
            daemon.migrate(f"vm{i}", "scheduled")
        daemon.migrate("survivor", "scheduled")
        for vmm in vmms:
            vmm.kill()
        equal(daemon.wait_for_stage("survivor", "split")["blocks"], 0)
        for i in range(20):
            wait_until_gone(daemon, f"vm{i}")
        daemon.wait_for_vms(["survivor"], [f"{vmm.pid}.0" for vmm in vmms])


@test
def same_name_again():
    """The name of a VM that is gone is free again"""
    with Daemon(**STUCK) as daemon:
        for _ in range(5):
            vmm = Vmm()
            daemon.register(vmm, "guest")
            daemon.migrate("guest", "scheduled")
            vmm.exit()
            wait_until_gone(daemon, "guest")
        true("error" not in daemon.call("GetHost"), "the daemon serves")


if __name__ == "__main__":
    main()
