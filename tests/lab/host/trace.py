# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's trace of split ranges, and whether a budget was kept in it."""

import re
from collections import namedtuple

from host.lab import Failed, read, write

TRACING = "/sys/kernel/tracing"
EVENT = f"{TRACING}/events/kvm/kvm_arm_eager_split"
LINE = re.compile(r"\s(\d+)\.(\d{6}): kvm_arm_eager_split: pid: (\d+), gpa: \S+ end: \S+ "
                  r"blocks: (\d+), tlbis: (\d+), recover: (\d)")

# usec: CLOCK_MONOTONIC; pid: the VMM's
Range = namedtuple("Range", "usec pid blocks tlbis recover")


class SplitTrace:
    """Records the event while in a with block; ranges() then tells what it was."""

    def __enter__(self):
        write(f"{TRACING}/trace_clock", "mono")
        write(f"{TRACING}/buffer_size_kb", 4096)
        write(f"{TRACING}/trace", "")
        write(f"{EVENT}/enable", 1)
        write(f"{TRACING}/tracing_on", 1)
        return self

    def __exit__(self, *_):
        write(f"{EVENT}/enable", 0)

    def ranges(self):
        """In the order of time. None may have been lost."""
        text = read(f"{TRACING}/trace")
        lost = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text)
        if lost and lost[1] != lost[2]:
            raise Failed(f"trace events were lost: {lost[0]}")
        found = [Range(int(s) * 1000000 + int(us), *map(int, rest)) for s, us, *rest in LINE.findall(text)]
        return sorted(found, key=lambda r: r.usec)


def worst_excess(ranges, rate, burst):
    """
    The most TLBIs beyond rate * t + burst in any interval from one event to another, times a million,
    so that it is an integer; none is beyond where that is at most 0. Trace times are cut off to
    microseconds: an interval may have been longer by less than one, which counts for the budget.

    Of all intervals that end at an event, the one with the largest excess so far either begins there or
    is the best one of the event before with this one added; so one pass sees all pairs.
    """
    worst = carried = None
    before = 0
    for event in ranges:
        own = event.tlbis * 1000000
        if carried is None:
            carried = own
        else:
            carried = max(own, carried - rate * (event.usec - before) + own)
        before = event.usec
        excess = carried - burst * 1000000 - rate
        worst = excess if worst is None else max(worst, excess)
    return worst
