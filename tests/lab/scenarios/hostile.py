# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile rounds, drawn by seed: all that there is at once, beside vCPUs that read, write, execute and check.

Two VMs are split, held, recovered, logged, cleared, prepared and abandoned by the daemon, while memslots come and go,
the VMM's mappings and the host's pages change, memory is short, and VMM and daemon are stopped, killed and restarted.
host/operations.py has all of it, host/hostile.py what must be so then.
"""

import socket

from host.daemon import SOCKET
from host.hostile import Hostile
from host.machine import MAIN, MAIN_PAGES, STEP
from host.vmm import Vmm

ORDER = 80
SERIES = ("vmid",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = True
PARTS = ("daemon",)

ROUNDS, LONG_ROUNDS = 100, 1000
# Rounds to a line of TAP, and until the VMs are new ones
EACH = 10
# So often the numbers so far are told, for whoever stops it
TOLD = 10 * EACH
# What must never be, done on purpose in the middle of a round. Each returns what ends it, where the round does not.

def lost_page(hostile):
    """Fetched, cleared and not sent."""
    machine = hostile.machines[1]
    machine.log(True)
    machine.advance()
    machine.rest()
    machine.call("dirty", MAIN)
    machine.call("clear", MAIN, first=0, pages=MAIN_PAGES)
    machine.verify()


def changed_byte(hostile):
    machine = hostile.machines[0]
    machine.rest()
    machine.call("spoil", MAIN, page=STEP, word=77)
    machine.work()


def held_by_a_stranger(hostile):
    stranger = hostile.lab.new_splitter(hostile.machines[0].pid)
    stranger.ask("hold")
    return stranger.close


def not_held(hostile):
    hostile.machines[0].told = "scheduled"


def connected(hostile):
    streams = [socket.socket(socket.AF_UNIX) for _ in range(hostile.most_sockets() + 1)]
    for stream in streams:
        stream.connect(SOCKET)
    return streams.clear


def one_more(hostile):
    return Vmm(hostile.lab).quit


def overspent(hostile):
    hostile.budget.limits = [(0, 0)]
    hostile.machines[0].tell("scheduled")


SPOILS = (
    (lost_page, "are not in the log"), (changed_byte, "changed"), (held_by_a_stranger, "not held as it should be"),
    (not_held, "not held as it should be"), (connected, "the daemon keeps"), (one_more, "3 VMs"),
    (overspent, "exceeded"))


def noticed(lab, hostile):
    """Each of these fails a round. Nobody need wait long for what will not be."""
    hostile.looks = 2
    for spoil, words in SPOILS:
        ends = []
        wrong = hostile.round(0, lambda of, spoil=spoil: ends.append(spoil(of)))
        lab.ok(words in (wrong or ""), f"{spoil.__name__.replace('_', ' ')}: a round shows it", wrong)
        for end in filter(None, ends):
            end()
        hostile.give_up(restart=False)


def some_rounds(lab, hostile, numbers):
    """Returns how many were violated."""
    violations = 0
    for number in numbers:
        wrong = hostile.round(number)
        if wrong:
            violations += 1
            lab.ok(False, hostile.where, f"{wrong}\nafter: {', '.join(hostile.trail)}")
            hostile.give_up()
    left = hostile.renew()
    if left:
        lab.ok(False, f"{hostile.where}: the VMs end, and nothing is left", left)
    return violations + bool(left)


def listed(counts):
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


def tell(lab, hostile, rounds, violations):
    lab.note(f"{rounds} rounds, {violations} violations, {hostile.budget.tlbis} TLBIs by the daemon")
    lab.note(f"operations: {listed(hostile.done)}")
    lab.note(f"injected: {listed(hostile.injected)}")


def run(lab):
    seed = lab.plan["seed"]
    rounds = lab.rounds or (LONG_ROUNDS if lab.long else ROUNDS)
    end = lab.first + rounds
    hostile = Hostile(lab, seed)
    for name, why in hostile.missing.items():
        lab.skip(name, why)
    hostile.start()
    violations = 0
    for first in range(lab.first, end, EACH):
        numbers = range(first, min(first + EACH, end))
        found = some_rounds(lab, hostile, numbers)
        if not found:
            lab.ok(True, f"seed {seed}, rounds {first} to {numbers[-1]}: no violation")
        violations += found
        done = numbers[-1] + 1 - lab.first
        if done == rounds or not done % TOLD:
            tell(lab, hostile, done, violations)
    noticed(lab, hostile)
    lab.eq(hostile.stop(), "", "all has ended, and nothing is left")
