# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages of a kernel: the emulated host installs them, and boots from what they have put there.

Two boots, of one disk: the runner (run_packages()) takes the kernel of the second out of /boot, as a boot loader would.
"""

import glob
import os

# The runner knows what to boot: see plan.PACKAGES.
ORDER = 92
SERIES = ()
CPUS = ()
SYSTEMD = True
DEBUG = False
LONG = True

PACKAGES = "/lab/packages/*.deb"
DPKG = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


def install(lab, files):
    before = set(glob.glob("/boot/*"))
    # The image has no ldconfig, which dpkg asks for whatever it installs.
    lab.must("dpkg", "--force-bad-path", "--install", *files, env=DPKG)
    for line in lab.must("dpkg-query", "--show", "--showformat", "${Package} ${Version}: ${Status}\n").splitlines():
        lab.ok(line.endswith(": install ok installed"), line, line)
    lab.ok(set(glob.glob("/boot/vmlinuz-*")) - before, "they bring a kernel", before)
    # Nothing unmounts the disk that the next boot is from.
    os.sync()


def run(lab):
    files = sorted(glob.glob(PACKAGES))
    if files:
        install(lab, files)
        return
    release = os.uname().release
    owner = lab.run("dpkg-query", "--search", f"/boot/vmlinuz-{release}").stdout.partition(":")[0]
    lab.eq(owner, f"linux-image-{release}", f"the kernel that runs, {release}, is that of the package")
