# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel of each patch of the series in turn boots and runs a guest (the smoke scenario)."""

# The runner knows what to boot: see plan.EACH.
ORDER = 90
SERIES = ()
CPUS = ()
SYSTEMD = False
DEBUG = False
