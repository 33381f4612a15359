#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the service manager sees: sd_notify(), the watchdog, a socket that is passed."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

from harness import CTL, DAEMON, FAST, STUCK, Daemon, NotifySocket, Vmm
from tap import Skip, equal, main, test, true
from varlink import Client


@test
def ready_and_stopping():
    """READY=1 comes once the socket answers, STOPPING=1 when it is told to stop"""
    with Daemon(**FAST) as daemon:
        true("host" in daemon.call("GetHost"), "it answers")
        daemon.kill(signal.SIGTERM)
        daemon.notify.wait_for("STOPPING", "1")
        equal(daemon.process.wait(), 0)


@test
def reloading():
    """SIGHUP gives RELOADING=1 with the time, and READY=1 when it is done"""
    with Daemon(**FAST) as daemon:
        for _ in range(3):
            daemon.kill(signal.SIGHUP)
            message = daemon.notify.wait_for("RELOADING", "1")
            true(int(message["MONOTONIC_USEC"]) > 0, message)
            daemon.notify.wait_for("READY", "1")


@test
def watchdog():
    """WATCHDOG=1 comes again and again, also while a VM is being split"""
    for settings in FAST, STUCK, {"TlbiRate": 0, "Memory": "64G", "TlbiUSec": 1000}:
        with Daemon(environment={"WATCHDOG_USEC": "200000"}, **settings) as daemon, Vmm() as vmm:
            daemon.register(vmm, "guest")
            daemon.migrate("guest", "scheduled")
            for _ in range(3):
                daemon.notify.wait_for("WATCHDOG", "1")


@test
def no_watchdog():
    """Without WATCHDOG_USEC, or with another process meant, there are none"""
    for environment in {}, {"WATCHDOG_USEC": "10000", "WATCHDOG_PID": "1"}:
        with Daemon(environment=environment, **FAST) as daemon:
            # Ten of what would be said.
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                daemon.kill(signal.SIGHUP)
                message = {}
                while "READY" not in message:
                    message = daemon.notify.receive()
                    true(not message.keys() & {"WATCHDOG", "EXITED"}, message)


class DeafManager:
    """A service manager that does not read what it is told, and has no room for more of it."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.fill()

    def fill(self):
        took = True
        while took:
            took = False
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while s.sendto(b"FULL", self.path):
                        took = True

    def listen(self):
        """What it is told from then on: the message, and how many descriptors came with it."""
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 8)
            for fd in fds:
                os.close(fd)
            if data != b"FULL":
                yield data.decode(), len(fds)


@contextlib.contextmanager
def unheard(**settings):
    """A daemon and its service manager, which does not listen."""
    with tempfile.TemporaryDirectory() as folder:
        manager = DeafManager(os.path.join(folder, "notify.sock"))
        daemon = Daemon(environment={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "100000"}, **settings)
        try:
            daemon.wait_for_log("Ready: ")
            yield daemon, manager
        except BaseException as error:
            daemon.__exit__(type(error), error, None)
            raise
        else:
            daemon.__exit__(None, None, None)
        finally:
            manager.socket.close()


@test
def service_manager_that_does_not_listen():
    """Calls are answered, VMs found, split and kept, and SIGTERM ends it, though nobody reads what it says"""
    for settings in FAST, STUCK:
        with unheard(**settings) as (daemon, _), Vmm() as vmm, Vmm() as other:
            for n in range(20):
                daemon.register(vmm, "guest")
                daemon.migrate("guest", "scheduled")
                daemon.call("Reload")
                daemon.kill(signal.SIGHUP)
                if n % 2:
                    daemon.migrate("guest", "failed")
                daemon.call("Unregister", vm="guest")
            vm = daemon.create_vm(other)
            daemon.wait_for_vm(vm.id)
            daemon.kill(signal.SIGTERM)
            equal(daemon.process.wait(), 0)


@test
def service_manager_that_listens_late():
    """Once somebody reads, it is told all that holds by then: ready, status, the watchdog's, and what to keep"""
    with unheard(**FAST) as (daemon, manager), contextlib.ExitStack() as stack:
        expected = {"READY=1", "WATCHDOG=1", "STATUS=3 VMs"}
        for _ in range(3):
            vm = daemon.create_vm(stack.enter_context(Vmm()))
            daemon.wait_for_vm(vm.id)
            expected.add(f"FDSTORE=1\nFDNAME=vm-{vm.vm_id}")
        for message, n_fds in manager.listen():
            equal(n_fds, int("FDSTORE=" in message), message)
            # What is told in time goes on, of course.
            expected.discard(message)
            if not expected:
                break


@contextlib.contextmanager
def second_daemon(daemon, listener):
    """Another daemon, started as systemd does: the socket is fd 3, LISTEN_PID its own."""
    notify = NotifySocket(daemon.path("notify2.sock"))
    # Of its own, as one at a time works in a folder.
    os.makedirs(daemon.path("second"), exist_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(listener.fileno(), 3)
            os.set_inheritable(3, True)
            os.execve(DAEMON, [DAEMON, f"--config={daemon.config}", f"--socket={daemon.path('second/control.sock')}"],
                      dict(os.environ, LISTEN_FDS="1", LISTEN_PID=str(os.getpid()),
                           NOTIFY_SOCKET=notify.path))
        finally:
            os._exit(127)
    try:
        yield notify
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    else:
        os.kill(pid, signal.SIGTERM)
        equal(os.waitpid(pid, 0)[1], 0, "status of the second daemon")
    finally:
        notify.close()


@contextlib.contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(16)
        yield listener


@test
def activation():
    """A listening socket that is passed is used; calls made before the start are answered"""
    with Daemon(**FAST) as daemon:
        path = daemon.path("passed.sock")
        with listening(path) as listener, Client(path) as early:
            early.send("GetHost")
            with second_daemon(daemon, listener) as notify:
                notify.wait_for("READY", "1")
                true("host" in early.reply()[0], "the call that started it")
                r = subprocess.run([CTL, f"--socket={path}", "list"], capture_output=True,
                                   check=False)
                equal(r.returncode, 0)
            # It is the service manager's: the next start listens on it again.
            true(os.path.exists(path), "the socket is still there")
            with Client(path):
                pass


@test
def activation_survives_restart():
    """After a restart with the same socket, a client that waited is served by the second"""
    with Daemon(**FAST) as daemon:
        path = daemon.path("passed.sock")
        with listening(path) as listener:
            for _ in range(2):
                with Client(path) as client:
                    client.send("ListVms")
                    with second_daemon(daemon, listener):
                        equal(client.reply()[0], {"vms": []})


@test
def one_at_a_time():
    """A second daemon on the same folder, which would spend the budget once more, does not start"""
    with Daemon(**STUCK) as daemon:
        command = [DAEMON, f"--config={daemon.config}", f"--socket={daemon.path('other.sock')}"]
        r = subprocess.run(command, capture_output=True, text=True, check=False)
        equal((r.returncode, r.stderr), (1, f"eagersplitd: Another eagersplitd is at work in {daemon.folder}\n"))
        equal(daemon.call("ListVms"), {"vms": []})
        daemon.restart(signal.SIGKILL)


@test
def bad_command_line():
    """Options that make no sense are refused; --version and --help are answered"""
    for arguments in ["--nonsense"], ["extra"], ["--backend=magic"], ["--config"]:
        r = subprocess.run([DAEMON, *arguments], capture_output=True, text=True, check=False)
        equal(r.returncode, 2, arguments)
        true(re.fullmatch(r".*eagersplitd: .+\nTry: eagersplitd --help\n", r.stderr), (arguments, r.stderr))
    for arguments in ["--version"], ["--help"]:
        r = subprocess.run([DAEMON, *arguments], capture_output=True, text=True, check=False)
        equal((r.returncode, r.stderr), (0, ""), arguments)
        true("eagersplitd" in r.stdout, r.stdout)


@test
def backend_option():
    """--backend overrides the configuration"""
    with Daemon(arguments=["--backend=sim"], Backend="kvm") as daemon:
        equal(daemon.call("GetHost")["host"]["backend"], "sim")
        # That of the configuration has not changed, nor has what overrides it.
        for _ in range(2):
            daemon.call("Reload")
        true("Backend=" not in daemon.whole_log(), daemon.log())


@test
def kvm_without_the_ioctls():
    """On a host that cannot split, the daemon runs, says why, and refuses VMs"""
    with Daemon(Backend="kvm") as daemon, Vmm() as vmm:
        host = daemon.call("GetHost")["host"]
        equal(host["backend"], "kvm")
        if host["supported"]:
            raise Skip("this host's kernel has the eager-split ioctls")
        error, parameters = daemon.error("Register", pid=vmm.pid, name="guest")
        equal(error, "Unsupported")
        true(parameters["reason"], "a reason")
        status, out, err = daemon.ctl("register", str(vmm.pid))
        equal((status, out), (1, ""))
        true("eager-split patches" in err and "--backend=sim" in err, err)
        status, out, err = daemon.ctl("host")
        equal(status, 0)
        true("not possible" in out, out)


if __name__ == "__main__":
    main()
