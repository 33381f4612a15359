# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the scenarios of this boot, as the runner's plan says; started by lab.service."""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback

sys.path.insert(0, "/lab")

from host.lab import Failed, Lab, progress, read  # noqa: E402
from host.pair import serve  # noqa: E402
from host.vmm import empty_vm  # noqa: E402


SYS_PERF_EVENT_OPEN = 241


def module_of(name):
    return "host.demo" if name == "demo" else "scenarios." + name.replace("-", "_")


def where_it_is():
    """
    Tells the console once a minute, for whoever looks at why a boot hangs. By a signal: faulthandler's
    thread looks at frames that are in use, and has crashed a slow run.
    """
    signal.signal(signal.SIGALRM, lambda _, frame: traceback.print_stack(frame))
    signal.setitimer(signal.ITIMER_REAL, 60, 60)


def switch_on():
    """
    What KVM and perf have in the scheduler is patched into its code while there is a VM, or an event of a task. With
    QEMU 7.2 as the emulator and all CPUs busy, vCPUs and counters were seen that had not been told that they were
    scheduled out, each time just after such a patch: as if what was translated of code between two of them was kept.
    So it is done once, before anything runs. Returns what keeps it so. A daemon would find that VM: where there may be
    one, VMs are few.
    """
    attr = bytearray(128)
    # PERF_TYPE_SOFTWARE, the size, PERF_COUNT_SW_DUMMY; of this thread, on any CPU
    attr[0:16] = b"".join(n.to_bytes(size, "little") for n, size in ((1, 4), (len(attr), 4), (9, 8)))
    buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
    kept = [ctypes.CDLL(None).syscall(SYS_PERF_EVENT_OPEN, buffer, 0, -1, -1, 0)]
    if not os.path.exists("/run/systemd/system"):
        kept.append(empty_vm())
    return kept


def run_scenario(lab, name):
    lab.begin(name)
    if name != "demo":
        progress(f"lab: {name}")
    start = time.monotonic()
    try:
        importlib.import_module(module_of(name)).run(lab)
    except Failed as error:
        lab.ok(False, "goes through", error)
    except Exception:
        lab.ok(False, "goes through", traceback.format_exc())
    try:
        lab.clean_up()
    except Exception:
        lab.ok(False, "cleans up", traceback.format_exc())
    lab.note(f"{time.monotonic() - start:.0f} s")


def leaks(lab):
    """A debug kernel's own list of memory that nothing points to any more."""
    path = "/sys/kernel/debug/kmemleak"
    if not os.path.exists(path):
        return
    lab.begin("kernel")
    if "kmemleak=off" in read("/proc/cmdline").split():
        lab.skip("kmemleak finds nothing", "it is off: kmemleak=off")
        return
    for _ in range(2):
        with open(path, "w", encoding="ascii") as file:
            file.write("scan")
    with open(path, encoding="ascii", errors="replace") as file:
        found = file.read()
    lab.ok(not found, "kmemleak finds nothing", found[:4000])


def main():
    with open("/lab/plan.json", encoding="utf-8") as file:
        plan = json.load(file)
    lab = Lab(plan)
    kept = switch_on()
    if min(kept) < 0:
        lab.note("no event of perf's is kept open")
    where_it_is()
    if "lab.serves=1" in read("/proc/cmdline").split():
        serve(lab)
    else:
        for name in plan["scenarios"]:
            run_scenario(lab, name)
    leaks(lab)
    lab.finish()


main()
