# SPDX-License-Identifier: GPL-2.0-or-later
"""VMIDs by a model of what TLBs may hold, with few of them: each stands for one age of one VM's tables.

A debug kernel has the model, and what makes it find something: see vmid_check.c in kernel/linux-6.1/debug-vmid.
The emulator itself would show none of that.
"""

import os

from host.lab import read, write
from host.vmm import Vmm

ORDER = 28
BASES = ("linux-6.1",)
SERIES = ("vmid",)
CPUS = ("neoverse-n1", "max-bbm", "cortex-a72")
SYSTEMD = False
DEBUG = "only"

PARAMETERS = "/sys/module/kvm/parameters"
RULES = ("vmid_stale", "vmid_inside", "vmid_zero")
# How many VMIDs there are to be, 0 included: as few as the allocator can do with, and those of eight bits
FEWEST, EIGHT_BITS = 5, 256
VMS, MIB, BLOCKS = 3, 8, 4
# Of the one that something is left out for
ALONE_MIB = 64
# VMs split and recovered by turns, so many times; a long run takes a pause for each block, for rollovers by the hundred
TIMES, LONG_TIMES = 120, 1100
# What may be left out; enum kvm_vmid_fault
KEEP, UNLOCKED, STAY, ZERO = 1, 2, 3, 4


def get(name):
    return int(read(f"{PARAMETERS}/{name}"))


def put(name, value):
    write(f"{PARAMETERS}/{name}", value)


def start(lab, vms=VMS, mib=MIB):
    """VMs with two vCPUs at work each, as many as there are CPUs."""
    vmms = []
    for _ in range(vms):
        vmm = Vmm(lab)
        vmm.add(mib=mib)
        vmm.work("populate", 1)
        vmm.call("start", 1, write=3, exec=5)
        vmms.append(vmm)
    return vmms


def stop(vmms, name):
    for vmm in vmms:
        vmm.work("stop")
        vmm.intact(f"{name}: memory is intact")
        vmm.quit()


def counted(lab, name, work):
    """What the model has counted meanwhile."""
    before = {rule: get(rule) for rule in (*RULES, "vmid_entries", "vmid_rollovers")}
    work()
    found = {rule: get(rule) - value for rule, value in before.items()}
    lab.note(f"{name}: {found}")
    return found


def by_turns(lab, vmms, times, **each):
    for _ in range(times):
        for flags in ("split+pause", "recover+pause"):
            for vmm in vmms:
                lab.split(vmm.pid, flags, **each)


def kept(lab, limit, times, pauses=1, **each):
    """each: how a call is made; pauses: that it takes then, for all blocks of a VM."""
    name = f"{limit - 1} VMIDs, {pauses} pauses a call"
    put("vmid_limit", limit)
    vmms = start(lab)
    found = counted(lab, name, lambda: by_turns(lab, vmms, times, **each))
    lab.eq([found[rule] for rule in RULES], [0, 0, 0], f"{name}: all rules are kept")
    lab.ok(found["vmid_entries"] > VMS * times, f"{name}: vCPUs have entered", found)
    # Each pause takes a VMID.
    lab.ok(found["vmid_rollovers"] >= 2 * VMS * times * pauses // limit, f"{name}: rollovers", found)
    stop(vmms, name)


def found_out(lab, fault, name, rule):
    """What is left out is noticed. Nothing is recovered: tables that are in use would be freed."""
    put("vmid_fault", fault)
    vmm, = start(lab, vms=1, mib=ALONE_MIB)
    found = counted(lab, name, lambda: lab.split(vmm.pid, "split+pause", blocks=1, calls=0))
    put("vmid_fault", 0)
    lab.ok(found[rule] > 0, f"{name}: {rule} finds it", found)
    vmm.call("stop")
    vmm.quit()


def unlocked(lab, times):
    """A rollover for another VM at the wrong moment puts the old VMID back; that may be seen or not."""
    put("vmid_limit", FEWEST)
    put("vmid_fault", UNLOCKED)
    vmms = start(lab)
    counted(lab, "without the allocator's lock", lambda: by_turns(lab, vmms, times))
    put("vmid_fault", 0)
    stop(vmms, "without the allocator's lock")


def run(lab):
    lab.huge_pages(max(VMS * MIB, ALONE_MIB))
    lab.ok(os.path.exists(f"{PARAMETERS}/vmid_fault"), "this kernel has the model")
    kept(lab, FEWEST, TIMES)
    kept(lab, EIGHT_BITS, TIMES)
    if lab.long:
        kept(lab, EIGHT_BITS, LONG_TIMES, pauses=BLOCKS, blocks=1, calls=0)
    put("vmid_limit", 0)
    found_out(lab, KEEP, "the VMID stays", "vmid_stale")
    found_out(lab, STAY, "vCPUs stay", "vmid_inside")
    # Without VHE it is what the host itself runs by.
    if lab.cpu != "cortex-a72":
        found_out(lab, ZERO, "VMID 0", "vmid_zero")
    unlocked(lab, TIMES)
    put("vmid_limit", 0)
