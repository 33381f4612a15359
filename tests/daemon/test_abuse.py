#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that behave as badly as they can: the others are served, and memory stays small."""

import contextlib
import fcntl
import json
import os
import resource
import socket
import time
import traceback

from harness import FAST, FAULTS, HIDDEN, STUCK, Caller, Daemon, SimVm, Vmm, with_faults
from tap import Skip, equal, main, test, true
from varlink import INTERFACE, Client

USERS = range(60001, 60006)
CONNECTIONS = 10000
# Of the daemon's own; the rest of the machine is not ours to use up.
MEMORY_KIB = 48 << 10


def assert_small(daemon):
    """The daemon's memory has never been large."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        kib = dict(line.split(":", 1) for line in f)
    # The address sanitizer maps terabytes, and keeps what was freed for a while.
    if int(kib["VmSize"].split()[0]) < 1 << 30:
        peak = int(kib["VmHWM"].split()[0])
        true(peak < MEMORY_KIB, f"{peak} KiB")


def assert_serves(daemon):
    true("host" in daemon.call("GetHost"), "the daemon serves")


def open_to_all(daemon):
    os.chmod(daemon.folder, 0o755)
    os.chmod(daemon.socket_path, 0o666)


@contextlib.contextmanager
def crowd(uid, function):
    """
    Runs it in a process of that user, which it tells when it has come to its yield, and
    which goes on when the context is left.
    """
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with function():
                theirs.send(b".")
                theirs.recv(1)
            os._exit(0)
        except BaseException:  # whatever it is, it ends here
            traceback.print_exc()
        finally:
            os._exit(1)
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, f"what user {uid} did")


@contextlib.contextmanager
def open_many(daemon, n):
    """Connections that nobody closes."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(daemon.client()) for _ in range(n)]


@test
def ten_thousand_connections():
    """Ten thousand connections opened and left: the others get in while they come, and after"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 100:
        raise Skip(f"needs {CONNECTIONS} descriptors, {hard} are allowed")
    with Daemon(**FAST) as daemon:
        open_to_all(daemon)
        # The daemon keeps the limit it was started with.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            with crowd(USERS[0], lambda: open_many(daemon, CONNECTIONS)) as opened:
                opened.setblocking(False)
                served = 0
                while True:
                    assert_serves(daemon)
                    served += 1
                    with contextlib.suppress(BlockingIOError):
                        equal(opened.recv(1), b".")
                        break
                assert_serves(daemon)
                connections = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["connections"]
                true(connections["refused"] >= CONNECTIONS - 64, connections)
                true(connections["current"] <= 64 + 2, connections)
                true(served > 0, "served meanwhile")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert_serves(daemon)
        assert_small(daemon)
        true(daemon.whole_log().count("one too many") < 100, "the log is not flooded")


@test
def many_users():
    """However many users take all they may, there is room for root"""
    with Daemon(**FAST) as daemon, contextlib.ExitStack() as stack:
        open_to_all(daemon)
        for uid in USERS:
            opened = stack.enter_context(crowd(uid, lambda: open_many(daemon, 64)))
            equal(opened.recv(1), b".")
        # Those that come behind the crowd are answered after it has been let in.
        with open_many(daemon, 10) as clients:
            for client in clients:
                true("host" in client.call("GetHost"), "root is served")
            connections = clients[0].call("org.eagersplit.Metrics.GetMetrics")["metrics"]["connections"]
        equal(connections["current"], 240 + 10)
        equal(connections["refused"], 64 * len(USERS) - 240)


@test
def never_reads_its_replies():
    """A client that calls and calls and never reads is not read any more, and costs little"""
    call = json.dumps({"method": "org.varlink.service.GetInterfaceDescription",
                       "parameters": {"interface": INTERFACE}}).encode() + b"\0"
    calls = call * 1000
    with Daemon(**FAST) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.client()) for _ in range(50)]
        sent = dict.fromkeys(clients, 0)
        for client in clients:
            client.socket.setblocking(False)

        def send_more(client):
            """As much as goes; whether anything went."""
            before = sent[client]
            with contextlib.suppress(BlockingIOError):
                while True:
                    # On from where it was cut off, in the middle of a call.
                    sent[client] += client.socket.send(calls[sent[client] % len(call):])
            return sent[client] > before

        # Until nobody can send any more, though the daemon has been round: it has stopped to read.
        while any([send_more(client) for client in clients]):
            assert_serves(daemon)
        assert_serves(daemon)
        true(min(sent.values()) > 100 * len(call), sent.values())
        assert_small(daemon)
        true("Closing" not in daemon.whole_log(), daemon.log())


@test
def watches_that_nobody_reads():
    """Sixty watches that nobody reads lose their connections before they cost much memory"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, contextlib.ExitStack() as stack:
        daemon.register(vmm, "g" * 128)
        for _ in range(60):
            client = stack.enter_context(daemon.client())
            client.send("Watch", more=True)
            client.reply()
        busy = stack.enter_context(daemon.client())
        dropped = 0
        while dropped < 60:
            for _ in range(250):
                for state in "scheduled", "cancelled":
                    busy.send("SetMigrationState", oneway=True, vm="g" * 128, migration=state)
            metrics = busy.call("org.eagersplit.Metrics.GetMetrics")["metrics"]
            dropped = metrics["connections"]["dropped"]
        equal(metrics["connections"]["current"] + 0, metrics["connections"]["accepted"] - 61)
        assert_serves(daemon)


@test
def asking_again_and_again():
    """Whoever asks for a VM all the time has it surveyed once a second, and gets an answer each time"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        daemon.register(vmm, "guest")

        def surveys():
            calls = client.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["calls"]
            return next(c["count"] for c in calls if c["operation"] == "survey")

        start, before = time.monotonic(), surveys()
        while surveys() == before:
            for _ in range(100):
                client.send("GetVm", vm="guest")
            for _ in range(100):
                equal(client.reply()[0]["vm"]["memslots"][0]["blocks"], 512)
        # However slow this machine is: the longer it took, the more were allowed.
        made, allowed = surveys() - before, time.monotonic() - start + 1
        true(made <= allowed, f"{made} surveys, {allowed:.1f} allowed")


@test
def byte_at_a_time():
    """Fifty clients that send their calls byte by byte, all at the same time, are all answered"""
    call = json.dumps({"method": f"{INTERFACE}.GetHost"}).encode() + b"\0"
    with Daemon(**FAST) as daemon, open_many(daemon, 50) as clients:
        for byte in call:
            for client in clients:
                client.send_raw(bytes([byte]))
            assert_serves(daemon)
        for client in clients:
            true("host" in client.reply()[0], "the slow one is answered")


@test
def vanishing():
    """Clients that vanish in the middle of whatever they do leave nothing behind"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, daemon.client() as witness:
        daemon.register(vmm, "guest")

        def half(client):
            client.send_raw(b'{"method":"org.eagersplit.Manager.Unreg')

        def watching(client):
            client.send("Watch", more=True)

        def surveying(client):
            client.send("GetVm", vm="guest")

        def reading(client):
            client.send("Watch", more=True)
            client.reply()

        def pipelining(client):
            for _ in range(20):
                client.send("ListVms")

        for _ in range(200):
            for action in half, watching, surveying, reading, pipelining:
                client = Client(daemon.socket_path)
                action(client)
                client.close()
            assert_serves(daemon)
        while (metrics := witness.call("org.eagersplit.Metrics.GetMetrics")["metrics"]
               )["connections"]["current"] > 1:
            pass
        equal(metrics["connections"]["accepted"] + metrics["connections"]["refused"], 200 * 6 + 2)
        equal(daemon.call("GetVm", vm="guest")["vm"]["vm"], "guest")
        assert_small(daemon)


def registers(daemon):
    """How many calls of Register have been read, answered or not."""
    methods = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["methods"]
    return next(m["calls"] for m in methods if m["method"] == f"{INTERFACE}.Register")


@contextlib.contextmanager
def register_and_leave(daemon, vmm, fd, n):
    """Each is left behind once the daemon has it."""
    for i in range(n):
        with Caller(daemon) as caller:
            caller.send("Register", [fd], pid=vmm.pid, splitter=0)
            while registers(daemon) <= i:
                pass
    yield


@contextlib.contextmanager
def register_and_stay(daemon, vmm, fd, name):
    """The answer is waited for in the end."""
    with Caller(daemon) as caller:
        before = registers(daemon)
        caller.send("Register", [fd], pid=vmm.pid, name=name, splitter=0)
        while registers(daemon) == before:
            pass
        yield
        equal(caller.reply()["vm"]["uid"], os.getuid())


@test
def registering_and_leaving():
    """A thousand times Register and away, while looks at splitters last: no descriptors for that, and others' goes on"""
    if not os.path.exists(FAULTS):
        raise Skip("what has files be slow is part of a build, not of what is installed")
    with Daemon(**FAST) as daemon, contextlib.ExitStack() as stack:
        his, others = (stack.enter_context(Vmm(user=uid)) for uid in USERS[:2])
        with open(daemon.path("gate"), "wb") as gate:
            # Looking at the splitter opens the VM's file.
            daemon._environment |= with_faults(FAKE_SLOW=f"{his.pid}.{HIDDEN}", FAKE_GATE=gate.name)
            daemon.restart()
            open_to_all(daemon)
            fcntl.flock(gate, fcntl.LOCK_EX)
            fds = []
            for vmm in his, others:
                fds.append(SimVm(daemon.path("sim"), vmm, number=HIDDEN).splitter())
                stack.callback(os.close, fds[-1])
            folder = f"/proc/{daemon.process.pid}/fd"
            before = len(os.listdir(folder))
            with crowd(USERS[0], lambda: register_and_leave(daemon, his, fds[0], 1000)) as left:
                equal(left.recv(1), b".")
                opened = len(os.listdir(folder)) - before
                true(opened < 64 + 32, f"{opened} descriptors more")
                with crowd(USERS[1], lambda: register_and_stay(daemon, others, fds[1], "other")) as stays:
                    equal(stays.recv(1), b".")
                    assert_serves(daemon)
                    fcntl.flock(gate, fcntl.LOCK_UN)
        equal({vm["pid"] for vm in daemon.call("ListVms")["vms"]}, {his.pid, others.pid})
        assert_small(daemon)


if __name__ == "__main__":
    main()
