# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's log says when something is wrong: for the runner, and in the emulated host while it runs."""

import os
import re

# What a kernel says when it, or its lock checker, or its address sanitizer, finds something wrong.
# The last is how the kernel begins any report with a call trace.
KERNEL_REPORT = re.compile(
    r"WARNING:|BUG:|Oops|Kernel panic|KASAN|UBSAN|Internal error|INFO: (possible|task|rcu|suspicious|trying)|"
    r"suspicious RCU|possible recursive|possible circular|inconsistent lock|bad unlock|held lock freed|"
    r"rcu: .*(stall|starved)|detected stall|scheduling while atomic|sleeping function|unreferenced object|"
    r"Unable to handle kernel|Call trace:|kernel BUG|refcount_t|list_(add|del) corruption|[Oo]ut of memory: Killed")

# Whom pages are denied on purpose (operations.py): what it asks for besides tables, the kernel tells of.
DENIED, TELLS = "Comm: splitcall ", "warn_alloc+"


def is_denied(lines, number):
    """Whether that call trace is of such a failure."""
    before, behind = lines[max(0, number - 3):number], lines[number + 1:number + 9]
    return "Call trace:" in lines[number] and any(DENIED in line for line in before) and \
        any(TELLS in line for line in behind)


def kernel_reports(log):
    """The lines of a kernel's log that tell of something wrong, with what follows the first."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if KERNEL_REPORT.search(line) and not is_denied(lines, number):
            return lines[max(0, number - 2):number + 30]
    return []


class KernelLog:
    """The running kernel's, from now on."""

    def __init__(self, path="/dev/kmsg"):
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._fd, 0, os.SEEK_END)

    def reports(self):
        """What has come since the last call, as above. What users write there, as systemd does, is none of it."""
        lines = []
        while True:
            try:
                prefix, _, text = os.read(self._fd, 8192).decode(errors="replace").partition(";")
            except BlockingIOError:
                return kernel_reports("\n".join(lines))
            except BrokenPipeError:
                # Some were written over before they were read.
                continue
            # The facility, above three bits of priority: 0 is the kernel.
            if not int(prefix.split(",")[0]) >> 3:
                lines.append(text.splitlines()[0])
