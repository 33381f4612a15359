#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A Varlink implementation that is not ours, github.com/varlink/go: see tests/varlink-go."""

import os
import subprocess

from harness import DAEMON, FAST, INTERFACES, Daemon, Vmm, interface_file
from tap import Skip, equal, main, test

CLIENT = os.environ.get("VARLINK_GO_CLIENT", "")


def go(daemon, *arguments):
    if not CLIENT:
        raise Skip("built without Go, or without golang-github-varlink-go-dev")
    r = subprocess.run([CLIENT, daemon.socket_path, *map(str, arguments)], capture_output=True,
                       text=True, check=False)
    equal((r.returncode, r.stderr), (0, ""), arguments[0])


@test
def introspection():
    """It reads who the service is, and its interfaces: the files of the sources"""
    version = subprocess.run([DAEMON, "--version"], capture_output=True, text=True, check=True)
    with Daemon(**FAST) as daemon:
        go(daemon, "introspection", version.stdout.split()[1], *map(interface_file, INTERFACES))


@test
def every_method():
    """It calls every method and follows Watch; all replies are as the interface says"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        go(daemon, "methods", vmm.pid)
        equal(daemon.call("ListVms"), {"vms": []})


@test
def every_error():
    """It gets the errors, with the parameters that the interface says"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as gone:
        gone.exit()
        daemon.write_config("[Budget]\nTlbiRate=x\n")
        go(daemon, "errors", vmm.pid, gone.pid)


@test
def pipelined():
    """Its calls are answered in order, those without an answer left out"""
    with Daemon(**FAST) as daemon:
        go(daemon, "pipelined")


if __name__ == "__main__":
    main()
