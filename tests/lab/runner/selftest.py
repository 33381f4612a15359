# SPDX-License-Identifier: GPL-2.0-or-later
"""That the lab can fail: what its verdicts are made of, fed with what must be found, and with what must not."""

import io
import json
import sys
import tempfile
from pathlib import Path

from runner.boot import SECTOR, Boot, Records, kernel_reports
from runner.migrations import PREPARED, Migrations
from runner.tap import Tap

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from host.trace import Range, worst_excess  # noqa: E402

QUIET = """\
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x414fd0c1]
[    0.000000] Linux version 6.1.192 (lab@lab) #1 SMP
[    0.000000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.000000] kasan: KernelAddressSanitizer initialized (generic)
[    0.000000] rcu: Hierarchical RCU implementation.
[    0.000000] kmemleak: Kernel memory leak detector initialized (mem pool available: 15718)
[    0.600000] hrtimer: interrupt took 21713824 ns
[    1.000000] kvm [1]: VHE mode initialized successfully
"""

REPORTS = {
    "a lockdep report": "WARNING: possible circular locking dependency detected",
    "a recursive lock": "WARNING: possible recursive locking detected",
    "sleeping under a lock": "BUG: sleeping function called from invalid context at mm/page_alloc.c:5545",
    "a KASAN report": "BUG: KASAN: slab-use-after-free in stage2_split_walker+0x1c/0x2a0",
    "a WARN_ON()": "WARNING: CPU: 1 PID: 123 at arch/arm64/kvm/mmu.c:1070 kvm_mmu_split_range+0x1c/0x2a0",
    "a BUG_ON()": "kernel BUG at arch/arm64/kvm/hyp/pgtable.c:700!",
    "an oops": "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
    "a hung task": "INFO: task worker:145 blocked for more than 120 seconds.",
    "an RCU stall": "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    "an OOM kill": "Out of memory: Killed process 123 (vmm) total-vm:1234kB",
    "an OOM kill in a cgroup": "Memory cgroup out of memory: Killed process 123 (vmm) total-vm:1234kB",
    "an RCU misuse": "WARNING: suspicious RCU usage",
}


def kernel_logs(tap):
    tap.test(not kernel_reports(QUIET), "self-test: a quiet kernel log passes", kernel_reports(QUIET))
    for name, line in REPORTS.items():
        log = f"{QUIET}[   12.345678] {line}\n[   12.345679] CPU: 1 PID: 123 Comm: vmm\n"
        tap.test(kernel_reports(log), f"self-test: {name} in the kernel log fails", log)


def budgets(tap):
    """100 a second and a burst of 4: one each 10 ms, after 4 at once."""
    def ranges(*times):
        return [Range(usec, 1, 1, 1, 0, 0) for usec in times]

    good = ranges(0, 1, 2, 3, *range(20000, 500000, 10000))
    tap.test(worst_excess(good, 100, 4) <= 0, "self-test: a budget that is kept passes")
    tap.test(worst_excess(ranges(0, 1, 2, 3, 4), 100, 4) > 0, "self-test: a burst that is too large fails")
    early = good + ranges(500000, 500100, 500200, 500300, 500400)
    tap.test(worst_excess(early, 100, 4) > 0, "self-test: one TLBI too many after a long while fails")


def records(tap):
    """A record that is not written in full is not read."""
    def sectors(record):
        data = json.dumps(record).encode() + b"\n"
        return data + b"\0" * (-len(data) % SECTOR)

    small, large = {"type": "note", "text": "x"}, {"type": "note", "text": "y" * 3 * SECTOR}
    whole = sectors(small) + sectors(large)
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(1 << 20)
        reader = Records(file.name)
        seen = []
        for end in (0, SECTOR, 2 * SECTOR, 3 * SECTOR, len(whole)):
            file.seek(0)
            file.write(whole[:end])
            file.flush()
            seen.append(len(list(reader.read())))
    tap.test(seen == [0, 1, 0, 0, 1], "self-test: records are read once, when they are complete", seen)


def comparisons(tap):
    """A tenth of stock's faults: the worst of one boot against the best of the other."""
    def compare(stock, prepared):
        figures, report = Migrations(), io.StringIO()
        for way, all_faults in (("Linux 6.1", stock), (PREPARED, prepared)):
            for faults in all_faults:
                row = {"load": "reads mostly", "way": way, "faults": faults, "exits": 0, "ahead": 0, "pages": 0,
                       "iterations": 3}
                figures.take("max", [(row, {"ipas2e1is": 7, "vmalls12e1is": 9})])
        inner = Tap(report)
        figures.compare(inner)
        return inner.failed, report.getvalue(), figures.table()

    failed, report, table = compare((100, 120, 130), (7, 10, 8))
    tap.test(not failed and "ok 1" in report, "self-test: a tenth of the faults passes", report)
    tap.test("| max | reads mostly | Linux 6.1 | 120 (100–130) | 0 | 7 | 16 | 0 | 0 | 3 |" in table,
             "self-test: the table has the median, its range, and TLBIs of vCPU faults, and all", table)
    failed, report, _ = compare((100, 120, 130), (7, 11, 8))
    tap.test(failed, "self-test: one migration with more fails", report)
    failed, report, _ = compare((), (7,))
    tap.test("SKIP" in report, "self-test: without the stock kernel there is nothing to compare", report)


class Counted:
    """An emulator that has ended, and left counts and nothing in its log."""

    def __init__(self, out, counts):
        self.out = out
        self._counts = counts

    def start(self):
        pass

    stop = start

    def running(self):
        return False

    def kernel_reports(self):
        return []

    def read_counts(self):
        return self._counts


def hosts(tap):
    """What is expected of one of two hosts is compared with that one's counts."""
    def failures(host):
        with tempfile.NamedTemporaryFile() as out:
            for record in ({"type": "phase", "scenario": "s", "phase": 1, "name": "p"},
                           {"type": "expect", "scenario": "s", "phase": 1, "name": "none", "host": host,
                            "counts": {"broadcast": 0}}, {"type": "end"}):
                data = json.dumps(record).encode() + b"\n"
                out.write(data + b"\0" * (-len(data) % SECTOR))
            out.flush()
            emulators = [Counted(out.name, {1: {"ipas2e1": 3}}), Counted(None, {1: {"vmalls12e1is": 1}})]
            inner = Tap(io.StringIO())
            Boot(emulators, "two", inner).run()
        return inner.failed

    tap.test([failures(0), failures(1)] == [0, 1], "self-test: a TLBI of the host that has none fails, and of no other",
             [failures(0), failures(1)])


def verdicts(tap):
    report = io.StringIO()
    inner = Tap(report)
    inner.test(True, "good")
    inner.test(False, "bad", "why")
    tap.test(inner.finish() == 1 and "not ok 2 - bad\n# why\n1..2\n" in report.getvalue(),
             "self-test: a failed test fails the run, and says why", report.getvalue())


def run(tap):
    for part in (kernel_logs, budgets, records, comparisons, hosts, verdicts):
        part(tap)
