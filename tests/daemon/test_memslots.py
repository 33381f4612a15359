#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs with as many memslots as KVM lets them have; splitters are those of tests/kvm/fake-splitter.c."""

import contextlib
import os
import tempfile

from harness import Caller, Daemon, Vmm
from tap import Skip, equal, main, test, true

BUILD = os.environ.get("BUILDDIR", ".")
HELPER = os.path.join(BUILD, "eagersplitd-fetch")
FAKE = os.path.join(BUILD, "tests/kvm/fake-splitter.so")
MEMSLOTS = 32767
VMS = 64


@contextlib.contextmanager
def daemon_with_memslots(n):
    """One whose VMs have so many, each."""
    if not os.path.exists(FAKE):
        raise Skip("what stands in for a patched KVM is part of a build, not of what is installed")
    with tempfile.TemporaryDirectory(prefix="eagersplitd-splitters-") as splitters:
        # The sanitizers' own library need not be the first one.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        environment = {"LD_PRELOAD": FAKE, "FAKE_SPLITTERS": splitters, "FAKE_MEMSLOTS": str(n),
                       "ASAN_OPTIONS": options}
        with Daemon(arguments=[f"--helper={HELPER}"], environment=environment, Backend="kvm", TlbiRate=0) as daemon:
            yield daemon


@contextlib.contextmanager
def hand_over(daemon, n):
    """So many VMs, each of a process of its own."""
    with contextlib.ExitStack() as stack, Caller(daemon) as caller:
        for i in range(n):
            process = stack.enter_context(Vmm())
            fd = os.eventfd(0, os.EFD_CLOEXEC)
            stack.callback(os.close, fd)
            answer = caller.call("Register", [fd], pid=process.pid, name=f"guest{i}", splitter=0)
            true("vm" in answer, answer)
        yield


def memory_kib(daemon):
    """The most that the daemon has had, and whether that says anything: the address sanitizer's is its own."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        kib = dict(line.split(":", 1) for line in f)
    return int(kib["VmHWM"].split()[0]), int(kib["VmSize"].split()[0]) < 1 << 30


@test
def all_memslots():
    """What is kept of VMs with all memslots that there may be is small, and what is told of them right"""
    peaks = []
    for n in MEMSLOTS // 100, MEMSLOTS:
        with daemon_with_memslots(n) as daemon, hand_over(daemon, VMS):
            vm = daemon.call("GetVm", vm="guest7")["vm"]
            page = os.sysconf("SC_PAGESIZE")
            equal([slot["gpa"] for slot in vm["memslots"]], [i * 2 * page for i in range(256)])
            equal((vm["bytes"], vm["blocks"], vm["memslotsLeftOut"]), (n * page, 0, n - 256))
            peak, counts = memory_kib(daemon)
            peaks.append(peak)
    # Of each of them at least 48 bytes would be 100 MB. Of what a survey takes for a moment, each thread has some.
    if counts:
        true(peaks[1] < peaks[0] + (32 << 10), f"{peaks} KiB")


if __name__ == "__main__":
    main()
