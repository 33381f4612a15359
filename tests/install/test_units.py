#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The units, as systemd-analyze sees them: no mistake in them, and a tight sandbox."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from tap import Skip, equal, main, test, true

BUILD = os.environ.get("BUILDDIR", ".")
SOURCE = os.environ.get("SRCDIR", ".")
# Of 100: the exposure that systemd-analyze computes may be 1.0 of 10 at most.
EXPOSURE = 10


def units():
    """All units of the project by name, those made by the build before those that are sources."""
    found = {}
    for folder in BUILD, SOURCE:
        for kind in "service", "socket", "timer":
            for path in glob.glob(f"{folder}/systemd/*.{kind}"):
                found.setdefault(os.path.basename(path), path)
    true(found.keys() >= {"eagersplitd.service", "eagersplitd.socket", "eagersplitd-fetch@.service"}, sorted(found))
    return found


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze here")
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True,
                          text=True, check=False)


@test
def verify():
    """systemd-analyze verify has nothing to say"""
    with tempfile.TemporaryDirectory(prefix="eagersplitd-units-") as folder:
        for name, path in units().items():
            with open(path, encoding="utf-8") as f:
                # It looks for the programs, which are not installed yet.
                text = re.sub(r"^(Exec\w+=[-+!@:]*)\S*/", rf"\1{os.path.abspath(BUILD)}/",
                              f.read(), flags=re.M)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        r = analyze("verify", "--man=no", *sorted(glob.glob(f"{folder}/*")))
        ours = [line for line in r.stderr.splitlines() if "eagersplit" in line]
        equal((ours, r.returncode), ([], 0), r.stderr)


@test
def exposure():
    """Each service's exposure, by systemd-analyze security, is at most 1.0"""
    for name, path in units().items():
        if not name.endswith(".service"):
            continue
        r = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", path)
        print(f"# {r.stdout.strip().splitlines()[-1]}")
        equal(r.returncode, 0, r.stdout + r.stderr)


def settings_of(name):
    """Each setting of a unit, and the values that it is given."""
    settings = {}
    with open(units()[name], encoding="utf-8") as f:
        for key, value in re.findall(r"^(\w+)=(.*)$", f.read(), re.M):
            settings.setdefault(key, []).append(value)
    return settings


@test
def privileges():
    """The daemon has a user of its own and no capability; its helper has CAP_SYS_PTRACE"""
    for unit, capabilities in ("eagersplitd.service", ""), ("eagersplitd-fetch@.service", "CAP_SYS_PTRACE"):
        settings = settings_of(unit)
        equal(settings["User"], ["eagersplitd"])
        equal(settings["CapabilityBoundingSet"], [capabilities])
        equal(settings.get("AmbientCapabilities", [""]), [capabilities])
        equal(settings["NoNewPrivileges"], ["yes"])


@test
def system_calls():
    """Both may make at most 80 system calls, and none that writes into another process"""
    for unit in "eagersplitd.service", "eagersplitd-fetch@.service":
        calls = " ".join(settings_of(unit)["SystemCallFilter"]).split()
        true(len(calls) <= 80, f"{unit}: {len(calls)}")
        # No groups, which have whatever systemd puts into them.
        equal([call for call in calls if not call[0].isalpha()], [], unit)
        for call in "ptrace", "process_vm_writev", "execve", "setns", "io_uring_setup", "kill":
            true(call not in calls, f"{unit}: {call}")


@test
def helpers():
    """systemd starts as many helpers as the daemon may leave behind and use, for VMs, for scans and for names"""
    with open(os.path.join(SOURCE, "daemon/host/fetcher.c"), encoding="utf-8") as f:
        left = int(re.search(r"^#define LEFT_MAX (\d+)$", f.read(), re.M)[1])
    most, = settings_of("eagersplitd-fetch.socket")["MaxConnections"]
    true(int(most) >= 3 * (left + 1), f"{most}: too few for {left}")


if __name__ == "__main__":
    main()
