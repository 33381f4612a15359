#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SetMigrationState: which state may follow which, and what each does to the VM."""

from harness import FAST, STUCK, Daemon, Vmm
from tap import equal, main, test, true

STATES = ["none", "scheduled", "active", "completed", "cancelled", "failed"]

ALLOWED = {
    "none": {"none", "scheduled", "active"},
    "scheduled": {"scheduled", "active", "completed", "cancelled", "failed"},
    "active": {"active", "completed", "cancelled", "failed"},
    "completed": {"completed", "scheduled"},
    "cancelled": {"cancelled", "scheduled"},
    "failed": {"failed", "scheduled"},
}

PATHS = {
    "none": [],
    "scheduled": ["scheduled"],
    "active": ["active"],
    "completed": ["scheduled", "completed"],
    "cancelled": ["scheduled", "cancelled"],
    "failed": ["scheduled", "failed"],
}


@test
def transitions():
    """Each of the 36 transitions is made or refused as it should be"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        for before in STATES:
            for after in STATES:
                daemon.register(vmm, "guest")
                for state in PATHS[before]:
                    daemon.migrate("guest", state)
                if after in ALLOWED[before]:
                    equal(daemon.migrate("guest", after)["migration"], after)
                else:
                    equal(daemon.error("SetMigrationState", vm="guest", migration=after),
                          ("InvalidTransition", {"from": before, "to": after}))
                    vm = daemon.call("GetVm", vm="guest")["vm"]
                    equal(vm["migration"], before, "after a refused transition")
                daemon.call("Unregister", vm="guest")


@test
def bad_parameters():
    """A state that there is not, and numbers below 0, are refused by name"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for parameters, field in (
            ({"migration": "paused"}, "migration"),
            ({"migration": ""}, "migration"),
            ({"migration": "Scheduled"}, "migration"),
            ({"migration": "scheduled", "deadlineUSec": -1}, "deadlineUSec"),
            ({"migration": "scheduled", "deadlineUSec": 1 << 63}, "deadlineUSec"),
            ({"migration": "scheduled", "deadlineUSec": "soon"}, "deadlineUSec"),
            ({"migration": "scheduled", "tlbiRate": -1}, "tlbiRate"),
            ({"migration": "scheduled", "tlbiRate": 0.5}, "tlbiRate"),
        ):
            equal(daemon.error("SetMigrationState", vm="guest", **parameters),
                  ("org.varlink.service.InvalidParameter", {"parameter": field}), parameters)
        equal(daemon.call("GetVm", vm="guest")["vm"]["migration"], "none")


@test
def active_splits():
    """A migration that nobody scheduled is split for when it is active"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "active")
        equal(daemon.wait_for_stage("guest", "split")["blocks"], 0)


@test
def completed_leaves_pages():
    """After completed, what is split stays split and nothing is done any more"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        before = daemon.call("GetHost")["host"]
        daemon.migrate("guest", "completed")
        vm = daemon.call("GetVm", vm="guest")["vm"]
        equal((vm["migration"], vm["blocks"]), ("completed", 0))
        equal(daemon.call("GetHost")["host"], before)


@test
def cancelled_recovers():
    """Cancelled and failed give the VM its blocks back; then it can be split again"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        blocks = daemon.register(vmm, "guest")["blocks"]
        for n, end in enumerate(("cancelled", "failed"), 1):
            daemon.migrate("guest", "scheduled")
            vm = daemon.wait_for_stage("guest", "split")
            equal((vm["blocks"], vm["blocksSplit"]), (0, n * blocks))
            daemon.migrate("guest", end)
            vm = daemon.wait_for_stage("guest", "whole")
            equal((vm["blocks"], vm["migration"]), (blocks, end))


@test
def cancelled_midway():
    """Cancelled in the middle of splitting stops it; the part that was split is recovered"""
    with Daemon(TlbiRate=100, TlbiBurst=1, Memory="8G", TlbiUSec=0) as daemon, Vmm() as vmm:
        blocks = daemon.register(vmm, "guest")["blocks"]
        daemon.migrate("guest", "scheduled")
        vm = daemon.wait_for("guest", lambda vm: vm["blocksSplit"] >= 3)
        true(vm["blocks"] < blocks, "some are split")
        daemon.migrate("guest", "cancelled")
        vm = daemon.wait_for_stage("guest", "whole")
        equal(vm["blocks"], blocks)


@test
def rate_of_a_vm():
    """A VM's own rate applies to the next call, and can be taken back"""
    with Daemon(TlbiRate=0, Memory="1G", TlbiUSec=0) as daemon, Vmm() as vmm:
        blocks = daemon.register(vmm, "guest")["blocks"]
        daemon.migrate("guest", "scheduled", tlbiRate=1)
        vm = daemon.wait_for("guest", lambda vm: vm["blocksSplit"] > 0)
        true(vm["blocks"] > blocks // 2, f"{vm['blocks']} of {blocks} blocks left")
        daemon.migrate("guest", "scheduled", tlbiRate=0)
        equal(daemon.wait_for_stage("guest", "split")["blocks"], 0)


@test
def nobody_follows_up():
    """Scheduled and left alone: it ends by itself, the blocks come back, and that is not final"""
    with Daemon(ScheduledTimeoutSec=1, **FAST) as daemon, Vmm() as vmm:
        blocks = daemon.register(vmm, "guest")["blocks"]
        daemon.migrate("guest", "scheduled")
        vm = daemon.wait_for("guest", lambda vm: vm["migration"] == "cancelled")
        vm = daemon.wait_for_stage("guest", "whole")
        equal(vm["blocks"], blocks)
        daemon.migrate("guest", "active")
        daemon.migrate("guest", "completed")


@test
def active_and_nothing_comes_of_it():
    """Active, and nothing is logged: it ends by itself, too, and another may begin"""
    with Daemon(ScheduledTimeoutSec=1, **FAST) as daemon, Vmm() as vmm:
        blocks = daemon.register(vmm, "guest")["blocks"]
        daemon.migrate("guest", "active")
        vm = daemon.wait_for("guest", lambda vm: vm["migration"] == "cancelled" and vm["stage"] == "whole")
        equal(vm["blocks"], blocks)
        daemon.wait_for_log("Active, and nothing is logged: migration cancelled")
        daemon.migrate("guest", "scheduled")


@test
def timeout_is_changed():
    """A timeout that is set on reload holds for what has been scheduled before"""
    with Daemon(ScheduledTimeoutSec=0, **FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        daemon.configure(ScheduledTimeoutSec=1, **FAST)
        daemon.call("Reload")
        daemon.wait_for("guest", lambda vm: vm["migration"] == "cancelled")


@test
def schedule_followed_up():
    """A migration that is active and logged, or done, is not ended by the timeout of its schedule"""
    with Daemon(ScheduledTimeoutSec=1, **FAST) as daemon, Vmm() as active, Vmm() as done, \
            Vmm() as forgotten:
        image = daemon.create_vm(active)
        daemon.wait_for_vm(image.id)
        image.log_dirty_pages(True)
        daemon.wait_for(image.id, lambda vm: vm["migration"] == "active")
        for vmm, name in (active, "active"), (done, "done"), (forgotten, "forgotten"):
            daemon.register(vmm, name)
        daemon.migrate("active", "active")
        for name in "done", "forgotten":
            daemon.migrate(name, "scheduled")
        daemon.migrate("done", "completed")
        daemon.migrate("forgotten", "scheduled")
        daemon.wait_for("forgotten", lambda vm: vm["migration"] == "cancelled")
        equal(daemon.call("GetVm", vm="active")["vm"]["migration"], "active")
        equal(daemon.call("GetVm", vm="done")["vm"]["migration"], "completed")


if __name__ == "__main__":
    main()
