# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM of the hostile rounds: its VMM, a splitter of it, and what is known to have been done to both.

Commands may be left unanswered while others begin; whoever needs the VMM or the splitter next waits for that.
"""

import errno
import os
import signal

from host.daemon import Refused
from host.lab import Failed, alive, read, write
from host.vmm import BLOCK, MEMORY, MIB, Vmm

CGROUPS = "/sys/fs/cgroup"
# The memslot that the vCPUs work on all the time, and one beside it that comes and goes
MAIN, BESIDE = 1, 2
MAIN_MIB, BESIDE_MIB = 32, 4
MAIN_BLOCKS = MAIN_MIB * MIB // BLOCK
MAIN_PAGES = MAIN_MIB * 256
# Where the second one is, and where it is moved to
HOME, AWAY = MEMORY + (4 << 30), MEMORY + (5 << 30)
# Of the pages one in so many is looked at: that changes nothing for stage 2, and costs an emulator less.
STEP, BESIDE_STEP = 8, 2
WRITE_EVERY = 3
# What a migration may end as
ENDED = ("completed", "cancelled", "failed")
UNDER_WAY = ("scheduled", "active")
# Whose vCPUs leave the CPUs to those who disturb them
NICE = ("nice", "-n", "10")


class Violation(Exception):
    """What must never be."""


class Machine:
    """
    backing, beside: of the memslot at work, and of the other one; manual: flags for KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
    gone: called with the thread of each splitter that is.
    """

    def __init__(self, lab, daemon, name, backing, beside, vcpus, manual, gone):
        self._gone = gone
        self._lab = lab
        self._daemon = daemon
        self.name = name
        self.backing = backing
        self._beside = beside
        self._vcpus = vcpus
        self.manual = manual
        self.cgroup = f"{CGROUPS}/hostile-{name}"
        write(f"{CGROUPS}/cgroup.subtree_control", "+memory")
        os.makedirs(self.cgroup, exist_ok=True)

    # From its beginning to its end.

    def make(self):
        enter = ("sh", "-c", f'echo $$ >{self.cgroup}/cgroup.procs && exec "$@"', "sh", *NICE)
        self.vmm = Vmm(self._lab, vcpus=self._vcpus, manual=self.manual, prefix=enter)
        self.pid = self.vmm.pid
        self.splitter = self._lab.new_splitter(self.pid)
        self._vmm_owes = self._splitter_owes = None
        self.working = self.stopped = self.logged = False
        self.beside_at = HOME
        # What the daemon was last told; unwanted: unregistered
        self.told = "none"
        self.vmm.add(MAIN, mib=MAIN_MIB, backing=self.backing)
        self.vmm.add(BESIDE, mib=BESIDE_MIB, gpa=HOME, backing=self._beside)
        self.vmm.work("populate", MAIN, step=STEP)
        self.vmm.work("populate", BESIDE, step=BESIDE_STEP)
        self.id = self._daemon.find(self.pid)["vm"]

    def kill(self):
        """Whatever it is at."""
        self._lab.bury(self.vmm.process)
        self._forget_splitter()

    def quit(self):
        self.idle()
        self.vmm.quit()
        self._lab.bury(self.vmm.process)
        self._forget_splitter()

    def _forget_splitter(self):
        """With what it still had to say: -ENODEV, or how far it got."""
        self._vmm_owes = None
        self.answered()
        self._gone(self.splitter.pid)
        self.splitter.bury()

    # The VMM.

    def begin(self, command, *args, **options):
        """A command that is answered later."""
        self.idle()
        self.vmm.tell(command, *args, **options)
        self._vmm_owes = command

    def ask(self, command, *args, **options):
        self.begin(command, *args, **options)
        return self.idle()

    def call(self, command, *args, **options):
        answer = self.ask(command, *args, **options)
        if answer["error"]:
            raise Violation(f"{self.name}: {command}: {answer['text']}")
        return answer

    def idle(self):
        """Waits for the answer that the VMM owes, and has it go on where it was stopped for that."""
        self.go_on()
        if not self._vmm_owes:
            return None
        command, self._vmm_owes = self._vmm_owes, None
        answer = self.vmm.answer()
        # To make huge pages may fail for many reasons, none of them ours.
        if answer["error"] and command != "collapse":
            raise Violation(f"{self.name}: {command}: {answer['text']}")
        return answer

    def threads(self):
        return os.listdir(f"/proc/{self.pid}/task")

    def stop(self):
        """SIGSTOP, until all its threads have stopped."""
        self.vmm.process.send_signal(signal.SIGSTOP)
        self._lab.wait_for(f"{self.name} to stop", lambda: is_stopped(self.pid))
        self.stopped = True

    def go_on(self):
        if self.stopped:
            self.vmm.process.send_signal(signal.SIGCONT)
            self.stopped = False

    # The guest.

    def work(self):
        self.call("start", MAIN, write=WRITE_EVERY * STEP, exec=5 * STEP, step=STEP)
        self.working = True

    def advance(self):
        self.idle()
        self.vmm.advance()

    def rest(self):
        """vCPUs stand still, and have found their memory as it should be."""
        if not self.working:
            return
        self.working = False
        found = self.call("stop")
        if found["errors"]:
            raise Violation(f"{self.name}: the guest found {found['errors']} pages changed, "
                            f"the last {found['bad_page']}")

    # Dirty logging, as a migration does it.

    def log(self, on):
        if self.logged and not on:
            self.verify()
        if on != self.logged:
            self.call("log", MAIN, on=int(on))
        if on and not self.logged:
            self.call("harvest", MAIN, begin=1)
        self.logged = on

    def harvest(self, first=0, pages=0):
        return self.call("harvest", MAIN, manual=int(bool(self.manual)), first=first, pages=pages)

    def verify(self):
        """Each page that was written, and not sent, is in the log."""
        was_working = self.working
        self.rest()
        found = self.call("verify", MAIN, manual=int(bool(self.manual)))
        if found["missing"]:
            raise Violation(f"{self.name}: {found['missing']} pages were written and are not in the log, "
                            f"page {found['missing_page']} among them")
        if was_working:
            self.work()

    def intact(self):
        """With the vCPUs standing still. Yields while the VMM is at it, as others may be."""
        for slot, step in ((MAIN, STEP), (BESIDE, BESIDE_STEP)):
            self.begin("checksum", slot, step=step)
            yield
            sums = self.idle()
            if not sums["guest"] == sums["host"] == sums["expected"]:
                raise Violation(f"{self.name}: memory of slot {slot} has changed: {sums}")

    def whole(self):
        """
        Blocks again: a table of which not all is mapped cannot be recovered, and one of whose pages none faults stays.
        With transparent huge pages there may be none. Yields as intact() does.
        """
        self.begin("discard" if self.backing == "shared" else "collapse", MAIN)
        yield
        self.begin("pass", MAIN, step=STEP)
        yield
        found = self.idle()
        if found["errors"]:
            raise Violation(f"{self.name}: the guest found {found['errors']} pages changed in the end")
        blocks = next(slot["blocks2"] for slot in self.survey()["slot"] if slot["slot"] == MAIN)
        if self.backing == "shared" and blocks != MAIN_BLOCKS:
            raise Violation(f"{self.name}: unmapped, and mapped again by {blocks} blocks of {MAIN_BLOCKS}")

    # The memslot beside.

    def put_beside(self, gpa, log=0):
        """There, or nowhere (None)."""
        if gpa == self.beside_at:
            return
        if gpa is None:
            self.call("delete", BESIDE)
        elif self.beside_at is None:
            self.call("add", BESIDE, gpa=gpa, bytes=BESIDE_MIB * MIB, backing=self._beside, log=log)
        else:
            self.call("move", BESIDE, gpa=gpa)
        self.beside_at = gpa

    # The splitter.

    def run(self, flags, later=False, allowed=(None,), **options):
        """later: it is answered when somebody asks for it."""
        self.answered()
        self.splitter.tell(flags, **options)
        self._splitter_owes = (flags, allowed)
        return None if later else self.answered()

    def answered(self):
        if not self._splitter_owes:
            return None
        (flags, allowed), self._splitter_owes = self._splitter_owes, None
        answer = self.splitter.answer()
        # A VM that has ended may do so at any time.
        if answer["error"] not in allowed and alive(self.pid):
            raise Violation(f"{self.name}: {flags}: {answer['error']}")
        return answer

    def survey(self):
        self.answered()
        found = self.splitter.survey()
        if found["error"]:
            raise Failed(f"survey of {self.name}: {found['error']}")
        return found

    # The daemon.

    def tell(self, state):
        """Whether the daemon has taken that."""
        if self.told == "unwanted":
            return False
        self.known()
        try:
            self._daemon.migration(self.id, state)
        except Refused as refused:
            # It contradicts what was said before.
            if refused.name != "InvalidTransition":
                raise
            return False
        self.told = state
        return True

    def unregister(self):
        """It does not look after it any more, until it is registered."""
        if self.told == "unwanted":
            return
        self.known()
        self._daemon.call("Unregister", vm=self.id)
        self.told = "unwanted"

    def register(self):
        self.id = self._lab.wait_for(f"{self.name} to be registered", self._try_to_register)
        self.told = "none"

    def _try_to_register(self):
        """The helper that looks into the VMM may be too slow, as VMMs that make it hang are."""
        try:
            return self._daemon.call("Register", pid=self.pid)["vm"]["vm"]
        except Refused as refused:
            if refused.parameters.get("reason") != os.strerror(errno.ETIMEDOUT):
                raise
            return None

    def known(self):
        """A daemon that has just begun looks for its VMs."""
        if self.told == "unwanted":
            return
        self.id = self._daemon.find(self.pid)["vm"]

    def must_be_held(self):
        """By the daemon: True, False; None: that depends on whether it has seen the log come and go."""
        if self.told == "scheduled":
            return True
        if self.told == "unwanted" or (self.told != "active" and not self.logged):
            return False
        return True if self.told == "none" else None

    # Its cgroup.

    def squeeze(self, spare):
        """From now on it may take so many bytes more."""
        # What CPUs have in store for it is given back.
        write(f"{self.cgroup}/memory.high", 0)
        write(f"{self.cgroup}/memory.high", "max")
        now = int(read(f"{self.cgroup}/memory.current"))
        write(f"{self.cgroup}/memory.max", now + spare)

    def ease(self):
        write(f"{self.cgroup}/memory.max", "max")

    def denied(self):
        """How often it was at its limit."""
        events = dict(line.split() for line in read(f"{self.cgroup}/memory.events").splitlines())
        return int(events["max"])


def state_of(path):
    """A thread's: T, stopped."""
    return read(path).rpartition(")")[2].split()[0]


def is_stopped(pid):
    try:
        return all(state_of(f"/proc/{pid}/task/{thread}/stat") == "T" for thread in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return False
