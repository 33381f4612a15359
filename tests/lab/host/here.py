#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The lab without its emulator: on an arm64 host that runs a patched kernel, scenarios, and a table of times.

  here.py [SCENARIO...]          as TAP; those that look at nothing but KVM
  here.py --table [--mib=N]      what it costs to split a VM's blocks, and to log its dirty pages, as Markdown
          [--selftests=DIR]      and what dirty_log_perf_test of there says

LAB_BIN is the folder with the lab's programs; `tests/lab/run --here` makes them and sets it. It takes root, and takes
the pool of huge pages for itself while it runs.
"""

import argparse
import importlib
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True

from host.lab import BIN, Failed, Lab, parse_answer, read, write  # noqa: E402
from host.trace import Trace  # noqa: E402
from host.vmm import MIB, Vmm  # noqa: E402
from scenarios import selftests  # noqa: E402

SPLITTERS, NO_BREAK = 1, 2
# What needs no systemd, no daemon and no emulator that counts TLBIs by kind
SCENARIOS = ("smoke", "batches", "splitter", "hold", "dirty-stress")
KVM_STATS = "/sys/kernel/debug/kvm"
CAUSES = ("fault", "unmap", "protect", "split", "recover")
GIB = 1 << 30
# Of the pages one in so many is written
EVERY = 64
PERCENTILES = (50, 99)
TRACE_KIB = 65536


class Tap:
    """Takes a scenario's records, as host/out.py does, and prints them."""

    def __init__(self):
        self.count = self.failed = 0

    def send(self, **record):
        if record["type"] == "note":
            print(f"# {record['scenario']}: {record['text']}", flush=True)
        elif record["type"] == "test":
            self.count += 1
            self.failed += not record["ok"]
            skip = f" # SKIP {record['skip']}" if "skip" in record else ""
            print(f"{'ok' if record['ok'] else 'not ok'} {self.count} - {record['scenario']}: {record['name']}{skip}")
            for line in record.get("why", "").splitlines():
                print(f"# {line}")
            sys.stdout.flush()

    def finish(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


class Here(Lab):
    """
    This host. TLBIs are those that KVM has counted of the VMs that there are, all kinds together: what is expected of
    one kind is not looked at.
    """

    def __init__(self, out):
        version = ".".join(platform.release().split(".")[:2])
        super().__init__({"cpu": "", "base": "linux-6.1" if version == "6.1" else f"linux-{version}", "series": "none",
                          "bbm": "", "config": "lab", "long": False, "rounds": 0, "first": 0, "no_break": False}, out)
        mask = self.mask()
        self.series = "all" if mask & SPLITTERS else "none"
        self.patched = bool(mask & SPLITTERS)
        self.no_break = bool(mask & NO_BREAK)
        self._begun, self._counts, self.compared = None, {}, 0
        self._others = set(os.listdir(KVM_STATS))

    def vms(self):
        """But for those that were here before."""
        return sum("-" in name and name not in self._others for name in os.listdir(KVM_STATS))

    def mask(self):
        return parse_answer(self.must(f"{BIN}/splitcall", "capability")).get("mask", 0)

    @staticmethod
    def _broadcasts():
        """None where the kernel does not count them."""
        try:
            return sum(int(read(f"{KVM_STATS}/tlbi_{cause}")) for cause in CAUSES)
        except FileNotFoundError:
            return None

    def set_phase(self, number):
        now = self._broadcasts()
        if self._begun and now is not None:
            phase, before = self._begun
            self._counts[phase] = now - before
        self._begun = (number, now) if number and now is not None else None

    def _compare(self, phase, name, counts, good):
        if "broadcast" in counts and phase in self._counts:
            got = self._counts[phase]
            self.compared += 1
            self.ok(good(got, counts["broadcast"]), name, f"counted {got}, wanted {counts}")
        else:
            self.skip(name, "TLBIs by kind are for the emulator to count")

    def expect(self, phase, name, **counts):
        self._compare(phase, name, counts, int.__eq__)

    def at_most(self, phase, name, **counts):
        self._compare(phase, name, counts, int.__le__)

    def row(self, phase, **columns):
        pass


def percentile(values, percent):
    """Of sorted values; 0 where there are none."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else 0


def histogram_percentile(hist, percent):
    """In nanoseconds, the upper end of the power of two; 0 where nothing was counted."""
    wanted, seen = sum(hist) * percent / 100, 0
    for bucket, count in enumerate(hist):
        seen += count
        if count and seen >= wanted:
            return 1 << bucket
    return 0


def tlbis_of(lab, vmm):
    """(how often, histogram) so far; None where the kernel does not tell."""
    if not lab.patched:
        return None
    survey = lab.survey(vmm.pid)
    return sum(survey[f"tlbi_{cause}"] for cause in CAUSES), [int(n) for n in survey["tlbi_hist"].split(",")]


class Step:
    """One row of the table: a with block, in which a VM's vCPUs work."""

    def __init__(self, lab, rows, way, name, vmm):
        self._lab, self._rows, self._vmm = lab, rows, vmm
        self._names = [way, name]
        self._trace = Trace("kvm_entry", "kvm_exit", kib=TRACE_KIB)

    def __enter__(self):
        self._before = tlbis_of(self._lab, self._vmm), self._vmm.stats()
        self._trace.__enter__()
        self._start = time.monotonic()
        return self

    def __exit__(self, *error):
        took = time.monotonic() - self._start
        self._trace.__exit__(*error)
        if error[0]:
            return
        exits = sorted(took for _, took in self._trace.exits())
        row = self._names + [f"{took * 1000:.1f}", *self._tlbis(), f"{len(exits)}"]
        row += [f"{percentile(exits, p)}" for p in PERCENTILES] + [f"{exits[-1] if exits else 0}"]
        self._rows.append(row)

    def _tlbis(self):
        after, before = tlbis_of(self._lab, self._vmm), self._before[0]
        if not after:
            return ["-"] * (1 + len(PERCENTILES))
        hist = [now - then for now, then in zip(after[1], before[1])]
        return [f"{after[0] - before[0]}", *(f"{histogram_percentile(hist, p) / 1000:.1f}" for p in PERCENTILES)]


def one_way(lab, rows, way, mib, chunk=0, ahead=False):
    """A VM whose dirty pages are logged, in one way of splitting its blocks, with its vCPUs at work."""
    vmm = Vmm(lab, chunk=chunk, vcpus=min(8, os.cpu_count()))
    vmm.add(mib=mib)
    vmm.work("populate", 1)
    vmm.call("start", 1, write=EVERY)
    vmm.advance()
    if ahead:
        with Step(lab, rows, way, "split ahead", vmm):
            lab.split(vmm.pid, "hold+split", calls=0)
    with Step(lab, rows, way, "logging enabled", vmm):
        vmm.call("log", 1, on=1)
    vmm.work("stop")
    for name in ("first pass", "next pass"):
        with Step(lab, rows, way, name, vmm):
            vmm.work("pass", 1, write=EVERY)
        vmm.call("dirty", 1)
    vmm.call("start", 1, write=EVERY)
    vmm.advance()
    with Step(lab, rows, way, "logging disabled", vmm):
        vmm.call("log", 1, on=0)
    if ahead:
        with Step(lab, rows, way, "recovered", vmm):
            lab.split(vmm.pid, "release+recover", calls=0)
    vmm.work("stop")
    vmm.intact(f"{way}: memory is intact")
    vmm.quit()


def print_table(lab, rows, mib):
    print(f"| {mib} MiB, {min(8, os.cpu_count())} vCPUs, Linux {platform.release()} | while | ms | TLBIs "
          "| median, us | 99%, us | exits | median, us | 99%, us | longest, us |")
    print("|---|---|" + "--:|" * 8)
    for row in rows:
        print("| " + " | ".join(row) + " |")
    if not lab.patched:
        print("\nThis kernel has no splitter: its TLBIs are not told.")


def perf_test(lab, folder, mib):
    """dirty_log_perf_test as it is, and with its VM held in pages from the beginning."""
    argv = [f"{folder}/dirty_log_perf_test", "-m", selftests.mode(lab), "-v", str(min(8, os.cpu_count())), "-b",
            f"{mib // min(8, os.cpu_count())}M", "-s", f"anonymous_hugetlb_{lab.block // MIB}mb"]
    ways = [("split on fault", False)] + [("held by pages", True)] * lab.patched
    for way, held in ways:
        child = lab.spawn(*argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if held:
            hold_when_there(lab, child.pid)
        said = child.communicate()[0]
        lab.eq(child.returncode, 0, f"dirty_log_perf_test, {way}")
        for line in said.splitlines():
            if re.search(r"time:|took", line):
                print(f"dirty_log_perf_test, {way}: {line.strip()}")


def hold_when_there(lab, pid):
    """As soon as that process has a VM."""
    def hold():
        try:
            return not lab.split(pid, "hold")["error"]
        except Failed:
            return False
    lab.wait_for("its VM", hold)


def table(lab, mib, folder=None):
    lab.begin("table")
    rows = []
    lab.huge_pages(mib)
    ways = [("split on fault", {})]
    if lab.base != "linux-6.1" or lab.patched:
        ways += [(f"chunks of {chunk // MIB} MiB", {"chunk": chunk}) for chunk in (lab.block, GIB)
                 if chunk >= lab.block]
    ways += [("ahead, by a splitter", {"ahead": True})] * lab.patched
    for way, options in ways:
        one_way(lab, rows, way, mib, **options)
    print_table(lab, rows, mib)
    if folder:
        perf_test(lab, folder, mib)
    lab.clean_up()


def scenario(lab, name):
    lab.begin(name)
    try:
        importlib.import_module("scenarios." + name.replace("-", "_")).run(lab)
    except Failed as error:
        lab.ok(False, "goes through", error)
    except Exception:
        lab.ok(False, "goes through", traceback.format_exc())
    lab.clean_up()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--selftests")
    options = parser.parse_args()
    if platform.machine() != "aarch64":
        parser.error("this is no arm64 host")
    out = Tap()
    lab = Here(out)
    pool = f"/sys/kernel/mm/hugepages/hugepages-{lab.block >> 10}kB/nr_hugepages"
    before = read(pool)
    try:
        if options.table:
            table(lab, options.mib, options.selftests)
        for name in options.scenario or (() if options.table else SCENARIOS):
            scenario(lab, name)
    finally:
        write(pool, before)
    print(f"# counts of TLBIs compared with KVM's own: {lab.compared}")
    return out.finish()


if __name__ == "__main__":
    sys.exit(main())
