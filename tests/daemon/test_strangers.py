#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real VMs of other processes, some of them hostile. KVM is the machine's own, with tests/kvm/fake-splitter.c."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kvm"))

from fuse import HangingFile
from harness import Daemon
from tap import Skip, equal, main, test, true

BUILD = os.environ.get("BUILDDIR", ".")
HELPER = os.path.join(BUILD, "eagersplitd-fetch")
FAKE = os.path.join(BUILD, "tests/kvm/fake-splitter.so")
# More of it by hand.
STARTS = int(os.environ.get("STRANGER_STARTS", "2"))
LOOKS = int(os.environ.get("STRANGER_LOOKS", "20"))
PROCESSES = int(os.environ.get("STRANGER_PROCESSES", "50"))
DESCRIPTORS = 16384

KVM_CREATE_VM = 0xae01
CLONE_FILES = 0x400
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


def locked(path):
    """
    One that has a VM, and whose memory is locked by a thread that touches a file which hangs, while
    another waits to change it.
    """
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.strlen.argtypes = [ctypes.c_void_p]

    def work(ready):
        create_vm()
        page = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, os.open(path, os.O_RDONLY), 0)
        # To become another user would ask all threads.
        ready()
        threading.Thread(target=libc.strlen, args=(page,), daemon=True).start()
        while True:
            libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

    return Process(work)


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def locked_vmm():
    """The same, once it waits: who reads its command line waits, too."""
    hanging = HangingFile()
    try:
        path = hanging.__enter__()
    except OSError as error:
        raise Skip("no FUSE here") from error
    process = None
    try:
        process = locked(path)
        # In a row: for a moment it may wait for something else.
        waits = 0
        while waits < 10:
            state = state_of(process.pid)
            if state == "Z":
                raise Skip("a file that cannot be read ends who touches it here")
            waits = waits + 1 if state == "D" else 0
            time.sleep(0.01)
        yield process
    finally:
        if process:
            os.kill(process.pid, signal.SIGKILL)
        # Only then does it end.
        hanging.__exit__()
        if process:
            process.__exit__()


def check_kvm():
    if os.getuid() != 0:
        raise Skip("needs root, to look into the processes of others")
    if not os.path.exists(FAKE):
        raise Skip("what stands in for a patched KVM is part of a build, not of what is installed")
    try:
        with vmm():
            pass
    except AssertionError as error:
        raise Skip("no VM can be made here (/dev/kvm)") from error


@contextlib.contextmanager
def daemon_on_kvm():
    check_kvm()
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


def resident(process):
    """The most that it ever had, in MiB."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as f:
        return int(f.read().split("VmHWM:")[1].split()[0]) / 1024


@contextlib.contextmanager
def beside_swappers():
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(HangingFile())
        except OSError as error:
            raise Skip("no FUSE here") from error
        daemon = stack.enter_context(daemon_on_kvm())
        for _ in range(2):
            stack.enter_context(swapper(path))
        yield daemon


@test
def files_that_hang():
    """Who swaps a file that hangs whoever closes it behind a VM's descriptor, is left alone, and holds up nobody"""
    with beside_swappers() as daemon:
        for _ in range(LOOKS):
            with vmm() as good:
                for name in wait_for_vms(daemon, good.pid):
                    daemon.call("GetVm", vm=name)
        print(f"# {LOOKS} looks, {resident(daemon.process):.1f} MiB resident", flush=True)
        began = time.monotonic()
        equal(daemon.stop(), 0)
        print(f"# stopped after {time.monotonic() - began:.2f} s", flush=True)


@test
def starts_beside_files_that_hang():
    """Nor does he keep a daemon from being ready, from finding the VMs of others, or from stopping"""
    stops, readies, memory = [], [], []
    with beside_swappers() as daemon, vmm() as good:
        for _ in range(STARTS):
            wait_for_vms(daemon, good.pid)
            memory.append(resident(daemon.process))
            began = time.monotonic()
            equal(daemon.stop(), 0)
            stops.append(time.monotonic() - began)
            daemon.start_again()
            readies.append(time.monotonic() - began - stops[-1])
    print(f"# {STARTS} starts: stopped after {max(stops):.2f} s, ready after {max(readies):.2f} s, "
          f"{max(memory):.1f} MiB resident, at the most", flush=True)


def fork_with_files():
    """A process with the very descriptors of this one: 0 in there."""
    return ctypes.CDLL(None).syscall(os.uname().machine == "x86_64" and 56 or 220, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)


@test
def many_descriptors():
    """Processes with thousands of descriptors, which share them, neither delay READY nor the finding of VMs"""
    def work(ready):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        # Before they are made: they end with this one only if it may send them signals.
        os.setuid(NOBODY)
        file = os.open("/dev/null", os.O_RDONLY)
        for number in range(100, 100 + DESCRIPTORS):
            os.dup2(file, number)
        parent = os.getpid()
        for _ in range(PROCESSES - 1):
            if fork_with_files() == 0:
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
                while os.getppid() == parent:
                    signal.pause()
                os._exit(0)
        ready()

    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 100 + DESCRIPTORS:
        raise Skip("so many descriptors are not to be had")
    with daemon_on_kvm() as daemon, Process(work, NOBODY), vmm() as good:
        daemon.stop()
        began = time.monotonic()
        daemon.start_again()
        ready = time.monotonic() - began
        wait_for_vms(daemon, good.pid)
        print(f"# {PROCESSES} processes of {DESCRIPTORS} descriptors: ready after {ready:.2f} s, a VM is found after "
              f"{time.monotonic() - began:.2f} s, {resident(daemon.process):.1f} MiB resident", flush=True)


@test
def memory_that_hangs():
    """A VMM whose command line cannot be read keeps nobody from being ready, nor others from being found; nor itself"""
    with contextlib.ExitStack() as stack:
        check_kvm()
        hostile = stack.enter_context(locked_vmm())
        early = stack.enter_context(vmm())
        daemon = stack.enter_context(daemon_on_kvm())
        wait_for_vms(daemon, early.pid)
        for _ in range(5):
            with vmm() as late:
                for name in wait_for_vms(daemon, late.pid):
                    daemon.call("GetVm", vm=name)
        # It has no name, but its id.
        name, = wait_for_vms(daemon, hostile.pid)
        true(name.startswith(f"{hostile.pid}."), name)
        daemon.migrate(name, "scheduled")
        equal(daemon.wait_for_stage(name, "split")["blocksSplit"], 64)
        equal(daemon.stop(), 0)


if __name__ == "__main__":
    main()
