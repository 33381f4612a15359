#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Watch: what it tells, and what it costs."""

import socket
import time

from harness import FAST, INTERFACES, STUCK, Daemon, Vmm
from tap import alive, equal, main, test, true
from varlink import Error


@test
def expected_more():
    """Watch without "more" is refused"""
    with Daemon(**FAST) as daemon:
        equal(daemon.error("Watch"), ("org.varlink.service.ExpectedMore", {}))


@test
def wants_no_answer():
    """Who asks for a watch and wants no answer gets none, and the next call is answered"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        daemon.register(vmm, "guest")
        client.send("Watch", more=True, oneway=True)
        equal(list(client.call("GetHost")), ["host"])


@test
def state_first():
    """A watch begins with what the VM is now"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        registered = daemon.register(vmm, "guest")
        equal(next(client.watch("guest")), registered)


@test
def all_vms():
    """A watch of all VMs tells of each, and of those that come later"""
    with Daemon(**FAST) as daemon, Vmm() as a, Vmm() as b, daemon.client() as client:
        daemon.register(a, "a")
        watch = client.watch()
        equal(next(watch)["vm"], "a")
        daemon.register(b, "b")
        while next(watch)["vm"] != "b":
            pass
        daemon.migrate("a", "scheduled")
        daemon.migrate("b", "scheduled")
        missing = {"a", "b"}
        while missing:
            vm = next(watch)
            if vm["stage"] == "split":
                missing.discard(vm["vm"])


@test
def gone():
    """Who watches all VMs is told of one that has gone, and of one that is unregistered; who watches one, no more"""
    with Daemon(**FAST) as daemon, Vmm() as a, daemon.client() as client:
        with Vmm() as b:
            daemon.register(a, "a")
            daemon.register(b, "b")
            watch = client.watch_all()
            equal({next(watch)["vm"]["vm"] for _ in range(2)}, {"a", "b"})
            b.exit()
            told = next(said for said in watch if said.get("gone"))
            equal((told["vm"]["vm"], told["vm"]["pid"]), ("b", b.pid))
        daemon.call("Unregister", vm="a")
        # A scan that had come across b's VM just before its end may tell of it, and of its end, once more.
        told = next(said for said in watch if said.get("gone") and said["vm"]["pid"] != b.pid)
        equal((told["vm"]["vm"], told["vm"]["pid"]), ("a", a.pid))


@test
def every_stage():
    """Each change of stage is told, in order"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        daemon.register(vmm, "guest")
        watch = client.watch("guest")
        seen = [next(watch)]

        def until(stage, migration):
            while (seen[-1]["stage"], seen[-1]["migration"]) != (stage, migration):
                seen.append(next(watch))

        daemon.migrate("guest", "scheduled")
        until("split", "scheduled")
        daemon.migrate("guest", "active")
        until("split", "active")
        daemon.migrate("guest", "cancelled")
        until("whole", "cancelled")
        stages = [vm["stage"] for vm in seen]
        changes = [s for i, s in enumerate(stages) if i == 0 or s != stages[i - 1]]
        equal(changes, ["whole", "splitting", "split", "recovering", "whole"])
        split = [vm["blocksSplit"] for vm in seen]
        equal(split, sorted(split), "blocksSplit never falls")


@test
def progress_is_bounded():
    """Progress is told at most ten times a second, and states all the same"""
    with Daemon(TlbiRate=2000, TlbiBurst=1, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm, \
            daemon.client() as client:
        daemon.register(vmm, "guest")
        watch = client.watch("guest")
        states = {("whole", "none")}
        progress = 0
        next(watch)
        start = time.monotonic()
        daemon.migrate("guest", "scheduled")
        for vm in watch:
            state = vm["stage"], vm["migration"]
            if state in states:
                progress += 1
            states.add(state)
            if vm["stage"] == "split":
                break
        # However slow this machine is: the longer it took, the more were allowed.
        allowed = 10 * (time.monotonic() - start) + 1
        true(0 < progress <= allowed, f"{progress} replies, {allowed} allowed")


@test
def two_watches():
    """Two watches of one VM are both told, and one that ends leaves the other"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as one, daemon.client() as two:
        daemon.register(vmm, "guest")
        first, second = one.watch("guest"), two.watch()
        next(first)
        next(second)
        one.close()
        daemon.migrate("guest", "scheduled")
        while next(second)["stage"] != "split":
            pass


@test
def vm_gone():
    """A watch of a VM that is unregistered, or whose VMM exits, ends with NoSuchVm"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        for victim, name, end in (
            (vmm, "a", lambda: daemon.call("Unregister", vm="a")),
            (other, "b", other.exit),
        ):
            daemon.register(victim, name)
            with daemon.client() as client, daemon.client() as everything:
                watch = client.watch(name)
                next(watch)
                next(everything.watch())
                client.send("org.varlink.service.GetInfo")
                end()
                try:
                    for _ in watch:
                        pass
                    raise AssertionError("the watch went on")
                except Error as error:
                    equal((error.name, error.parameters),
                          ("org.eagersplit.Manager.NoSuchVm", {"vm": name}))
                # What was sent after the watch is answered after it.
                equal(client.reply()[0]["interfaces"], INTERFACES)


@test
def half_closed():
    """A watch goes on for a client that has said all it has to say"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        daemon.register(vmm, "guest")
        watch = client.watch("guest")
        next(watch)
        client.socket.shutdown(socket.SHUT_WR)
        daemon.migrate("guest", "scheduled")
        while next(watch)["stage"] != "split":
            pass


@test
def slow_reader():
    """A client that does not read its watch loses no state, and disturbs nobody"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, daemon.client() as slow, daemon.client() as fast:
        daemon.register(vmm, "guest")
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.send("Watch", more=True, vm="guest")
        slow.reply()
        rounds = 600
        for _ in range(rounds):
            alive()
            fast.call("SetMigrationState", vm="guest", migration="scheduled")
            fast.call("SetMigrationState", vm="guest", migration="cancelled")
        told = []
        while told.count("cancelled") < rounds or told.count("scheduled") < rounds:
            migration = slow.reply()[0]["vm"]["migration"]
            if not told or told[-1] != migration:
                told.append(migration)
        equal(told, ["scheduled", "cancelled"] * rounds)


@test
def never_reads():
    """A client that never reads its watch loses the connection before it costs memory"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, daemon.client() as idle, daemon.client() as busy:
        daemon.register(vmm, "guest")
        idle.send("Watch", more=True, vm="guest")
        idle.reply()
        calls = 0
        while "leaves its replies unread" not in daemon.log():
            for _ in range(500):
                busy.send("SetMigrationState", oneway=True, vm="guest", migration="scheduled")
                busy.send("SetMigrationState", oneway=True, vm="guest", migration="cancelled")
            busy.call("GetHost")
            calls += 1000
            alive()
            true(calls < 1000000, "the connection is never closed")
        equal(daemon.call("GetVm", vm="guest")["vm"]["vm"], "guest")


if __name__ == "__main__":
    main()
