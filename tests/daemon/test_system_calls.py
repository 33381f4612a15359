#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon asks of the kernel is what its unit lets it ask."""

import os
import re
import resource
import shutil
import subprocess
import tempfile

from harness import DAEMON, FAST, Daemon, Vmm
from tap import Skip, equal, main, test

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../systemd/eagersplitd.service.in")
# Of those that systemd lets everything do (systemd-analyze syscall-filter @default)
ALWAYS = {"clock_gettime", "clock_nanosleep", "execve", "exit_group", "restart_syscall", "rt_sigreturn", "sched_yield"}

# What the simulated host takes besides, which no service has
SIMULATED = {"inotify_add_watch", "inotify_init1", "mkdir", "mknodat", "pidfd_open", "renameat2"}


def allowed():
    with open(UNIT, encoding="ascii") as unit:
        lines = re.findall(r"^SystemCallFilter=(.*)$", unit.read(), re.M)
    return {call for line in lines for call in line.split()} | ALWAYS | SIMULATED


def traced(path):
    """Its tracer leaves it where its parent expects it to be."""
    with open(DAEMON, "rb") as program:
        if re.search(rb"__[at]san_", program.read()):
            raise Skip("the sanitizers make calls of their own")
    if not shutil.which("strace"):
        raise Skip("no strace here")
    if subprocess.run(["strace", "-qq", "-o", path, "true"], capture_output=True, check=False).returncode:
        raise Skip("nothing can be traced")
    return "strace", "-D", "-f", "-qq", "-o", path


def calls_in(path):
    with open(path, encoding="utf-8", errors="replace") as trace:
        return set(re.findall(r"^\d+ +(\w+)\(", trace.read(), re.M))


@test
def filtered():
    """From its start to its end, with a migration, a reload, a history, and records that cannot be written"""
    with tempfile.TemporaryDirectory(prefix="eagersplitd-test-") as folder:
        path = f"{folder}/calls"
        with Daemon(wrapper=traced(path), environment={"STATE_DIRECTORY": folder}, **FAST) as daemon, Vmm() as vmm:
            daemon.register(vmm, "guest")
            daemon.migrate("guest", "scheduled")
            daemon.wait_for_stage("guest", "split")
            daemon.call("Reload")
            _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, hard))
            daemon.migrate("guest", "cancelled")
            daemon.wait_for_stage("guest", "whole")
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            daemon.call("Unregister", vm="guest")
        equal(calls_in(path) - allowed(), set())


if __name__ == "__main__":
    main()
