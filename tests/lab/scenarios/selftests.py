# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own KVM selftests."""

import signal
import time

from host.vmm import MIB

ORDER = 30
SERIES = ("bbm",)
CPUS = ("neoverse-n1", "max", "max-bbm", "cortex-a72")
SYSTEMD = False
DEBUG = True
PARTS = ("selftests",)

# Stands for a huge page as large as the host's blocks
HUGE = "HUGE"
# Stand for memory of a vCPU, and of all of a VM
SMALL, LARGE = "SMALL", "LARGE"
# Stands for the guest mode that all CPUs have, 40-bit addresses and pages as large as the host's, of 4 KiB: 5, on later
# kernels 6
MODE = "MODE"
# Stands for milliseconds between two looks at the log. What a vCPU writes is the number of the look that it has read
# before, and has to be there by the next but one: on a busy machine 10, as on hardware, have been too few for a vCPU that
# has to fault. As none are enough for any machine, what has failed is tried with more: a page that is lost is lost then, too.
INTERVAL = "INTERVAL"
INTERVALS = ("100", "400", "1600", "6400")
QUICK = (
    ("dirty_log_perf_test", "-m", MODE, "-v", "2", "-b", SMALL, "-s", HUGE),
    ("kvm_page_table_test", "-m", MODE, "-v", "2", "-b", LARGE, "-s", HUGE),
    ("dirty_log_test", "-m", MODE, "-i", "3", "-I", INTERVAL, "-M", "clear-log"),
    ("eager_split_test",),
    ("splitter_test",),
)
# Some minutes each, so for a long run; and nothing that goes another way without break-before-make.
SLOW = (
    ("dirty_log_test", "-m", MODE, "-i", "16", "-I", INTERVAL, "-M", "clear-log"),
    ("memslot_perf_test", "-l", "1", "-s", "64"),
    ("set_memory_region_test",),
)


def no_alarm():
    """memslot_perf_test gives each step two seconds of real hardware: a hang is the runner's to find."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def mode(lab):
    """The guest mode that is meant by MODE."""
    return str((5 if lab.base == "linux-6.1" else 6) + {4: 0, 16: 1, 64: 2}[lab.page >> 10])


def programs(lab):
    block = lab.block // MIB
    meant = {MODE: mode(lab), HUGE: f"anonymous_hugetlb_{block}mb",
             SMALL: f"{max(32, block)}M", LARGE: f"{max(64, 2 * block)}M"}
    return [[meant.get(argument, argument) for argument in program] for program in chosen(lab)]


def chosen(lab):
    if lab.long and not lab.no_break:
        return QUICK + SLOW
    # Every day the longest of them runs once by break-before-make and once without.
    once = lab.no_break or lab.plan["cpu"] == "neoverse-n1"
    return [program for program in QUICK if once or program[0] != "dirty_log_test"]


def try_once(lab, name, arguments):
    # Enough for the largest of them, and what one leaves mapped is none of the next one's.
    lab.huge_pages(0)
    lab.huge_pages(max(192, 8 * lab.block // MIB))
    return lab.run(f"/lab/selftests/{name}", *arguments, preexec_fn=no_alarm)


def run(lab):
    for name, *arguments in programs(lab):
        start = time.monotonic()
        for interval in INTERVALS:
            given = [interval if argument == INTERVAL else argument for argument in arguments]
            result = try_once(lab, name, given)
            if result.returncode == 0 or given == arguments:
                break
            lab.note(f"{name}: every {interval} ms: status {result.returncode}: {result.stdout[-300:].strip()}")
        # One that skips itself, or shows how it is to be called, has tested nothing.
        lab.ok(result.returncode == 0 and "usage:" not in result.stdout, " ".join((name, *given)),
               f"status {result.returncode}\n{result.stdout[-3000:]}")
        last = (result.stdout.splitlines() or [""])[-1].strip()
        lab.note(f"{name}: {time.monotonic() - start:.0f} s: {last}")
