#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real VMs of other processes, some of them hostile. KVM is the machine's own, with tests/kvm/fake-splitter.c."""

import contextlib
import fcntl
import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kvm"))

from fuse import HangingFile
from harness import Daemon
from tap import Skip, equal, main, test, true

BUILD = os.environ.get("BUILDDIR", ".")
HELPER = os.path.join(BUILD, "eagersplitd-fetch")
FAKE = os.path.join(BUILD, "tests/kvm/fake-splitter.so")
KVM_CREATE_VM = 0xae01
NOBODY = 65534


def create_vm():
    return fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC), KVM_CREATE_VM, 0)


class Process:
    """A child that does work(), says so, and waits to be killed; as another user, if asked for."""

    def __init__(self, work, uid=0):
        ready, begun = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work(lambda: (os.setuid(uid), os.write(begun, b"x")))
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(begun)
        begun = os.read(ready, 1)
        os.close(ready)
        if not begun:
            os.waitpid(self.pid, 0)
            raise AssertionError("it has ended")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def vmm(n=1):
    """A process with so many VMs."""
    def work(ready):
        for _ in range(n):
            create_vm()
        ready()

    return Process(work)


def swapper(path):
    """
    One that has a VM behind a descriptor, and a file that hangs whoever closes it, in turn, and tells of
    itself by making other VMs.
    """
    def work(ready):
        vm, file = create_vm(), os.open(path, os.O_RDONLY)
        kvm = os.open("/dev/kvm", os.O_RDWR)
        ready()
        while True:
            for _ in range(1000):
                os.dup2(vm, 100)
                os.dup2(file, 100)
            os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))

    return Process(work, NOBODY)


@contextlib.contextmanager
def daemon_on_kvm():
    if os.getuid() != 0:
        raise Skip("needs root, to look into the processes of others")
    if not os.path.exists(FAKE):
        raise Skip("what stands in for a patched KVM is part of a build, not of what is installed")
    try:
        with vmm():
            pass
    except AssertionError as error:
        raise Skip("no VM can be made here (/dev/kvm)") from error
    with tempfile.TemporaryDirectory(prefix="eagersplitd-splitters-") as splitters:
        # The sanitizers' own library need not be the first one.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        environment = {"LD_PRELOAD": FAKE, "FAKE_SPLITTERS": splitters, "ASAN_OPTIONS": options}
        with Daemon(arguments=[f"--helper={HELPER}"], environment=environment, Backend="kvm", TlbiRate=0) as daemon:
            yield daemon


def wait_for_vms(daemon, pid, n=1):
    """The names of the VMs of that process once they are found and surveyed."""
    found = set()
    with daemon.client() as client:
        for vm in client.watch():
            if vm["pid"] == pid and vm["bytes"]:
                found.add(vm["vm"])
            if len(found) == n:
                return found
    raise AssertionError("the watch has ended")


@test
def found_and_split():
    """A VM that is there when the daemon starts, and those that KVM tells of, are found, and split"""
    with vmm() as early, daemon_on_kvm() as daemon, vmm(3) as late:
        wait_for_vms(daemon, early.pid)
        for name in wait_for_vms(daemon, late.pid, 3):
            equal(daemon.migrate(name, "scheduled")["migration"], "scheduled")
            equal(daemon.wait_for_stage(name, "split")["blocksSplit"], 64)


@test
def no_stranger_is_open():
    """The daemon itself has no VM open, and no file of a stranger's, but splitters"""
    with daemon_on_kvm() as daemon, vmm(2) as late:
        wait_for_vms(daemon, late.pid, 2)
        folder = f"/proc/{daemon.process.pid}/fd"
        links = []
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # of a moment
                links.append(os.readlink(os.path.join(folder, fd)))
        true("anon_inode:kvm-vm" not in links, links)


@test
def files_that_hang():
    """Who swaps a file that hangs whoever closes it behind a VM's descriptor, is left alone, and holds up nobody"""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(HangingFile())
        except OSError as error:
            raise Skip("no FUSE here") from error
        daemon = stack.enter_context(daemon_on_kvm())
        for _ in range(2):
            stack.enter_context(swapper(path))
        for _ in range(20):
            with vmm() as good:
                for name in wait_for_vms(daemon, good.pid):
                    daemon.call("GetVm", vm=name)
        equal(daemon.stop(), 0)


if __name__ == "__main__":
    main()
