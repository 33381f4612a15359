#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VMMs that hand the daemon a splitter of their VM with Register, and what others hand it."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time

from harness import FAST, HIDDEN, STUCK, Caller, Daemon, SimVm, Vmm
from tap import Skip, equal, main, test, true

INTERFACE = "org.eagersplit.Manager."


@contextlib.contextmanager
def hidden_vm(daemon, vmm, number=0, **options):
    """A VM that the daemon does not find."""
    vm = SimVm(daemon.path("sim"), vmm, number=HIDDEN + number, **options)
    fd = vm.splitter()
    try:
        yield vm, fd
    finally:
        os.close(fd)


def count_fds(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


@test
def handed_over():
    """A VM is registered by its splitter, split, and known by the next daemon"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, hidden_vm(daemon, vmm) as (vm, fd), Caller(daemon) as caller:
        answer = caller.call("Register", [fd], pid=vmm.pid, name="guest", splitter=0)["vm"]
        equal((answer["vm"], answer["pid"], answer["uid"], answer["blocks"]), ("guest", vmm.pid, os.getuid(), 512))
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        equal((vm.held, vm.blocks), (True, 0))
        daemon.restart(signal.SIGKILL)
        seen = daemon.wait_for_stage("guest", "split")
        equal((seen["migration"], seen["uid"]), ("scheduled", os.getuid()))
        vm.destroy()
        with contextlib.suppress(Exception):
            daemon.wait_for("guest", lambda vm: False)
        equal(daemon.call("ListVms")["vms"], [])


@test
def same_vm():
    """A VM that was found is the same one when its splitter is handed over, and is not registered twice"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Caller(daemon) as caller:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        for expected in {"vm": "guest"}, INTERFACE + "VmExists":
            fd = vm.splitter()
            answer = caller.call("Register", [fd], pid=vmm.pid, name="guest", splitter=0)
            os.close(fd)
            if isinstance(expected, str):
                equal(answer, expected)
            else:
                equal(answer["vm"]["vm"], "guest")
        equal([vm["vm"] for vm in daemon.call("ListVms")["vms"]], ["guest"])


@test
def no_splitters():
    """What is no splitter, and a splitter of a VM that is gone, is refused and closed"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, hidden_vm(daemon, vmm) as (vm, fd), Caller(daemon) as caller:
        fifo = os.path.join(daemon.folder, "splitter-1.0-7-x")
        os.mkfifo(fifo)
        pair = socket.socketpair()
        pipe = os.pipe()
        wrong = [os.open("/dev/null", os.O_RDWR), os.open(fifo, os.O_RDWR | os.O_NONBLOCK), pair[0].fileno(),
                 pipe[0], os.memfd_create("m"), os.pidfd_open(vmm.pid), os.open(daemon.folder, os.O_RDONLY)]
        for w in wrong:
            equal(caller.call("Register", [w], pid=vmm.pid, splitter=0), INTERFACE + "NotAVmm")
        vm.destroy()
        equal(caller.call("Register", [fd], pid=vmm.pid, splitter=0), INTERFACE + "NoSuchProcess")
        # The other end tells that the daemon has closed its own.
        pair[0].close()
        equal(pair[1].recv(1), b"")
        equal(daemon.call("ListVms")["vms"], [])


@test
def not_asked_for():
    """Descriptors that no call asked for, too many at once, and without a call, are closed"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Caller(daemon) as caller:
        for method, fds in ("GetHost", 1), ("ListVms", 8), ("Nonsense", 1), ("Register", 1):
            pairs = [socket.socketpair() for _ in range(fds)]
            answer = caller.call(method, [a.fileno() for a, _ in pairs], **({"pid": 1 << 30} if method == "Register" else {}))
            true(answer is not None, method)
            for a, b in pairs:
                a.close()
                equal(b.recv(1), b"", method)
        # Half a call, and then nobody.
        with Caller(daemon) as other:
            a, b = socket.socketpair()
            socket.send_fds(other.socket, [b'{"method"'], [a.fileno()])
            equal(other.socket.send(b":"), 1)
            a.close()
        equal(b.recv(1), b"")
        # None where one was announced, or with a number that is none.
        for parameters in {"splitter": 0}, {"splitter": 1}, {"splitter": -1}:
            equal(caller.call("Register", pid=vmm.pid, **parameters), "org.varlink.service.InvalidParameter")


@test
def pipelined():
    """A descriptor belongs to the calls that it came with: those before it leave it alone"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, hidden_vm(daemon, vmm) as (vm, fd), Caller(daemon) as caller:
        for _ in range(5):
            caller.send("GetHost")
        caller.send("Register", [fd], pid=vmm.pid, name="guest", splitter=0)
        caller.send("GetVm", vm="guest")
        for _ in range(5):
            true("host" in caller.reply(), "GetHost")
        equal(caller.reply()["vm"]["vm"], "guest")
        equal(caller.reply()["vm"]["blocks"], vm.blocks)


def as_nobody(function):
    """What it returns in a process of another user."""
    results = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(results[1], json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(results[1])
    with os.fdopen(results[0], "rb") as f:
        result = json.load(f)
    os.waitpid(pid, 0)
    return result


@test
def by_others():
    """Another user may register his own process with a splitter of it, and nothing else"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon, Vmm() as roots:
        os.chmod(daemon.folder, 0o755)
        os.chmod(daemon.socket_path, 0o666)
        vm = SimVm(daemon.path("sim"), roots)
        daemon.wait_for_vm(vm.id)
        fd = vm.splitter()

        def calls():
            with Caller(daemon) as caller:
                return [caller.call("Register", pid=os.getpid(), name="x"),
                        caller.call("Register", [fd], pid=roots.pid, name="x", splitter=0),
                        caller.call("Register", [fd], pid=os.getpid(), name="x", splitter=0),
                        caller.call("Register", [fd], pid=os.getpid(), name="x", splitter=0),
                        caller.call("Unregister", [fd], vm="x")]

        answers = as_nobody(calls)
        os.close(fd)
        denied = "org.varlink.service.PermissionDenied"
        equal([answers[0], answers[1], answers[4]], [denied, denied, denied])
        # Once is enough.
        equal(answers[3], INTERFACE + "VmExists")
        # The VM is that of the splitter, and called what it was: that is no user who is trusted.
        equal(answers[2]["vm"]["vm"], vm.id)
        equal(daemon.register(roots, "x")["vm"], "x")


@test
def told_of_others():
    """What another user registers is told of within his quota of messages, and what root does beyond it"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other, contextlib.ExitStack() as stack:
        os.chmod(daemon.folder, 0o755)
        os.chmod(daemon.socket_path, 0o666)
        fds = [stack.enter_context(hidden_vm(daemon, vmm, number=n, blocks=1))[1] for n in range(300)]

        def calls():
            with Caller(daemon) as caller:
                for fd in fds:
                    caller.send("Register", [fd], pid=os.getpid(), splitter=0)
                return [caller.reply() for _ in fds]

        begun = time.monotonic()
        true(all("vm" in answer for answer in as_nobody(calls)), "registered")
        seconds = time.monotonic() - begun
        daemon.register(other, "guest")
        log = daemon.wait_for_log(f"guest: Registered by process {os.getpid()}")
        # Two messages for each, of which there are 500 in 30 s.
        told = len(re.findall(r": \d+\.\d+: Registered", log))
        true(0 < told <= 500 * (1 + seconds // 30), f"{told} messages in {seconds} s")


@test
def by_another_of_that_id():
    """Who has connected with the id of a process that is another user's by now registers nothing with it"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon, Vmm() as vmm, hidden_vm(daemon, vmm) as (_, fd):
        os.chmod(daemon.folder, 0o755)
        os.chmod(daemon.socket_path, 0o666)
        said = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                # Connected as another, and root by then.
                os.seteuid(65534)
                with Caller(daemon) as caller:
                    os.seteuid(0)
                    os.write(said[1], json.dumps(caller.call("Register", [fd], pid=os.getpid(), splitter=0)).encode())
            finally:
                os._exit(0)
        os.close(said[1])
        with os.fdopen(said[0], "rb") as f:
            equal(json.load(f), "org.varlink.service.PermissionDenied")
        os.waitpid(pid, 0)
        equal(daemon.call("ListVms")["vms"], [])


@test
def many():
    """1000 descriptors of strangers leave none behind, and keep nobody"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        before = count_fds(daemon)

        def hand_over():
            with Caller(daemon) as caller:
                for _ in range(250):
                    a, b = socket.socketpair()
                    caller.call("GetHost", [a.fileno()])
                    a.close()
                    equal(b.recv(1), b"")
                    b.close()

        threads = [threading.Thread(target=hand_over) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        daemon.call("GetHost")
        # The connections are closed once the daemon has seen it.
        while count_fds(daemon) > before:
            daemon.call("GetHost")


if __name__ == "__main__":
    main()
