# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile rounds: what is drawn for one, what is done, and what must be so at its end.

A round follows from the seed and its number alone. It begins with VMs that are whole, not logged and not held, and ends
so; in between operations (host/operations.py) are done to them, of which some are still under way when the next begin.
"""

import ctypes
import os
import random
import resource
import signal
import time
import traceback
from collections import Counter
from itertools import zip_longest

from host import operations, rollover
from host.daemon import BARE, OFTEN, Daemon, Refused
from host.injection import Injection
from host.kernel_log import KernelLog
from host.lab import Failed, pauses, progress, read, write
from host.machine import HOME, MAIN_BLOCKS, MAIN_MIB, UNDER_WAY, Machine, Violation, state_of
from host.rollover import Crowd
from host.trace import RangeStream, worst_excess
from host.vmm import INITIALLY_SET, empty_vm

FEWEST, MOST = 3, 8
# So often the daemon has looked at VMs and found what it had found before: nothing will change any more.
LOOKS = 10
# And so often it was asked in vain, for its journal to be shown
ASKED = 300
# RCU grace periods after which what was freed is free
GRACE_PERIODS = 20
SYS_MEMBARRIER, MEMBARRIER_GLOBAL = 283, 1
# As few as the allocator can do with, for rollovers
FEWEST_VMIDS = 5
RULES = ("vmid_stale", "vmid_inside", "vmid_zero")
# A helper that was taken to hang, as it was slow, has its socket left open until it ends: of two, so many at most.
SLOW_HELPERS = 8
SPLITTER = "anon_inode:kvm-splitter"
# Nobody is to kill a daemon that is stopped.
SERVICE = OFTEN + BARE + "WatchdogSec=0\n"


class Victim(Daemon):
    """The daemon, which may be stopped (SIGSTOP) until somebody wants something of it."""

    _stopped = None

    def pause(self):
        if self._stopped is not None:
            return
        pid = self._lab.wait_for("the daemon's process", self.main_process)
        self._stopped = os.pidfd_open(pid)
        signal.pidfd_send_signal(self._stopped, signal.SIGSTOP)
        self._lab.wait_for("the daemon to stop", lambda: state_of(f"/proc/{pid}/stat") == "T")

    def go_on(self):
        if self._stopped is None:
            return
        signal.pidfd_send_signal(self._stopped, signal.SIGCONT)
        os.close(self._stopped)
        self._stopped = None

    def kill(self):
        super().kill()
        if self._stopped is not None:
            os.close(self._stopped)
            self._stopped = None

    def restart(self):
        self.go_on()
        self._lab.must("systemctl", "restart", "eagersplitd.service")

    def _call(self, method, parameters):
        self.go_on()
        return super()._call(method, parameters)

    def find(self, pid):
        """With what it has to say about that, from time to time."""
        for asked, pause in enumerate(pauses(), 1):
            found = self.listed().get(pid)
            if found:
                return found
            if not asked % ASKED:
                progress(f"lab: process {pid} is not found: {self.call('ListVms')}\n{self.journal()}")
            time.sleep(pause)

    def listed(self):
        """By process, but for our own."""
        return {vm["pid"]: vm for vm in self.call("ListVms")["vms"] if vm["pid"] != os.getpid()}

    def kept(self):
        """
        How many of each kind of file its process has open, and how many threads; but for the splitters of VMs of our
        own process, which is slow to look through: it may find them at once, or only when it has begun anew.
        """
        pid = self._lab.wait_for("the daemon's process", self.main_process)
        kept = Counter(threads=len(os.listdir(f"/proc/{pid}/task")))
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                # socket:[123], as all sockets
                kept[os.readlink(f"/proc/{pid}/fd/{fd}").partition("[")[0]] += 1
            except FileNotFoundError:
                pass
        kept[SPLITTER] -= sum(vm["pid"] == os.getpid() for vm in self.call("ListVms")["vms"])
        return kept


class Budget:
    """That the daemons keep it, whoever else splits."""

    def __init__(self, stream, rate, burst):
        self._stream = stream
        self._ranges = []
        self.limits = [(rate, burst)]
        self.tlbis = 0

    def change(self, rate, burst):
        """Read by the daemon; what it has granted before may still be spent."""
        self.limits.append((rate, burst))

    def forget(self, rate, burst):
        """What there was so far."""
        self._stream.next()
        self._ranges = []
        self.limits = [(rate, burst)]

    def check(self, others):
        """With no call under way. others: threads whose calls are not the daemon's. Returns a violation, or nothing."""
        new = [event for event in self._stream.next() if event.thread not in others]
        self.tlbis += sum(event.tlbis for event in new)
        self._ranges += new
        rate, burst = (max(limit) for limit in zip(*self.limits))
        excess = worst_excess(self._ranges, rate, burst) if self._ranges else 0
        if excess > 0 or len(self.limits) > 1:
            self._ranges = []
            self.limits = self.limits[-1:]
        return f"{rate} TLBIs a second, {burst} at once: exceeded by {excess / 1000000}" if excess > 0 else None


def together(parts):
    """Each does a step, and each the next, until all have done all of theirs."""
    for _ in zip_longest(*parts):
        pass


def grace_period():
    ctypes.CDLL(None).syscall(SYS_MEMBARRIER, MEMBARRIER_GLOBAL, 0, 0)


def pages_of_tables():
    """Of all VMs."""
    # Each CPU counts for itself, and adds that up at its leisure.
    write("/proc/sys/vm/stat_refresh", 1)
    return next(int(line.split()[1]) for line in read("/proc/meminfo").splitlines()
                if line.startswith("SecPageTables:")) * 1024 // resource.getpagesize()


class Hostile:
    """The VMs, the daemon, and the state of a round."""

    def __init__(self, lab, seed):
        self.lab = lab
        self._seed = seed
        self.daemon = Victim(lab)
        self.methods = ["auto", "pause"] if lab.capability() & operations.PAUSES else ["auto"]
        self._table = [op for op in operations.OPERATIONS if not op.missing(lab)]
        self.missing = {op.name: op.missing(lab) for op in operations.OPERATIONS if op.missing(lab)}
        if not operations.has_model() and rollover.missing():
            self.missing["VMID rollovers"] = "this kernel has no model of VMIDs, and no limit for them"
        # Threads of splitters that are gone, of which the trace may still tell
        self._splitters = set()
        self.machines = [
            Machine(lab, self.daemon, "one", "shared", "4k", vcpus=2, manual=0, gone=self._splitters.add),
            Machine(lab, self.daemon, "two", "thp", "thp", vcpus=1, manual=INITIALLY_SET, gone=self._splitters.add)]
        self.done, self.injected = Counter(), Counter()
        self.trail = []
        self.where = ""
        self.looks = LOOKS
        self._ends = []
        self._injection = self._crowd = None

    # From beginning to end.

    def start(self):
        self.lab.huge_pages(MAIN_MIB)
        # So that there is always one: see switch_on() in main.py
        self._reserve = empty_vm()
        if not rollover.missing():
            self._crowd = Crowd()
        self.daemon.change_service(SERVICE)
        self.daemon.start(*operations.BUDGETS[0])
        self._log = KernelLog()
        self._stream = RangeStream()
        self._stream.__enter__()
        self.budget = Budget(self._stream, *operations.BUDGETS[0])
        self._tainted = read("/proc/sys/kernel/tainted")
        self._no_tables = self._table_pages()
        self._warm_up()
        self._model = operations.has_model()
        if self._model:
            operations.few_vmids(FEWEST_VMIDS)
            self._rules = operations.rules_broken()
        self._make()

    def _warm_up(self):
        """What the daemon has open once it has done all of it, with no VM any more."""
        self._make()
        for machine in self.machines:
            machine.tell("scheduled")
        self._settle("held", self._is_right)
        for machine in self.machines:
            machine.tell("cancelled")
            machine.told = "none"
        self._settle("whole and not held", self._is_over)
        for machine in self.machines:
            machine.quit()
        self.wait("an empty list", lambda: not self.daemon.listed())
        # But for the connection by which it was asked, which it closes a moment later
        self._idle = min((self.daemon.kept() for _ in range(GRACE_PERIODS)), key=Counter.total)

    def _make(self):
        for machine in self.machines:
            machine.make()
        self._most_tables = None

    def renew(self):
        """All VMs end, and there are new ones. Returns what was left of the old ones."""
        for machine in self.machines:
            machine.quit()
        left = self._leftovers()
        self._make()
        return left

    def give_up(self, restart=True):
        """After a violation: all begins anew. restart: the daemon, too."""
        self.daemon.go_on()
        self.end_injection()
        while self._ends:
            self._ends.pop()()
        for machine in self.machines:
            machine.ease()
            machine.kill()
        if restart:
            self.daemon.restart()
        self._leftovers()
        self.change_budget(*operations.BUDGETS[0], "auto")
        self.budget.forget(*operations.BUDGETS[0])
        self._log.reports()
        self._make()

    def stop(self):
        """Returns what was left."""
        for machine in self.machines:
            machine.quit()
        left = self._leftovers()
        self._stream.__exit__(None, None, None)
        if self._model:
            operations.few_vmids(0)
        operations.leave_in_peace()
        self.daemon.stop()
        self.daemon.change_service("")
        if self._crowd:
            self._crowd.close()
        os.close(self._reserve)
        return left

    # For operations.

    def at_end(self, call):
        """Of the round."""
        if call not in self._ends:
            self._ends.append(call)

    def inject(self, what, count):
        self.injected[what] += count

    def roll_over(self):
        self._crowd.run()
        self.inject("VMID rollovers", 1)

    def begin_injection(self, what, function):
        if self._injection:
            return
        self._injection = (what, Injection(function))
        self._injection[1].start()

    def end_injection(self):
        if self._injection:
            what, injection = self._injection
            self._injection = None
            self.inject(what, injection.stop())

    def wait(self, what, condition):
        self.lab.wait_for(f"{what}, {self.where}", condition)

    def is_split(self, machine):
        listed = self.daemon.listed().get(machine.pid)
        return listed and listed["stage"] == "split"

    def change_budget(self, rate, burst, method):
        self.budget.change(rate, burst)
        self.daemon.reconfigure(rate, burst, method=method)

    # A round.

    def _draw(self, number):
        """[(operation, VM, its own source of chance)]"""
        chance = random.Random(f"{self._seed}:{number}")
        drawn = chance.choices(self._table, [op.weight for op in self._table], k=chance.randint(FEWEST, MOST))
        picked = []
        for place, op in enumerate(drawn):
            fitting = [machine for machine in self.machines if op.backing in (None, machine.backing)]
            picked.append((op, chance.choice(fitting), random.Random(f"{self._seed}:{number}:{place}")))
        return picked

    def round(self, number, spoil=None):
        """Returns what was wrong, or nothing. spoil: what is done instead of what would be drawn."""
        self.where = f"seed {self._seed}, round {number}"
        self.trail = []
        try:
            for machine in self.machines:
                machine.told = "none"
                machine.work()
            if spoil:
                spoil(self)
            else:
                self._operate(number)
            self._look_at_the_middle()
            self._finish()
            self._look_at_the_end()
        except (Violation, Failed, Refused) as error:
            return str(error)
        except Exception:
            return traceback.format_exc()
        return None

    def _note(self, what):
        """For whoever is told of a violation, or looks at why a boot hangs."""
        self.trail.append(what)
        progress(f"lab: hostile: {self.where}: {what}")

    def _operate(self, number):
        for op, machine, chance in self._draw(number):
            self._note(f"{op.name} ({machine.name})")
            self.done[op.name] += 1
            op.run(self, machine, chance)

    def _look_at_the_middle(self):
        """All is answered, and whoever was stopped goes on. A migration that is under way is so, and no other."""
        self._note("looked at")
        self.daemon.go_on()
        for machine in self.machines:
            machine.advance()
            machine.answered()
            if machine.logged:
                machine.verify()
        self._settle("held as it should be", self._is_right)

    def _finish(self):
        """All that was begun comes to its end."""
        self._note("ended")
        self.daemon.go_on()
        self.end_injection()
        while self._ends:
            self._ends.pop()()
        for machine in self.machines:
            machine.rest()
            machine.log(False)
            machine.run("release")
            machine.put_beside(HOME)
            if machine.told == "unwanted":
                machine.register()
            elif machine.told in UNDER_WAY:
                machine.tell("cancelled")
            machine.told = "none"
        self._settle("whole and not held", self._is_over)
        for machine in self.machines:
            machine.run("recover", later=True)
        together(machine.intact() for machine in self.machines)
        together(machine.whole() for machine in self.machines)

    # What the daemon makes of it: {machine's name: (migration, stage, whether it holds the VM, blocks, our hold)}

    def _look(self, thorough):
        listed = self.daemon.listed()
        looks = {}
        for machine in self.machines:
            vm = listed.get(machine.pid)
            if vm and thorough:
                # Has it look, too.
                vm = self.daemon.vm(vm["vm"])
            survey = machine.survey()
            looks[machine.name] = (vm["migration"] if vm else None, vm["stage"] if vm else None,
                                   survey["holders"] > survey["mine"],
                                   sum(slot["blocks1"] + slot["blocks2"] for slot in survey["slot"]), survey["mine"])
        return looks

    def _settle(self, what, condition):
        """Waits for as long as the daemon gets anywhere."""
        looks, seen, since = self._look(False), None, 0
        for pause in pauses():
            if condition(looks):
                return
            surveys = self.daemon.calls("survey")
            if looks != seen or surveys < since:
                seen, since = looks, surveys
            if surveys - since > self.looks:
                told = {machine.name: (machine.told, machine.logged) for machine in self.machines}
                raise Violation(f"not {what}: {looks}, and was told, and logs: {told}")
            time.sleep(pause)
            looks = self._look(True)

    def _is_right(self, looks):
        return all(self._is_right_of(machine, *looks[machine.name]) for machine in self.machines)

    @staticmethod
    def _is_right_of(machine, migration, stage, held, blocks, ours):
        must = machine.must_be_held()
        if machine.told == "unwanted":
            return not held and migration is None
        if migration is None or held != (migration in UNDER_WAY) or must not in (None, held):
            return False
        if held:
            return stage == "split" and not blocks
        # What is held by us cannot be recovered.
        return stage == "whole" or bool(ours)

    def _is_over(self, looks):
        return all(migration is not None and migration not in UNDER_WAY and stage == "whole" and not held and not ours
                   for migration, stage, held, _, ours in looks.values())

    # What must be so at a round's end.

    def _look_at_the_end(self):
        wrong = [*self._kernel(), self._check_budget(), *self._counts()]
        wrong = [text for text in wrong if text]
        if wrong:
            raise Violation("; ".join(wrong))

    def _check_budget(self):
        found = self.budget.check({machine.splitter.pid for machine in self.machines} | self._splitters)
        self._splitters.clear()
        return found

    def _kernel(self):
        reports = self._log.reports()
        if reports:
            yield "the kernel's log: " + " | ".join(reports[:8])
        tainted = read("/proc/sys/kernel/tainted")
        if tainted != self._tainted:
            self._tainted = tainted
            yield f"the kernel is tainted: {tainted.strip()}"
        if self._model:
            rules = operations.rules_broken()
            broken = {rule: rules[rule] - self._rules[rule] for rule in RULES if rules[rule] != self._rules[rule]}
            self.injected["VMID rollovers"] += rules["vmid_rollovers"] - self._rules["vmid_rollovers"]
            self._rules = rules
            if broken:
                yield f"VMIDs: {broken}"

    def _table_pages(self):
        """With all of the crowd, which loses some whenever its memory is moved."""
        if self._crowd:
            self._crowd.run()
        return pages_of_tables()

    def _counts(self):
        """Tables, VMs, huge pages, descriptors."""
        tables = sum(slot["tables"] for machine in self.machines for slot in machine.survey()["slot"])
        if self._most_tables is None:
            # Above tables of pages; there is one more for where memory is moved to.
            grace_period()
            self._most_tables = self._table_pages() - tables + len(self.machines)
        upper = self._until(lambda: pages_of_tables() - tables, lambda pages: pages <= self._most_tables)
        if upper > self._most_tables:
            yield f"{upper} pages of tables that map nothing, and {self._most_tables} before"
        yield from self._of_vms(len(self.machines))

    def most_sockets(self):
        """What the daemon may have open; how many of those it has not, as it has begun anew, is not known."""
        return self._idle["socket:"] + SLOW_HELPERS

    def _of_vms(self, count):
        """What there may be for so many VMs."""
        vms = self._until(self.lab.vms, lambda vms: vms == count)
        if vms != count:
            yield f"{vms} VMs, there should be {count}"
        free = self.lab.free_huge_pages()
        if free != (0 if count else MAIN_BLOCKS):
            yield f"{free} huge pages are free"
        wanted = self._idle + Counter({SPLITTER: count})
        wanted["socket:"] = self.most_sockets()

        def is_right(kept):
            # A daemon that has just begun may not have needed all of it.
            return kept <= wanted and kept[SPLITTER] == wanted[SPLITTER]

        # The connection by which it is asked is closed a moment later.
        kept = self._until(self.daemon.kept, is_right, self.daemon.host)
        if not is_right(kept):
            yield f"the daemon keeps {dict(kept - wanted)} too many, {kept[SPLITTER]} splitters"

    @staticmethod
    def _until(look, good, between=grace_period):
        """Looks again a few times, a grace period each, or whatever else has to pass."""
        value = look()
        for _ in range(GRACE_PERIODS):
            if good(value):
                break
            between()
            value = look()
        return value

    def _leftovers(self):
        """With all VMs gone: what is left of them."""
        self.wait("an empty list", lambda: not self.daemon.listed())
        found = list(self._of_vms(0))
        tables = self._until(self._table_pages, lambda pages: pages == self._no_tables)
        if tables != self._no_tables:
            found.append(f"{tables} pages of tables without a VM, and {self._no_tables} before")
        return "; ".join(found)
