#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of migrations that have ended: what is told of each, kept, counted and shown."""

import json
import os
import signal
import time

from harness import FAST, STUCK, Daemon, Vmm
from tap import Skip, equal, main, test, true
from varlink import Error

# How long it may be said how a migration ended whose VM is gone; COURSE_SETTLE_USEC
SETTLE_SECONDS = 10
STRANGER = 65534
METRICS = "org.eagersplit.Metrics.GetMetrics"


def history(daemon, **parameters):
    return daemon.call("GetHistory", **parameters)["migrations"]


def wait_for_history(daemon, n):
    """Once that many are known: those from before are read while the daemon is ready already."""
    while len(found := history(daemon, limit=1000)) < n:
        time.sleep(0.001)
    return found


@test
def prepared_ahead():
    """A migration that was prepared: announced, split, logged, completed"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm, blocks=64)
        daemon.wait_for_vm(vm.id)
        equal(history(daemon), [])
        deadline = int((time.time() + 3600) * 1e6)
        daemon.migrate(vm.id, "scheduled", deadlineUSec=deadline)
        daemon.wait_for_stage(vm.id, "split")
        vm.log_dirty_pages(True)
        daemon.wait_for(vm.id, lambda vm: vm["migration"] == "active")
        daemon.migrate(vm.id, "completed")
        past, = history(daemon)
        times = [past.pop(key) for key in ("begunUSec", "splitUSec", "loggingUSec", "endedUSec")]
        equal(times, sorted(times))
        equal(past.pop("leadUSec"), times[2] - times[0])
        true(past.pop("tlbiUSec") >= 0, "the time of TLBIs")
        none = {"count": 0, "sumUSec": 0}
        equal([past.pop(f"stall{phase}") for phase in ("Before", "Preparing", "Migrating", "MaxUSec")], [none] * 3 + [0])
        stalls = {s["prepared"]: s["count"] for s in daemon.call(METRICS)["metrics"]["stalls"]}
        equal(stalls, {"ahead": 1, "partly": 0, "found": 0})
        equal(past, {"vm": vm.id, "pid": vmm.pid, "outcome": "completed", "prepared": "ahead", "blocksLeft": 0,
                     "blocksSplit": 64, "tlbis": 64, "deadlineUSec": deadline, "deadlineMet": True})
        daemon.wait_for_log("Its migration has ended, completed: split when dirty logging began")
        daemon.wait_for_log("the deadline was met")


@test
def not_prepared():
    """One that nobody announced, and one that was announced too late, whose VM goes away"""
    with Daemon(**STUCK) as daemon, Vmm() as a, Vmm() as b:
        found, late = daemon.create_vm(a, blocks=4096), daemon.create_vm(b, blocks=4096)
        for vm in found, late:
            daemon.wait_for_vm(vm.id)
        daemon.migrate(late.id, "scheduled", deadlineUSec=1)
        for vm in found, late:
            vm.log_dirty_pages(True)
            daemon.wait_for(vm.id, lambda vm: vm["migration"] == "active")
        daemon.migrate(found.id, "failed")
        with daemon.client() as client:
            for told in client.watch():
                if told["vm"] == late.id:
                    break
            b.kill()
            past = wait_for_history(daemon, 2)
        equal([(p["vm"], p["outcome"], p["prepared"], p.get("deadlineMet")) for p in past],
              [(found.id, "failed", "found", None), (late.id, "gone", "partly", False)])
        true(all(p["blocksLeft"] > 2048 for p in past), past)
        equal([("leadUSec" in p, "splitUSec" in p) for p in past], [(False, False), (True, False)])


@test
def found_of_strangers():
    """Whose VM it was is told of one that nobody announced, where the user is not trusted: he has a share of the history"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon, Vmm(user=STRANGER) as theirs, Vmm() as ours:
        for n, vmm in enumerate((theirs, ours), 1):
            vm = daemon.create_vm(vmm)
            daemon.wait_for_vm(vm.id)
            vm.log_dirty_pages(True)
            daemon.wait_for(vm.id, lambda vm: vm["migration"] == "active")
            vmm.kill()
            past = wait_for_history(daemon, n)
        equal([(p["pid"], p["prepared"], p["outcome"], p.get("sharer")) for p in past],
              [(theirs.pid, "found", "gone", STRANGER), (ours.pid, "found", "gone", None)])


def gone(daemon, vm, vmm):
    """Once the daemon knows that it is"""
    with daemon.client() as client:
        watch = client.watch_all()
        # The VMs that there are, first.
        while next(watch)["vm"]["vm"] != vm:
            pass
        vmm.kill()
        return next(said["vm"] for said in watch if said.get("gone"))


def in_time(scenario):
    """Plays it, and once more where the machine was too slow for what may be said for a while only: then it shows nothing."""
    while True:
        begun = time.monotonic()
        try:
            return scenario()
        except (AssertionError, Error):
            if time.monotonic() - begun < SETTLE_SECONDS:
                raise


@test
def vmm_ends_first():
    """How an announced migration ended may be said when its VM is gone: by any of its names, once"""
    in_time(end_first)


def end_first():
    with Daemon(**FAST) as daemon, Vmm() as a, Vmm() as b:
        for vmm, name in (a, "a"), (b, "b"):
            daemon.register(vmm, name)
            daemon.migrate(name, "active")
            gone(daemon, name, vmm)
        equal(history(daemon), [])
        equal(daemon.error("SetMigrationState", vm="a", migration="scheduled"), ("NoSuchVm", {"vm": "a"}))
        told = daemon.migrate("a", "completed")
        equal((told["vm"], told["migration"]), ("a", "completed"))
        daemon.wait_for_log("Its migration has ended, completed: dirty logging never began")
        equal(daemon.error("SetMigrationState", vm="a", migration="failed"), ("NoSuchVm", {"vm": "a"}))
        # By its process.
        daemon.migrate(str(b.pid), "failed")
        equal([(p["vm"], p["outcome"]) for p in history(daemon)], [("a", "completed"), ("b", "failed")])


@test
def gone_as_the_daemon_stops():
    """A daemon that stops has told of those of which nobody has said how they ended"""
    in_time(stop_when_gone)


def stop_when_gone():
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as another:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        gone(daemon, "guest", vmm)
        # What is said is of the VM that is there, if there is one of that name.
        daemon.register(another, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.migrate("guest", "cancelled")
        daemon.restart(signal.SIGTERM)
        past = wait_for_history(daemon, 2)
        equal([(p["pid"], p["outcome"]) for p in past], [(another.pid, "cancelled"), (vmm.pid, "gone")])


@test
def counted():
    """What has ended is counted, by how it was prepared and how it ended"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for _ in range(2):
            daemon.migrate("guest", "scheduled", deadlineUSec=1)
            daemon.migrate("guest", "cancelled")
        metrics = daemon.call(METRICS)["metrics"]
        equal([m for m in metrics["migrations"] if m["count"]],
              [{"prepared": "unused", "outcome": "cancelled", "count": 2}])
        equal((len(metrics["migrations"]), metrics["deadlinesMissed"], metrics["lead"]["count"]), (16, 2, 0))
        out = daemon.ctl("metrics")[1]
        for sample in 'eagersplitd_migrations_total{prepared="unused",outcome="cancelled"} 2', \
                "eagersplitd_deadlines_missed_total 2", 'eagersplitd_lead_time_seconds_bucket{le="60.0"} 0':
            true(sample + "\n" in out, out)


@test
def limits():
    """Asked for one VM, or for the last few, that is what comes"""
    with Daemon(**STUCK) as daemon, Vmm() as a, Vmm() as b:
        for vmm, name in (a, "a"), (b, "b"):
            daemon.register(vmm, name)
        for name in "a", "b", "a":
            daemon.migrate(name, "scheduled")
            daemon.migrate(name, "failed" if name == "b" else "cancelled")
        equal([p["vm"] for p in history(daemon)], ["a", "b", "a"])
        equal([p["vm"] for p in history(daemon, limit=2)], ["b", "a"])
        equal([p["vm"] for p in history(daemon, vm="b")], ["b"])
        equal(history(daemon, vm="nobody"), [])
        for limit in 0, 1001:
            equal(daemon.error("GetHistory", limit=limit),
                  ("org.varlink.service.InvalidParameter", {"parameter": "limit"}))


@test
def restarts():
    """It is there after a restart and a crash; what was under way then goes on"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.migrate("guest", "cancelled")
        daemon.wait_for("guest", lambda vm: vm["stage"] == "whole" and vm["blocks"] == 512)
        first = history(daemon)
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        for number in signal.SIGTERM, signal.SIGKILL:
            daemon.restart(number)
            equal(wait_for_history(daemon, 1), first)
        daemon.migrate("guest", "completed")
        past = history(daemon)
        equal([p["outcome"] for p in past], ["cancelled", "completed"])
        # Of the second, that was begun before the restarts.
        equal((past[1]["blocksSplit"], past[1]["splitUSec"] > past[1]["begunUSec"] > past[0]["endedUSec"]), (512, True))
        daemon.stop()
        with open(daemon.path("history"), encoding="utf-8") as f:
            equal([json.loads(line) for line in f], past)


@test
def hostile_file():
    """What is no history is passed over, and so is more than is kept"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.stop()
        with open(daemon.path("history"), "w", encoding="utf-8") as f:
            for n in range(1500):
                print(json.dumps({"vm": f"vm-{n}"}), file=f)
            f.write('\nnonsense\n{}\n{"vm":5}\n{"vm":"' + "x" * 5000 + '"}\n{"vm":"half')
        daemon.start_again()
        past = wait_for_history(daemon, 1000)
        equal([p["vm"] for p in past], [f"vm-{n}" for n in range(500, 1500)])
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.migrate("guest", "failed")
        past = history(daemon, limit=1000)
        equal((past[0]["vm"], past[-1]["vm"], len(past)), ("vm-501", "guest", 1000))


@test
def cannot_be_kept():
    """A folder that cannot be written to is told once; what has ended is told all the same"""
    with Daemon(environment={"STATE_DIRECTORY": "/nonexistent"}, **FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for _ in range(5):
            daemon.migrate("guest", "scheduled")
            daemon.migrate("guest", "failed")
        equal(len(history(daemon)), 5)
        daemon.stop()
        equal(daemon.log().count("is not kept: /nonexistent/history: No such file"), 1)


@test
def shown():
    """eagersplitctl history shows them, as a table and as JSON, of a VM by its name as it is or as it is shown"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest 1")
        daemon.migrate("guest 1", "scheduled", deadlineUSec=1)
        daemon.wait_for_stage("guest 1", "split")
        daemon.migrate("guest 1", "completed")
        status, out, err = daemon.ctl("history")
        equal((status, err), (0, ""))
        head, line = (line.split() for line in out.splitlines())
        equal(head, ["ENDED", "VM", "OUTCOME", "PREPARED", "LEAD", "LEFT", "SPLIT", "TLBIS", "STALL", "DEADLINE"])
        equal(line[2:], ["guest\\x201", "completed", "unused", "-", "-", "512", "512", "-", "missed"])
        for name in "guest 1", "guest\\x201":
            equal(json.loads(daemon.ctl("history", "--json", "--limit=1", name)[1]), {"migrations": history(daemon)})
        equal(daemon.ctl("history", "nobody")[1].count("\n"), 1)
        for wrong in "--limit=0", "--limit=x":
            equal(daemon.ctl("history", wrong)[0], 2)


if __name__ == "__main__":
    main()
