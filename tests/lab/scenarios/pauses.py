# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a pause is, in instructions, by how many blocks it is for and how many vCPUs there are.

On a host of one CPU whose clock counts them, so that no vCPU is in the guest: to have one leave takes as long as an
interrupt and an exit take on another CPU, which instructions do not tell. By hand.
"""

from host.vmm import BLOCK, MIB, Vmm

ORDER = 96
BASES = ("linux-6.1",)
SERIES = ("vmid",)
CPUS = ("neoverse-n1", "cortex-a72")
COUNTED = 1
SYSTEMD = False
DEBUG = False
LONG = True

BLOCKS = (1, 16, 64, 256)
VCPUS = (1, 2, 4, 8)
# What a pause may take for each of them: a store and its barrier, or the look at a vCPU
BLOCK_INSTRUCTIONS, VCPU_INSTRUCTIONS = 100, 1000


def pause(lab, vcpus, blocks, flags):
    """Instructions of one pause, and for how long mmu_lock is held with it."""
    vmm = Vmm(lab, vcpus=vcpus)
    vmm.add(mib=blocks * BLOCK // MIB)
    vmm.work("populate", 1, step=512)
    if "recover" in flags:
        lab.split(vmm.pid, "split")
    done = lab.split(vmm.pid, flags)
    lab.eq((done["blocks"], done["pauses"], done["tlbis"]), (blocks, 1, 0),
           f"{flags}, {blocks} blocks, {vcpus} vCPUs: one pause")
    took = vmm.stats()["pause_max_ns"]
    lab.note(f"{flags}, {blocks} blocks, {vcpus} vCPUs: {took} instructions, of {done['hold_max_ns']} with mmu_lock")
    lab.drop(vmm.pid)
    vmm.quit()
    return took


def slope(took):
    """Instructions for one more, of a dictionary by their number."""
    least, most = min(took), max(took)
    return (took[most] - took[least]) / (most - least)


def run(lab):
    lab.huge_pages(max(BLOCKS) * BLOCK // MIB)
    for flags in ("split+pause", "recover+pause"):
        each = slope({blocks: pause(lab, 1, blocks, flags) for blocks in BLOCKS})
        lab.ok(each < BLOCK_INSTRUCTIONS, f"{flags}: instructions a block, less than {BLOCK_INSTRUCTIONS}", each)
        lab.note(f"{flags}: {each:.0f} instructions a block")
    each = slope({vcpus: pause(lab, vcpus, 16, "split+pause") for vcpus in VCPUS})
    lab.ok(each < VCPU_INSTRUCTIONS, f"instructions a vCPU, less than {VCPU_INSTRUCTIONS}", each)
    lab.note(f"{each:.0f} instructions a vCPU")
