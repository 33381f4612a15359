#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make install DESTDIR=FOLDER, and make uninstall after it."""

import os
import re
import subprocess
import tempfile

from tap import equal, main, test, true

BUILD = os.environ.get("BUILDDIR", ".")

# What every installation has, below the prefix or at its configured place.
EXECUTABLE = [
    "bin/eagersplitctl",
    "bin/eagersplitd",
    "eagersplitd/eagersplitd-fetch",
    "examples/client.py",
    "examples/virsh-migrate-split",
]
EXPECTED = EXECUTABLE + [
    "eagersplitd/eagersplitd.conf",
    "examples/client.go",
    "examples/kubernetes-daemonset.yaml",
    "include/linux/kvm_eager_split.h",
    "man/man1/eagersplitctl.1",
    "man/man5/eagersplitd.conf.5",
    "man/man7/org.eagersplit.Manager.7",
    "man/man7/org.eagersplit.Metrics.7",
    "man/man8/eagersplitd.8",
    "bash-completion/completions/eagersplitctl",
    "eagersplitctl.fish",
    "_eagersplitctl",
    "eagersplitd/grafana/eagersplitd.json",
    "eagersplitd/prometheus/eagersplitd.rules.yml",
    "systemd/catalog/eagersplitd.catalog",
    "systemd/system/eagersplitd-fetch.socket",
    "systemd/system/eagersplitd-fetch@.service",
    "systemd/system/eagersplitd-metrics.service",
    "systemd/system/eagersplitd-metrics.timer",
    "systemd/system/eagersplitd.service",
    "systemd/system/eagersplitd.socket",
    "sysusers.d/eagersplitd.conf",
    "tmpfiles.d/eagersplitd.conf",
]


def make(*arguments):
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}
    r = subprocess.run(["make", "-s", "-C", BUILD, *arguments], env=env, capture_output=True,
                       text=True, check=False)
    equal(r.returncode, 0, r.stdout + r.stderr)


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder)
                  for where, _, names in os.walk(folder) for name in names)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Installed:
    """An installation below a folder of its own."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="eagersplitd-install-")
        self.root = self._folder.name
        make("install", f"DESTDIR={self.root}")
        return self

    def __exit__(self, *exc):
        self._folder.cleanup()

    def find(self, end):
        """The one file whose path ends so."""
        found = [f for f in files_below(self.root) if f"/{f}".endswith(f"/{end}")]
        equal(len(found), 1, f"files named {end}")
        return os.path.join(self.root, found[0])

    def units(self):
        """The text of all of them."""
        return "".join(read(self.find(end)) for end in EXPECTED if end.startswith("systemd/system/"))


@test
def all_there():
    """Programs, units, configuration, header and manual pages are installed"""
    with Installed() as installed:
        for end in EXPECTED:
            path = installed.find(end)
            true(os.path.getsize(path) > 0, f"{end} is empty")
            equal(os.access(path, os.X_OK), end in EXECUTABLE, f"{end} is executable")


@test
def units_name_what_is_installed():
    """What the units start is installed where they say, and so is the default configuration"""
    with Installed() as installed:
        started = re.findall(r"^Exec\w+=[-+!@:]*(\S+)", installed.units(), re.M)
        true({os.path.basename(path) for path in started} >= {"eagersplitd", "eagersplitd-fetch", "eagersplitctl"}, started)
        for path in started:
            true(os.access(installed.root + path, os.X_OK), f"{path} is executable")
        text = subprocess.run([installed.find("bin/eagersplitd"), "--help"], capture_output=True,
                              text=True, check=True).stdout
        default = re.search(r"\[(/\S+/eagersplitd\.conf)\]", text)[1]
        true(os.path.isfile(installed.root + default), f"{default} is there")


@test
def user_exists():
    """The users and groups that the units name are made by the sysusers file"""
    with Installed() as installed:
        named = set(re.findall(r"^(?:User|Group|SocketUser|SocketGroup|SupplementaryGroups)=(\S+)$", installed.units(),
                               re.M))
        true(named - {"root"}, "users and groups in the units")
        made = set(re.findall(r"^[ug] (\S+)", read(installed.find("sysusers.d/eagersplitd.conf")),
                              re.M))
        equal(named - made - {"root"}, set(), "made by nobody")


@test
def runtime_folder():
    """The folder of the sockets is the service's own before they are made: what is in it systemd leaves alone then"""
    with Installed() as installed:
        service = dict(re.findall(r"^(RuntimeDirectory|User|Group)=(\S+)$",
                                  read(installed.find("systemd/system/eagersplitd.service")), re.M))
        folder = f"/run/{service['RuntimeDirectory']}"
        lines = re.findall(r"^[^#\n].*", read(installed.find("tmpfiles.d/eagersplitd.conf")), re.M)
        equal([line.split() for line in lines], [["d", folder, "0755", service["User"], service["Group"], "-"]])
        sockets = re.findall(r"^Listen\w+=(\S+)$", installed.units(), re.M)
        equal({os.path.dirname(path) for path in sockets}, {folder})


@test
def uninstall():
    """make uninstall leaves no file, and no folder of the project's own"""
    with Installed() as installed:
        make("uninstall", f"DESTDIR={installed.root}")
        equal(files_below(installed.root), [])
        # The prefix itself may lie in a folder of that name: where distcheck runs in a clone, it does.
        prefix = installed.root + re.search(r"^prefix = (.*)$", read(os.path.join(BUILD, "Makefile")), re.M)[1]
        folders = [os.path.join(where, name) for where, names, _ in os.walk(installed.root)
                   for name in names if name == "eagersplitd"]
        folders = [folder for folder in folders if not f"{prefix}/".startswith(f"{folder}/")]
        equal(folders, [])


@test
def configuration_stays():
    """The administrator's configuration is neither written over by make install, nor removed by make uninstall"""
    with Installed() as installed:
        conf = installed.find("eagersplitd/eagersplitd.conf")
        with open(conf, "a", encoding="utf-8") as f:
            f.write("[Budget]\nTlbiRate=1\n")
        changed = read(conf)
        make("install", f"DESTDIR={installed.root}")
        equal(read(conf), changed)
        make("uninstall", f"DESTDIR={installed.root}")
        equal(files_below(installed.root), [os.path.relpath(conf, installed.root)])
        equal(read(conf), changed)


if __name__ == "__main__":
    main()
