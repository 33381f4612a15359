#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Deadlines: who gets more of the budget, and who is told in time that it will not do."""

import re
import time

from harness import Daemon, Vmm
from tap import equal, main, test, true


def in_seconds(seconds):
    return int((time.time() + seconds) * 1e6)


@test
def late_at_once():
    """What the budget cannot do is said with the first survey, in Watch, GetVm, ctl and the journal"""
    # A block a second, for longer than a test may take: what is left is known however long that is.
    with Daemon(TlbiRate=1, TlbiBurst=1, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        # 2048 blocks: 34 minutes.
        daemon.migrate("guest", "scheduled", deadlineUSec=in_seconds(36000))
        true(not daemon.call("GetVm", vm="guest")["vm"]["late"], "ten hours are enough")
        before = time.time()
        daemon.migrate("guest", "scheduled", deadlineUSec=int((before + 1200) * 1e6))
        vm = daemon.wait_for("guest", lambda vm: vm["late"])
        true(vm["blocksSplit"] < 512, f"said after {vm['blocksSplit']} of 2048 blocks")
        status, out, _ = daemon.ctl("status", "guest")
        equal(status, 0)
        true("will be missed" in out, out)
        late = re.search(r"Late: split in (\S+) s, (\S+) s after its deadline", daemon.wait_for_log("Late: split"))
        true(late, daemon.log())
        in_sec, after_sec = map(float, late.groups())
        true(1500 < in_sec < 2060, daemon.log())
        # By as much it is too long for what was left until the deadline, when that was said.
        true(before + 1200 - time.time() - 1 < in_sec - after_sec < 1200 + 1, daemon.log())


@test
def eta_before_the_first_block():
    """The ETA is there from the first survey on"""
    with Daemon(TlbiRate=10, TlbiBurst=1, Memory="2G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        vm = daemon.migrate("guest", "scheduled")
        equal(vm["blocksSplit"], 0)
        true(100e6 < vm["etaUSec"] <= 103e6, vm)


@test
def the_earlier_first():
    """Of VMs that need more than there is, the one with the earlier deadline gets most"""
    with Daemon(TlbiRate=20, TlbiBurst=1, Memory="2G", TlbiUSec=0) as daemon, Vmm() as a, Vmm() as b, \
            Vmm() as c:
        def blocks_split():
            """At one time, whenever that is."""
            return {vm["vm"]: vm["blocksSplit"] for vm in daemon.call("ListVms")["vms"]}

        for vmm, name in (a, "none"), (b, "later"), (c, "sooner"):
            daemon.register(vmm, name)
        # 51 seconds each.
        daemon.migrate("sooner", "scheduled", deadlineUSec=in_seconds(40))
        daemon.migrate("later", "scheduled", deadlineUSec=in_seconds(50))
        daemon.migrate("none", "scheduled")
        before, shown = blocks_split(), False
        # Of a while in which this machine stood still that is not so: of one of those that there are it is.
        while not shown:
            daemon.wait_for("sooner", lambda vm: vm["blocksSplit"] >= before["sooner"] + 50 or vm["stage"] == "split")
            now = blocks_split()
            meanwhile = {name: now[name] - before[name] for name in now}
            most = max(meanwhile["later"], meanwhile["none"])
            shown = meanwhile["sooner"] >= 50 and most < 0.4 * meanwhile["sooner"]
            true(shown or now["sooner"] < 1024, now)
            before = now


@test
def made_late_by_another():
    """A VM that would have been in time is told when another one takes its place"""
    # A TLBI a second: a host that is busy for longer than that for one would be too slow.
    with Daemon(TlbiRate=1, TlbiBurst=1, Memory="102M", TlbiUSec=0) as daemon, Vmm() as a, Vmm() as b, \
            daemon.client() as client:
        daemon.register(a, "first")
        daemon.register(b, "second")
        # 51 seconds each: one of them is in time, both are not.
        daemon.migrate("first", "scheduled", deadlineUSec=in_seconds(90))
        watch = client.watch("first")
        true(not next(watch)["late"], "in time")
        daemon.migrate("second", "scheduled", deadlineUSec=in_seconds(80))
        while not next(watch)["late"]:
            pass
        true(not daemon.call("GetVm", vm="second")["vm"]["late"], "the second is in time")
        log = daemon.wait_for_log("first: Late: ")
        true("second: Late: " not in log, log)


@test
def late_by_time():
    """A VM of which nothing is new is said to be late once its deadline has passed"""
    with Daemon(TlbiRate=0, Memory="8G", TlbiUSec=1000000) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        text, seconds = "guest: Late: not split, and its deadline has passed", 1
        while True:
            said = daemon.whole_log().count(text)
            if not daemon.migrate("guest", "scheduled", deadlineUSec=in_seconds(seconds))["late"]:
                break
            # This machine was too slow for that.
            seconds *= 2
        while daemon.log().count(text) == said:
            # So that there is something to be said, of which it is no part.
            daemon.call("Reload")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
