# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's trace of split ranges, and whether a budget was kept in it."""

import glob
import os
import re
import time
from collections import namedtuple

from host.lab import Failed, read, write

TRACING = "/sys/kernel/tracing"
SPLIT = re.compile(r"-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): kvm_arm_eager_split: pid: (\d+), gpa: \S+ end: \S+ "
                   r"blocks: (\d+), tlbis: (\d+), recover: (\d), tlbi_ns: (\d+)")
FAULT = re.compile(r"\s(\d+)\.(\d{6}): kvm_guest_fault: ipa (\w+), hsr (\w+),")
ABORT = re.compile(r"-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): kvm_(entry|guest_fault):")
SWITCH = re.compile(r"-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): kvm_(entry|exit):")
# Of an abort's syndrome: the fault status without the level, and that of a translation fault.
STATUS_MASK, TRANSLATION = 0x3c, 0x04

# usec: CLOCK_MONOTONIC, behind its TLBIs; pid: the VMM's; thread: whose call it was
Range = namedtuple("Range", "usec pid blocks tlbis recover tlbi_nsec thread", defaults=(0,))
Fault = namedtuple("Fault", "usec ipa translation")


def _usec(seconds, fraction):
    return int(seconds) * 1000000 + int(fraction)


def _ranges(text):
    """In the order of time."""
    found = [Range(_usec(s, us), *map(int, rest), int(thread)) for thread, s, us, *rest in SPLIT.findall(text)]
    return sorted(found, key=lambda r: r.usec)


class Trace:
    """Records events of KVM while in a with block; ranges() and faults() then tell what they were."""

    def __init__(self, *events, kib=4096):
        self._events = [f"{TRACING}/events/kvm/{event}/enable" for event in events]
        self._kib = kib

    def __enter__(self):
        write(f"{TRACING}/trace_clock", "mono")
        write(f"{TRACING}/buffer_size_kb", self._kib)
        write(f"{TRACING}/trace", "")
        for event in self._events:
            write(event, 1)
        write(f"{TRACING}/tracing_on", 1)
        return self

    def __exit__(self, *_):
        for event in self._events:
            write(event, 0)

    @staticmethod
    def _text():
        """None may have been lost."""
        text = read(f"{TRACING}/trace")
        lost = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text)
        if lost and lost[1] != lost[2]:
            raise Failed(f"trace events were lost: {lost[0]}")
        return text

    def ranges(self):
        """Ranges split or recovered, in the order of time."""
        return _ranges(self._text())

    def faults(self):
        """Stage-2 faults of all guests, in the order of time."""
        found = [Fault(_usec(s, us), int(ipa, 16), int(hsr, 16) & STATUS_MASK == TRANSLATION)
                 for s, us, ipa, hsr in FAULT.findall(self._text())]
        return sorted(found, key=lambda f: f.usec)

    def fault_times(self):
        """Of each stage-2 fault, by events kvm_guest_fault and kvm_entry, in microseconds."""
        took, begun = [], {}
        for thread, seconds, fraction, kind in ABORT.findall(self._text()):
            if kind == "guest_fault":
                begun[thread] = _usec(seconds, fraction)
            elif thread in begun:
                took.append(_usec(seconds, fraction) - begun.pop(thread))
        return took

    def exits(self):
        """Exits of vCPUs, by events kvm_exit and kvm_entry: (when it ended, how long it took), in microseconds."""
        took, left = [], {}
        for thread, seconds, fraction, kind in SWITCH.findall(self._text()):
            if kind == "exit":
                left[thread] = _usec(seconds, fraction)
            elif thread in left:
                now = _usec(seconds, fraction)
                took.append((now, now - left.pop(thread)))
        return took


class RangeStream(Trace):
    """The ranges as they come, for as long as one likes: next() has those since the last one."""

    def __init__(self, kib=256):
        super().__init__("kvm_arm_eager_split", kib=kib)
        self._pipe = None

    def __enter__(self):
        super().__enter__()
        self._pipe = os.open(f"{TRACING}/trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def __exit__(self, *exception):
        os.close(self._pipe)
        super().__exit__(*exception)

    def next(self):
        text = b""
        try:
            while more := os.read(self._pipe, 65536):
                text += more
        except BlockingIOError:
            pass
        if b"LOST" in text:
            raise Failed(f"trace events were lost: {text[:200]}")
        return _ranges(text.decode())


class FaultTimes:
    """
    How long each stage-2 fault of some threads on a guest's memory takes, from KVM's looking at it until the vCPU is in
    the guest again: a list of microseconds, after the with block.
    """

    def __init__(self, threads, ram, kib):
        """kib: of the trace's buffer, for each CPU."""
        pids = " || ".join(f"common_pid == {thread}" for thread in threads)
        self._filters = {"kvm_guest_fault": f"({pids}) && ipa >= {ram:#x}", "kvm_entry": pids}
        self._trace = Trace(*self._filters, kib=kib)
        self.usec = None

    def __enter__(self):
        for event, condition in self._filters.items():
            write(f"{TRACING}/events/kvm/{event}/filter", condition)
        self._trace.__enter__()
        return self

    def __exit__(self, *_):
        self._trace.__exit__()
        for event in self._filters:
            write(f"{TRACING}/events/kvm/{event}/filter", "0")
        self.usec = self._trace.fault_times()
        write(f"{TRACING}/trace", "")


class FaultCount:
    """Stage-2 faults of some threads on a guest's memory while in a with block; nothing is kept of them."""

    def __init__(self, threads, ram):
        pids = " || ".join(f"common_pid == {thread}" for thread in threads)
        self._filter = f"({pids}) && ipa >= {ram:#x}"
        self._event = f"{TRACING}/events/kvm/kvm_guest_fault"
        self.count = None

    def __enter__(self):
        write(f"{TRACING}/trace", "")
        write(f"{self._event}/filter", self._filter)
        write(f"{self._event}/enable", 1)
        write(f"{TRACING}/tracing_on", 1)
        return self

    def __exit__(self, *_):
        write(f"{self._event}/enable", 0)
        write(f"{self._event}/filter", "0")
        stats = [parse_stats(read(path)) for path in glob.glob(f"{TRACING}/per_cpu/cpu*/stats")]
        if any(cpu["commit overrun"] or cpu["dropped events"] for cpu in stats):
            raise Failed(f"trace events were lost: {stats}")
        # What was written over counts as well.
        self.count = sum(cpu["entries"] + cpu["overrun"] for cpu in stats)


def parse_stats(text):
    """The lines "KEY: NUMBER" of a CPU's trace buffer."""
    pairs = (line.split(": ") for line in text.splitlines())
    return {key: int(value) for key, value in pairs if value.isdigit()}


def now_usec():
    """The trace's clock."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


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


def worst_load(ranges, ppm):
    """
    The most time of TLBIs beyond load * t and what one call takes in any interval from one event to another, in
    nanoseconds; each call is taken for one event at the end. Likewise.
    """
    worst = carried = None
    longest = max(event.tlbi_nsec for event in ranges)
    before = 0
    for event in ranges:
        own = event.tlbi_nsec
        earned = ppm * (event.usec - before + 1) // 1000
        carried = own if carried is None else max(own, carried - earned + own)
        before = event.usec
        worst = max(carried - longest, worst if worst is not None else carried - longest)
    return worst
