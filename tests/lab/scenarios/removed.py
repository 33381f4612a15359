# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab notices when the invalidation that ends a split without break-before-make is removed.

The runner takes the kernel's image, makes the function that invalidates do nothing but say that it did,
boots that, and wants this scenario to fail by what the emulator counts: the kernel's own figures are right.
"""

from scenarios.bbm import calls

# The runner knows what to boot: see plan.REMOVED.
ORDER = 95
SERIES = ()
CPUS = ()
SYSTEMD = False
DEBUG = False


def run(lab):
    lab.huge_pages(32)
    calls(lab)
