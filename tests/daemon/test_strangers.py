#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real VMs of other processes, some of them hostile. KVM is the machine's own, with tests/kvm/fake-splitter.c."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kvm"))

from fuse import HangingFile
from harness import FAST, Daemon, Vmm
from hostile import Process, beside_file, locked_memory
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
    check_kvm()
    with vmm() as early, daemon_on_kvm() as daemon, vmm(3) as late:
        wait_for_vms(daemon, early.pid)
        for name in wait_for_vms(daemon, late.pid, 3):
            equal(daemon.migrate(name, "scheduled")["migration"], "scheduled")
            equal(daemon.wait_for_stage(name, "split")["blocksSplit"], 64)


def links(process):
    """Where the descriptors of a process lead."""
    folder = f"/proc/{process.pid}/fd"
    found = []
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # of a moment
            found.append(os.readlink(os.path.join(folder, fd)))
    return found


@test
def full_of_splitters():
    """A VM that its VMM has made all the splitters of that there may be cannot be registered, and holds up nobody"""
    def work(ready):
        fcntl.fcntl(create_vm(), fcntl.F_SETFL, os.O_NONBLOCK)
        ready()

    check_kvm()
    with Process(work) as full, daemon_on_kvm() as daemon, vmm() as other:
        wait_for_vms(daemon, other.pid)
        equal(daemon.error("Register", pid=full.pid),
              ("Unsupported", {"reason": "the VM has as many splitters as it may have"}))


@test
def no_stranger_is_open():
    """The daemon itself has no VM open, and no file of a stranger's, but splitters"""
    splitter = "anon_inode:[eventfd]"  # as tests/kvm/fake-splitter.c makes them
    with daemon_on_kvm() as daemon:
        before = links(daemon.process)
        with vmm(2) as late:
            wait_for_vms(daemon, late.pid, 2)
            theirs = set(links(late)) - set(before)
            true({"anon_inode:kvm-vm", "/dev/kvm"} <= theirs, theirs)
            ours = links(daemon.process)
            equal(theirs & set(ours), set())
            # Who is looked at again has others, as they are made here.
            true(ours.count(splitter) >= before.count(splitter) + 2, ours)


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
        hostile = stack.enter_context(locked_memory(create_vm))
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


def send(path, descriptors, call=b'{"method":"org.eagersplit.Manager.GetHost"}\0'):
    """Has them sent with a call. The socket, at which the answer is to be read."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    socket.send_fds(client, [call], descriptors)
    return client


def sender(socket_path, path, cached):
    """
    One who may connect, and sends a file that hangs in all the ways that there are: one descriptor and two,
    one that is not read as the daemon has something else to say, and one with a call that it has half of.
    """
    def work(ready):
        memory = mmap.mmap(os.open(path, os.O_RDWR), 4096) if cached else None
        files = [os.open(path, os.O_RDWR) for _ in range(6)]
        ready()
        clients = [send(socket_path, files[2:3], b"{"), send(socket_path, files[3:5]), send(socket_path, files[5:])]
        streams = [send(socket_path, [], b'{"method":"org.eagersplit.Manager.Watch","more":true}\0') for _ in range(2)]
        for stream, file in zip(streams, files):
            stream.recv(1)
            socket.send_fds(stream, [b"x"], [file])
        # From now on the last ones are the daemon's, and the file is not clean.
        for file in files:
            os.close(file)
        if cached:
            memory[0] = 1
        # Who leaves has them closed; the others are left to the daemon's end.
        clients[0].close()
        streams[0].close()
        os.write(said, b"x")

    heard, said = os.pipe()
    return started(work, heard, said)


def started(work, heard, said):
    """The process that does it, as nobody, once it has said so."""
    process = Process(work, NOBODY)
    os.close(said)
    os.read(heard, 1)
    os.close(heard)
    return process


def urgent_sender(socket_path, path, order):
    """One who sends a file that hangs who drops it, with a byte out of the band, which is the ! among others."""
    def work(ready):
        memory = mmap.mmap(os.open(path, os.O_RDWR), 4096)
        file = os.open(path, os.O_RDWR)
        ready()
        client = send(socket_path, [], b"")
        for byte in order:
            if byte == "!":
                # Flags of send_fds() come to nothing.
                client.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file))], socket.MSG_OOB)
            else:
                client.send(byte.encode())
        os.close(file)
        memory[0] = 1
        os.write(said, b"x")

    heard, said = os.pipe()
    return started(work, heard, said)


def sent(daemon, cached):
    """Such files have been sent; what hangs does so until this ends."""
    os.chmod(daemon.folder, 0o755)
    os.chmod(daemon.socket_path, 0o666)
    return beside_file(lambda path: sender(daemon.socket_path, path, cached), cached)


@contextlib.contextmanager
def sent_urgently(daemon, order):
    """The same, where the daemon has not seen any of it before all had been sent."""
    os.chmod(daemon.folder, 0o755)
    os.chmod(daemon.socket_path, 0o666)
    daemon.kill(signal.SIGSTOP)
    try:
        with beside_file(lambda path: urgent_sender(daemon.socket_path, path, order), True):
            daemon.kill(signal.SIGCONT)
            yield
    finally:
        daemon.kill(signal.SIGCONT)


def check_sent(end, begin):
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        with begin(daemon):
            # Also of who comes and goes more often than he may have connections.
            for _ in range(100):
                daemon.call("GetHost")
            daemon.migrate("guest", "scheduled")
            daemon.wait_for_stage("guest", "split")
            began = time.monotonic()
            end(daemon)
            print(f"# ended after {time.monotonic() - began:.2f} s", flush=True)
            daemon.start_again()
            equal(daemon.call("GetVm", vm="guest")["vm"]["migration"], "scheduled")
            equal(daemon.stop(), 0)
            daemon.start_again()


def kill(daemon):
    daemon.process.kill()
    daemon.process.wait()


@test
def sent_and_hanging():
    """Who sends descriptors that hang whoever closes them keeps nobody, nor the daemon from stopping"""
    check_sent(lambda daemon: equal(daemon.stop(), 0), lambda daemon: sent(daemon, False))


@test
def sent_and_written():
    """Nor by a file that hangs who only drops it, unread"""
    check_sent(lambda daemon: equal(daemon.stop(), 0), lambda daemon: sent(daemon, True))


@test
def sent_and_killed():
    """Nor does he keep the daemon from ending where it is killed, and the next one from its work"""
    for cached in False, True:
        check_sent(kill, lambda daemon, cached=cached: sent(daemon, cached))


@test
def sent_out_of_band():
    """Nor by one that came with a byte out of the band, before others, between and behind them"""
    one, other = socket.socketpair()
    with one, other:
        try:
            one.send(b"!", socket.MSG_OOB)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise Skip("this kernel's Unix sockets have no bytes out of the band") from error
    for order in "!", "!{", "{!}", "{!":
        check_sent(kill, lambda daemon, order=order: sent_urgently(daemon, order))


if __name__ == "__main__":
    main()
