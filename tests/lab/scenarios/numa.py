# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of a split block come from the NUMA node of its memory, whoever has it split."""

import os

from host.lab import Failed, read, write
from host.vmm import BLOCK, MIB, Vmm

ORDER = 17
BASES = ("linux-6.1",)
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
# The one whose host has two nodes, with a CPU each
CONFIGS = ("preempt",)
SYSTEMD = False
DEBUG = False

NODES = (0, 1)
MIB_EACH = 32
BLOCKS_EACH = MIB_EACH * MIB // BLOCK
PAGE_KIB = 4


def tables(node):
    """Pages of KVM's page tables on a node."""
    # Each CPU counts for itself, and adds that up at its leisure.
    write("/proc/sys/vm/stat_refresh", 1)
    for line in read(f"/sys/devices/system/node/node{node}/meminfo").splitlines():
        words = line.split()
        if words[2] == "SecPageTables:":
            return int(words[3]) // PAGE_KIB
    raise Failed(f"no page tables in the statistics of node {node}")


def memory_on(nodes):
    """The pool of huge pages: what there is, and where."""
    for node in NODES:
        pages = BLOCKS_EACH * (node in nodes)
        path = f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"
        write(path, pages)
        if int(read(path)) != pages:
            raise Failed(f"{read(path).strip()} of {pages} huge pages on node {node}")


def split_from(lab, cpu, nodes):
    memory_on(nodes)
    vmm = Vmm(lab)
    vmm.add(mib=MIB_EACH * len(nodes))
    vmm.work("populate", 1, step=64)
    os.sched_setaffinity(lab.splitter(vmm.pid).pid, {cpu})
    before = [tables(node) for node in NODES]
    done = lab.split(vmm.pid, "hold+split")
    more = [tables(node) - had for node, had in zip(NODES, before)]
    where = " and ".join(map(str, nodes))
    lab.eq(done["blocks"], BLOCKS_EACH * len(nodes), f"memory of node {where}, split from node {cpu}: blocks")
    lab.eq(more, [BLOCKS_EACH * (node in nodes) for node in NODES],
           f"memory of node {where}, split from node {cpu}: its tables are there")
    vmm.intact(f"memory of node {where}, split from node {cpu}: it is intact", step=64)
    vmm.quit()


def run(lab):
    for cpu in NODES:
        for nodes in ((0,), (1,), NODES):
            split_from(lab, cpu, nodes)
