# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens in hostile rounds (host/hostile.py): each by its name, how often it is drawn, and what it needs.

An operation gets the round's apparatus, one of its VMs, and a source of chance of its own, so that what it draws
does not depend on what others drew before.
"""

import ctypes
import os
from collections import namedtuple

from host import rollover
from host.injection import Injection, can_inject
from host.lab import read, write
from host.machine import AWAY, BESIDE, BESIDE_STEP, ENDED, HOME, MAIN, MAIN_BLOCKS, MAIN_PAGES, UNDER_WAY
from host.vmm import BLOCK, MEMORY

# run(hostile, machine, chance); missing(lab): why not here, or nothing; backing: of the VM that it takes
Operation = namedtuple("Operation", "name weight run missing backing")
OPERATIONS = []

# KVM_CAP_ARM_EAGER_SPLIT: VMs can be split by pauses
PAUSES = 4
KSM = "/sys/kernel/mm/ksm"
COMPACT = "/proc/sys/vm/compact_memory"
BALANCING = "/proc/sys/kernel/numa_balancing"
CONFLICT, NO_PAGE = "kvm_is_tlb_conflict", "should_fail_alloc_page"
VMID_LIMIT = "/sys/module/kvm/parameters/vmid_limit"
SYS_MIGRATE_PAGES = 238
# TlbiRate, TlbiBurst
BUDGETS = ((50, 4), (200, 4), (1000, 16))


def there(lab):
    return None


def needs(path, why):
    return lambda lab: None if os.path.exists(path) else why


def needs_pauses(lab):
    return None if lab.capability() & PAUSES else "this kernel does not split by pauses"


def injects(function):
    def missing(lab):
        return None if can_inject(function) else f"{function}() of this kernel cannot be called failed"
    return missing


def operation(name, weight, missing=there, backing=None):
    def register(run):
        OPERATIONS.append(Operation(name, weight, run, missing, backing))
        return run
    return register


# Blocks and tables, by a splitter of our own.

@operation("split", 6)
def split(hostile, machine, chance):
    limits = chance.choice(({}, {"max": 1}, {"blocks": chance.randint(1, MAIN_BLOCKS)}, {"max": 1, "calls": 0},
                            {"blocks": 1, "calls": 0}))
    where = chance.choice(({}, {"gpa": MEMORY + chance.randrange(MAIN_BLOCKS) * BLOCK}))
    flags = chance.choice(("hold+split", "hold+split", "split", "hold+split+break"))
    machine.run(flags, later=chance.random() < .6, **limits, **where)


@operation("recover", 4)
def recover(hostile, machine, chance):
    # Held by the daemon, it is refused.
    machine.run(chance.choice(("release+recover", "recover")), later=chance.random() < .5, allowed=(None, "EBUSY"),
                **chance.choice(({}, {"blocks": chance.randint(1, 8)}, {"blocks": 2, "calls": 0})))


@operation("hold", 2)
def hold(hostile, machine, chance):
    machine.run("hold")


@operation("release", 2)
def release(hostile, machine, chance):
    machine.run("release")


@operation("pauses", 3, needs_pauses)
def pauses(hostile, machine, chance):
    for _ in range(chance.randint(1, 4)):
        machine.run("hold+split+pause", **chance.choice(({}, {"blocks": 4, "calls": 0})))
        machine.run("release+recover+pause", allowed=(None, "EBUSY"))


# Dirty logging.

@operation("logging", 5)
def logging(hostile, machine, chance):
    machine.log(chance.random() < .7)


@operation("clear", 6)
def clear(hostile, machine, chance):
    """As migrations do, if there is none: the log is fetched and cleared, all of it or by parts."""
    machine.log(True)
    for _ in range(chance.randint(1, 3)):
        first, pages = chance.choice(((0, 0), (64 * chance.randrange(MAIN_PAGES // 64 - 8), 512)))
        machine.harvest(first=first, pages=pages)


# Memslots, and the VMM's mapping of what is in them.

def slot(name, places):
    @operation(name, 2)
    def change(hostile, machine, chance):
        machine.put_beside(chance.choice([gpa for gpa in places if gpa != machine.beside_at]),
                           log=chance.randrange(2))


slot("memslot deleted or added", (None, HOME))
slot("memslot moved", (HOME, AWAY))


def later(machine, chance, command, *args, **options):
    """Beside what comes next, or before."""
    machine.begin(command, *args, **options)
    if chance.random() < .5:
        machine.idle()


@operation("munmap", 3, backing="shared")
def munmap(hostile, machine, chance):
    later(machine, chance, "unmap", MAIN)


@operation("mprotect", 3, backing="thp")
def mprotect(hostile, machine, chance):
    first = 64 * chance.randrange(MAIN_PAGES // 64 - 8)
    later(machine, chance, "protect", MAIN, exec=chance.randrange(2), first=first,
          pages=chance.choice((16, 512, MAIN_PAGES - first)))


@operation("MADV_DONTNEED", 3)
def dontneed(hostile, machine, chance):
    """What has a file keeps what is in it; what has none is filled again by the guest."""
    if machine.backing == "shared" and chance.randrange(2):
        later(machine, chance, "discard", MAIN)
        return
    machine.put_beside(HOME)
    machine.rest()
    machine.call("discard", BESIDE)
    machine.call("populate", BESIDE, step=BESIDE_STEP)
    machine.work()


@operation("MADV_COLLAPSE", 3, backing="thp")
def collapse(hostile, machine, chance):
    later(machine, chance, "collapse", chance.choice((MAIN, BESIDE)))


# What the host does to memory by itself.

@operation("KSM", 3, needs(KSM, "this kernel has no KSM"))
def merge(hostile, machine, chance):
    """Until the round's end. The memory beside is the same in both VMs until a guest writes there."""
    for one in hostile.machines:
        one.call("merge", BESIDE)
    if machine.backing == "thp" and chance.randrange(2):
        machine.call("merge", MAIN)
    # Who ends it waits for as many pages as are scanned at once.
    for file, value in (("sleep_millisecs", 1), ("pages_to_scan", 256), ("run", 1)):
        write(f"{KSM}/{file}", value)
    hostile.at_end(lambda: write(f"{KSM}/run", 0))


@operation("compaction", 2, needs(COMPACT, "this kernel has no compaction"))
def compact(hostile, machine, chance):
    write(COMPACT, 1)


def two_nodes(lab):
    return None if os.path.exists("/sys/devices/system/node/node1") else "this host has one node"


@operation("memory moved to another node", 3, two_nodes)
def migrate(hostile, machine, chance):
    node = chance.randrange(2)
    old, new = (ctypes.c_ulong(1 << n) for n in (1 - node, node))
    ctypes.CDLL(None).syscall(SYS_MIGRATE_PAGES, machine.pid, ctypes.c_ulong(64), ctypes.byref(old), ctypes.byref(new))


@operation("NUMA balancing", 2, lambda lab: two_nodes(lab) or needs(BALANCING, "this kernel has none")(lab))
def balance(hostile, machine, chance):
    """On or off, for the rounds to come: it looks at a thread's memory once a second of its time."""
    write(BALANCING, chance.randrange(2))


# Too little memory.

@operation("cgroup's limit", 2, backing="shared")
def limit(hostile, machine, chance):
    """
    There is next to nothing for page tables, which are the VM's. Its vCPUs stand still, since one whose fault finds no
    memory has its VMM killed, and that is its VMM's affair. The memory at work is of huge pages, which are not charged.
    """
    machine.rest()
    machine.known()
    denied = machine.denied()
    machine.squeeze(chance.choice((0, 4, 8)) << 12)
    try:
        if chance.randrange(2) and machine.tell("scheduled"):
            hostile.wait("a limit that is met", lambda: machine.denied() > denied or hostile.is_split(machine))
        else:
            machine.run("hold+split", allowed=(None, "ENOMEM"))
    finally:
        machine.ease()
    hostile.inject("allocations denied by the cgroup", machine.denied() - denied)
    machine.run("split")
    machine.work()


@operation("no page", 2, injects(NO_PAGE))
def no_page(hostile, machine, chance):
    machine.answered()
    hostile.end_injection()
    injection = Injection(NO_PAGE, [machine.splitter.pid])
    injection.start()
    try:
        for _ in range(4):
            machine.run("hold+split", allowed=(None, "ENOMEM"), **chance.choice(({}, {"blocks": 2})))
    finally:
        # Nor are the rounds after a violation to have them.
        hostile.inject("pages that were not to be had", injection.stop())


# What the architecture may do.

@operation("TLB conflict aborts", 3, injects(CONFLICT))
def conflicts(hostile, machine, chance):
    """Half of all stage-2 aborts are called one, until the round's end."""
    hostile.begin_injection("TLB conflict aborts", CONFLICT)


@operation("VMIDs used up", 3, lambda lab: rollover.missing())
def use_up_vmids(hostile, machine, chance):
    hostile.roll_over()


# The VMM.

@operation("VMM stopped", 3)
def stop(hostile, machine, chance):
    """Until somebody wants something of it."""
    if not machine.stopped:
        machine.stop()


@operation("VMM killed", 1)
def kill(hostile, machine, chance):
    machine.kill()
    machine.make()
    machine.work()


# The daemon.

@operation("scheduled", 5)
def schedule(hostile, machine, chance):
    machine.tell("scheduled")


@operation("active", 3)
def activate(hostile, machine, chance):
    machine.tell("active")


@operation("ended", 3)
def end(hostile, machine, chance):
    if machine.told not in UNDER_WAY:
        machine.tell("scheduled")
    machine.tell(chance.choice(ENDED))


@operation("unregistered", 1)
def unregister(hostile, machine, chance):
    machine.unregister()


@operation("daemon stopped", 2)
def stop_daemon(hostile, machine, chance):
    """Until somebody wants something of it."""
    hostile.daemon.pause()


@operation("daemon killed", 1)
def kill_daemon(hostile, machine, chance):
    hostile.daemon.kill()


@operation("daemon restarted", 1)
def restart_daemon(hostile, machine, chance):
    hostile.daemon.restart()


@operation("reloaded", 2)
def reload(hostile, machine, chance):
    hostile.change_budget(*chance.choice(BUDGETS), chance.choice(hostile.methods))


def leave_in_peace():
    """Nobody moves memory any more."""
    if os.path.exists(BALANCING):
        write(BALANCING, 0)


def has_model():
    return os.path.exists(VMID_LIMIT)


def few_vmids(limit):
    """So that there are rollovers by each few pauses; 0: as many as there are."""
    write(VMID_LIMIT, limit)


def rules_broken():
    """By the model of what TLBs may hold (scenarios/vmid_check.py), and how many rollovers it has seen."""
    folder = os.path.dirname(VMID_LIMIT)
    names = ("vmid_stale", "vmid_inside", "vmid_zero", "vmid_rollovers")
    return {name: int(read(f"{folder}/{name}")) for name in names}
