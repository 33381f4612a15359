# SPDX-License-Identifier: GPL-2.0-or-later
"""That `run --here` works: on the emulated host as on one that is none. Its times mean nothing here."""

import os
import re
import shutil
import subprocess
import tempfile

from host.lab import BIN

ORDER = 96
BASES = ("linux-6.12", "linux-7.2")
SERIES = ("none", "all")
CPUS = ("neoverse-n1",)
SYSTEMD = False
DEBUG = False
LONG = True
PARTS = ("selftests",)

HERE = ("python3", "-u", "/lab/host/here.py")
# What `run --here` builds
PROGRAMS = ("vmm", "splitcall")
COMPARED = re.compile(r"# counts of TLBIs compared with KVM's own: (\d+)")


def told(lab, programs, name, *arguments):
    """Returns how many counts were compared."""
    child = lab.spawn(*HERE, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                      env={**os.environ, "LAB_BIN": programs})
    compared = 0
    for line in child.stdout:
        lab.note(f"{name}: {line.rstrip()}")
        if found := COMPARED.match(line):
            compared = int(found[1])
    lab.eq(child.wait(), 0, f"{name}: status 0")
    return compared


def run(lab):
    with tempfile.TemporaryDirectory() as programs:
        for program in PROGRAMS:
            shutil.copy(f"{BIN}/{program}", programs)
        told(lab, programs, "EMULATED, no times", "--table", "--mib=128", "--selftests=/lab/selftests")
        compared = told(lab, programs, "scenarios", *(() if lab.patched else ("smoke",)))
    # Stock kernels count none.
    lab.ok(compared or not lab.patched, "scenarios: counts of TLBIs are compared", compared)
