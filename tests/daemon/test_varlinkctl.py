#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The interfaces as systemd's varlinkctl reads them, which has what it needs from 257 on."""

import re
import shutil
import subprocess

from harness import FAST, Daemon
from tap import Skip, equal, main, test, true

INTERFACES = "org.eagersplit.Manager", "org.eagersplit.Metrics", "org.varlink.service"


def description(daemon, interface):
    with daemon.client() as client:
        return client.call("org.varlink.service.GetInterfaceDescription", interface=interface)["description"]


def varlinkctl(*arguments, text=None):
    """What it prints; skips the test where there is none that can do this."""
    program = shutil.which("varlinkctl")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout if program else ""
    if not program or int(re.match(r"systemd (\d+)", version)[1]) < 257:
        raise Skip("no varlinkctl of systemd 257 or later here")
    r = subprocess.run([program, "--no-pager", *arguments], input=text, capture_output=True, text=True, check=False)
    equal((r.returncode, r.stderr), (0, ""), arguments)
    return r.stdout


@test
def comments():
    """A comment in an interface stands on a line of its own, before what it is about"""
    with Daemon(**FAST) as daemon:
        for interface in INTERFACES:
            lines = description(daemon, interface).splitlines()
            for line, following in zip(lines, lines[1:] + [")"]):
                true("#" not in line or line.lstrip().startswith("#"), (interface, line))
                if line.lstrip().startswith("#"):
                    true(re.match(r"\s*[#\w]", following), (interface, line, following))


@test
def validate():
    """varlinkctl validate-idl takes each interface"""
    with Daemon(**FAST) as daemon:
        for interface in INTERFACES:
            varlinkctl("validate-idl", "/dev/stdin", text=description(daemon, interface))


@test
def introspect():
    """varlinkctl introspect prints each interface, with its comments and all of its methods"""
    with Daemon(**FAST) as daemon:
        for interface in INTERFACES:
            text = description(daemon, interface)
            out = varlinkctl("introspect", daemon.socket_path, interface)
            for pattern in r"^\s*#\s*(.*)$", r"^(?:method|error|type) (\w+)":
                for found in re.findall(pattern, text, re.MULTILINE):
                    true(found in out, (interface, found))
        methods = varlinkctl("list-methods", daemon.socket_path, "org.eagersplit.Manager").split()
        true("org.eagersplit.Manager.SetMigrationState" in methods, methods)


@test
def call():
    """varlinkctl calls a method"""
    with Daemon(**FAST) as daemon:
        true('"host"' in varlinkctl("call", daemon.socket_path, "org.eagersplit.Manager.GetHost", "{}"), "the host")


if __name__ == "__main__":
    main()
