# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL to the daemon at random moments: the next one goes on, no guest notices, and what was held stays so.

Two VMs are scheduled, migrate and are cancelled, over and over; the daemon is killed in all of it, and now
and then again while it starts. All of them together keep the budget. The moments follow from a seed, which is told: --seed=N has the same ones.
"""

import random
import time

from host.daemon import OFTEN, Daemon
from host.trace import Trace, worst_excess
from host.vmm import BLOCK, MIB, Vmm

ORDER = 75
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
PARTS = ("daemon",)

KILLS = 10
LONG_KILLS = 100
SIZE = 32
BLOCKS = SIZE * MIB // BLOCK
STEP = 64
RATE, BURST = 4, 1
# About as long as both take to be split, or recovered: a TLBI each.
LONGEST_SECONDS = 2 * 2 / RATE
# One of so many is killed again, while it starts.
TWICE = 4


class Victim:
    """A VM, and what the daemon should do with it."""

    def __init__(self, lab, daemon):
        self._lab = lab
        self._daemon = daemon
        self.vmm = Vmm(lab)
        self.vmm.add(mib=SIZE)
        self.vmm.work("populate", 1)
        self.vmm.call("start", 1, write=STEP, step=STEP)
        self.id = daemon.find(self.vmm.pid)["vm"]

    def tell(self, state):
        self._daemon.migration(self.id, state)

    def log(self, on):
        self.vmm.call("log", 1, on=on)

    def listed(self):
        """(migration, stage); GetVm would have the kernel look at its memory each time."""
        vm = next(vm for vm in self._daemon.call("ListVms")["vms"] if vm["vm"] == self.id)
        return vm["migration"], vm["stage"]

    def wait(self, state, stage):
        """Until the daemon is at that; returns (survey's held, blocks that are mapped, split since it was made)."""
        self._lab.wait_for(f"{self.id} {state}, {stage}", lambda: self.listed() == (state, stage))
        survey = self._lab.survey(self.vmm.pid)
        return survey["held"], self.vmm.leaves()[1], self.vmm.stats()["blocks_split"]


class Killer:
    """Ends the daemon without a word."""

    def __init__(self, lab, daemon, seed):
        self._lab = lab
        self._daemon = daemon
        self._random = random.Random(seed)
        self.kills = 0
        self.moments = {}

    def _kill(self):
        self._daemon.kill()
        self.kills += 1

    def strike(self, what):
        """At a moment from now on."""
        time.sleep(self._random.uniform(0, LONGEST_SECONDS))
        self._kill()
        self.moments[what] = self.moments.get(what, 0) + 1
        if self._random.randrange(TWICE) == 0:
            self._kill()
            self.moments["starting"] = self.moments.get("starting", 0) + 1

    def chance(self):
        return self._random.randrange(2) == 0


def cycle(lab, killer, victims):
    """From whole to split, through a migration, and back: killed in each of them."""
    before = [victim.vmm.stats()["blocks_split"] for victim in victims]
    where = f"{killer.kills} kills so far"

    for victim in victims:
        victim.tell("scheduled")
    killer.strike("splitting")
    states = [victim.listed()[0] for victim in victims]
    lab.eq(states, ["scheduled"] * len(victims), f"{where}, splitting: the next daemon knows of it")
    found = [victim.wait("scheduled", "split") for victim in victims]
    lab.eq(found, [(1, 0, count + BLOCKS) for count in before],
           f"{where}, splitting: held, all is split, and each block once")

    active = killer.chance()
    for victim in victims:
        victim.log(1)
        if active:
            victim.tell("active")
    killer.strike("migrating")
    held = [lab.survey(victim.vmm.pid)["held"] for victim in victims]
    lab.eq(held, [1] * len(victims), f"{where}, migrating: held, whoever has been killed")
    found = [victim.wait("active", "split") for victim in victims]
    lab.eq(found, [(1, 0, count + BLOCKS) for count in before], f"{where}, migrating: it stays split and held")

    # What was only scheduled still is when logging has stopped.
    told = not active or killer.chance()
    for victim in victims:
        victim.log(0)
        if told:
            victim.tell("cancelled")
    killer.strike("recovering")
    found = [victim.wait("cancelled", "whole") for victim in victims]
    lab.eq(found, [(0, BLOCKS, count + BLOCKS) for count in before],
           f"{where}, recovering: all blocks are back, and no hold is left")
    for victim in victims:
        victim.vmm.advance()


def run(lab):
    lab.huge_pages(2 * SIZE)
    lab.note(f"seed {lab.plan['seed']}")
    daemon = Daemon(lab)
    daemon.change_service(OFTEN)
    daemon.start(rate=RATE, burst=BURST)
    killer = Killer(lab, daemon, lab.plan["seed"])
    victims = [Victim(lab, daemon) for _ in range(2)]
    with Trace("kvm_arm_eager_split") as trace:
        while killer.kills < (LONG_KILLS if lab.long else KILLS):
            cycle(lab, killer, victims)
        excess = worst_excess(trace.ranges(), RATE, BURST)
    lab.note(f"the fullest interval stays {-excess / 1000000:.3f} TLBIs below the budget")
    lab.ok(excess <= 0, "all daemons together: no interval has more than rate * t + burst TLBIs", excess)
    lab.note(f"{killer.kills} kills: {killer.moments}")
    lab.ok(daemon.show("NRestarts") == str(killer.kills), "systemd has started it again each time",
           daemon.show("NRestarts"))
    for victim in victims:
        victim.tell("scheduled")
        victim.wait("scheduled", "split")
    lab.must("systemctl", "stop", "eagersplitd.service", "eagersplitd.socket")
    held = [lab.survey(victim.vmm.pid)["held"] for victim in victims]
    lab.eq(held, [0] * len(victims), "stopped, which drops what systemd has kept: none is held, by nobody's doing")
    for victim in victims:
        victim.vmm.work("stop")
        victim.vmm.intact("killed over and over: the guest's memory is intact")
        victim.vmm.quit()
    daemon.stop()
    daemon.change_service("")
