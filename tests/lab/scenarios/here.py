# SPDX-License-Identifier: GPL-2.0-or-later
"""That `run --here` works: on the emulated host as on one that is none. Its times mean nothing here."""

import subprocess

ORDER = 96
BASES = ("linux-6.12", "linux-7.2")
SERIES = ("none", "all")
CPUS = ("neoverse-n1",)
SYSTEMD = False
DEBUG = False
LONG = True
PARTS = ("selftests",)

HERE = ("python3", "-u", "/lab/host/here.py")


def told(lab, name, *arguments):
    child = lab.spawn(*HERE, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in child.stdout:
        lab.note(f"{name}: {line.rstrip()}")
    lab.eq(child.wait(), 0, f"{name}: status 0")


def run(lab):
    told(lab, "EMULATED, no times", "--table", "--mib=128", "--selftests=/lab/selftests")
    if lab.patched:
        told(lab, "scenarios")
    else:
        told(lab, "scenarios", "smoke")
