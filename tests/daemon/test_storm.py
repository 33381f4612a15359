#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Rounds of what is slow, full, gone or lying, drawn by a seed, while a client that behaves itself
schedules, watches and calls off the migrations of VMs: each of its calls is answered, no VM is held that
should not be, and the TLBIs are within the budget.

Some rounds, unless STORM_ROUNDS says how many; STORM_SEED is another seed, and STORM_FIRST the number of
the round to go on from. A round is the same whichever came before it, as far as time lets it be.
"""

import collections
import contextlib
import errno
import fcntl
import json
import mmap
import os
import random
import resource
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kvm"))

from fuse import HangingFile
from harness import FAULTS, Daemon, Vmm, with_faults
from hostile import locked_memory
from orchestration import BLOCKS, GONE, Guest, Orchestration
from tap import Skip, alive, main, test, true
from varlink import INTERFACE, Error

ROUNDS = int(os.environ.get("STORM_ROUNDS", "40"))
FIRST = int(os.environ.get("STORM_FIRST", "0"))
SEED = os.environ.get("STORM_SEED", "1")

# What it is all about has a limit that is reached: a VM is split in 13 ms by itself.
RATE, BURST = 5000, 16
SETTINGS = {"TlbiRate": RATE, "TlbiBurst": BURST, "TlbiUSec": 1, "Memory": "128M"}

# Beside them no daemon can be started anew: the one before cannot be ended, or the next one has no configuration.
ALONE = ("file_that_hangs", "memory_that_hangs", "configuration_with_an_error")

KINDS = {}


def kind(often):
    """
    A kind of trouble, a context manager of a storm and its dice, which raises Skip where there is none;
    @often: how often it is drawn.
    """
    def add(function):
        KINDS[function.__name__] = contextlib.contextmanager(function), often
        return function

    return add


class Stranger:
    """A client that may find nobody to talk to, and does not mind."""

    def __init__(self, storm):
        self.client = None
        with contextlib.suppress(*GONE):
            self.client = storm.daemon.client()
            self.client.socket.settimeout(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.client:
            self.client.close()

    def send(self, method, **options):
        self.send_raw(json.dumps({"method": f"{INTERFACE}.{method}", **options}).encode() + b"\0")

    def send_raw(self, data, fds=()):
        with contextlib.suppress(TimeoutError, BlockingIOError, *GONE):
            if self.client:
                socket.send_fds(self.client.socket, [data], fds)


class Journal:
    """What the daemon's standard error leads to from its next start on: its log, unless nobody reads it."""

    def __init__(self, daemon):
        self._file = daemon.log_file
        self._pipe, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, mmap.PAGESIZE)
        daemon.log_file = open(writer, "wb")
        self._listens = threading.Event()
        self._listens.set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self._file, open(self._pipe, "rb", buffering=0) as pipe:
            while data := pipe.read(mmap.PAGESIZE):
                self._listens.wait()
                self._file.write(data)
                self._file.flush()

    @contextlib.contextmanager
    def unread(self):
        self._listens.clear()
        try:
            yield
        finally:
            self._listens.set()


class Storm(Orchestration):
    def __init__(self, daemon, journal, faults):
        super().__init__(daemon)
        self.journal = journal
        self.faults = faults
        self.kinds = collections.Counter()

    def choose(self, dice):
        self.guests = [guest for guest in self.guests if not guest.gone]
        if len(self.guests) < 3:
            self.made += 1
            self.guests.append(Guest(self.daemon, self.made))
            return self.guests[-1]
        return dice.choice(self.guests)

    def living(self):
        """The guests of which a kind of trouble needs one."""
        guests = [guest for guest in self.guests if not guest.gone]
        if not guests:
            raise Skip("no VM yet")
        return guests

    def migrate(self, guest, dice):
        if not guest.registered:
            self.register(guest)
        self.tell(guest, "scheduled")
        if dice.random() < 0.6 and guest.migration == "scheduled":
            # Unless somebody else has called it off.
            self.wait_for(guest, lambda vm: vm["stage"] in ("split", "failed") or
                          vm["migration"] not in ("scheduled", "active"))
        if dice.random() < 0.3:
            self.tell(guest, "active")
        if dice.random() < 0.9:
            self.tell(guest, dice.choice(("cancelled", "completed", "failed")))

    def check_all(self):
        for guest in self.guests:
            self.check(guest)
        host = self.call("GetHost")["host"]
        may = RATE * (time.monotonic() - self.began) + BURST
        true(host["tlbisTotal"] <= may, f"{host['tlbisTotal']} TLBIs, {may} are within the budget")

    def play(self, number):
        dice = random.Random(f"{SEED}/{number}")
        names = dice.choices(list(KINDS), [often for _, often in KINDS.values()], k=dice.choice((1, 1, 2)))
        names = [name for name in names if name in ALONE][:1] or names
        with contextlib.ExitStack() as stack:
            for name in dict.fromkeys(names):
                # It may be one that is not to be had here.
                with contextlib.suppress(Skip):
                    stack.enter_context(KINDS[name][0](self, dice))
                    self.kinds[name] += 1
            self.migrate(self.choose(dice), dice)
        self.check_all()


#
# What is slow
#

@kind(3)
def service_manager_that_does_not_read(storm, dice):
    with storm.daemon.notify.deaf():
        for _ in range(30):
            storm.call("Reload")
        yield


@kind(3)
def journal_that_is_not_read(storm, dice):
    with storm.journal.unread():
        for _ in range(dice.randrange(30, 60)):
            storm.call("Reload")
        yield


@kind(1)
def memory_that_hangs(storm, dice):
    """A VMM whose command line cannot be read: who looks for its name waits."""
    with contextlib.ExitStack() as stack:
        vmm = stack.enter_context(locked_memory(lambda: None))
        for number in range(dice.randrange(1, 4)):
            storm.daemon.create_vm(vmm, blocks=BLOCKS, number=number)
        yield


@kind(3)
def host_that_stands_still(storm, dice):
    storm.daemon.kill(signal.SIGSTOP)
    timer = threading.Timer(dice.random() / 20, storm.daemon.kill, (signal.SIGCONT,))
    timer.start()
    yield
    timer.join()


@kind(3)
def vmm_that_is_stopped(storm, dice):
    guests = storm.living()
    for guest in guests:
        guest.vmm.process.send_signal(signal.SIGSTOP)
    yield
    for guest in guests:
        if not guest.gone:
            guest.vmm.process.send_signal(signal.SIGCONT)


@kind(3)
def clients_that_do_not_read(storm, dice):
    with contextlib.ExitStack() as stack:
        for _ in range(dice.randrange(1, 20)):
            client = stack.enter_context(Stranger(storm))
            data = b"".join(json.dumps({"method": f"{INTERFACE}.{method}"}).encode() + b"\0"
                            for method in dice.choices(("ListVms", "GetHost", "GetHistory"), k=dice.randrange(1, 200)))
            client.send_raw(data)
            client.send("Watch", more=True)
        yield


@kind(2)
def file_that_hangs(storm, dice):
    """A descriptor that hangs whoever closes it, handed over as if it were a splitter."""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(HangingFile())
        except OSError as error:
            raise Skip("no FUSE here") from error
        client = stack.enter_context(Stranger(storm))
        call = {"method": f"{INTERFACE}.Register", "parameters": {"pid": os.getpid(), "splitter": 0}}
        for _ in range(dice.randrange(1, 4)):
            fd = os.open(path, os.O_RDONLY)
            client.send_raw(json.dumps(call).encode() + b"\0", [fd])
            os.close(fd)
        yield


#
# What is full
#

@kind(4)
def descriptors_that_are_used_up(storm, dice):
    """For a while: a VM that comes meanwhile is found afterwards."""
    fds = 0
    # It may have been ended just now.
    with contextlib.suppress(FileNotFoundError):
        fds = len(os.listdir(f"/proc/{storm.daemon.process.pid}/fd"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(storm.daemon.limited(resource.RLIMIT_NOFILE, fds + dice.randrange(3)))
        timer = threading.Timer(dice.random() / 10, stack.close)
        timer.start()
        yield
        timer.join()


@kind(4)
def files_that_cannot_be_written(storm, dice):
    with storm.daemon.limited(resource.RLIMIT_FSIZE, 0):
        yield


@kind(4)
def runs_that_fail(storm, dice):
    """For a while: those of splitters, and surveys."""
    if not storm.faults:
        raise Skip("no library that has them fail")

    def end():
        storm.faults[:8] = bytes(8)

    storm.faults[:8] = struct.pack("=ii", dice.choice((errno.ENOMEM, errno.EAGAIN)), 1)
    timer = threading.Timer(dice.random() / 5, end)
    timer.start()
    yield
    timer.join()


@kind(2)
def connections_that_are_used_up(storm, dice):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(Stranger(storm))
        yield


#
# What is gone
#

@kind(3)
def records_that_are_removed(storm, dice):
    shutil.rmtree(storm.daemon.path("vms"), ignore_errors=True)
    yield


@kind(2)
def folder_that_is_a_file(storm, dice):
    folder = storm.daemon.path("vms")
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(FileExistsError, IsADirectoryError), open(folder, "x", encoding="utf-8"):
        pass
    yield
    with contextlib.suppress(IsADirectoryError, FileNotFoundError, PermissionError):
        os.unlink(folder)


@kind(4)
def vmm_that_is_killed(storm, dice):
    guests = storm.living()
    timer = threading.Timer(dice.random() / 20, lambda: dice.choice(guests).end())
    timer.start()
    yield
    timer.join()


@kind(3)
def vms_that_come_and_go(storm, dice):
    with contextlib.ExitStack() as stack:
        vmm = stack.enter_context(Vmm())
        for number in range(dice.randrange(1, 10)):
            storm.daemon.create_vm(vmm, blocks=BLOCKS, number=number % 3)
        yield


@kind(3)
def daemon_that_is_killed(storm, dice):
    timer = threading.Timer(dice.random() / 30, storm.kill, (signal.SIGKILL,))
    timer.start()
    yield
    timer.join()
    storm.call("GetHost")


@kind(1)
def daemon_that_is_stopped(storm, dice):
    timer = threading.Timer(dice.random() / 30, storm.kill, (signal.SIGTERM,))
    timer.start()
    yield
    timer.join()
    storm.call("GetHost")


@kind(1)
def splitters_that_are_not_kept(storm, dice):
    storm.daemon.notify.drop_kept()
    storm.kill(signal.SIGKILL)
    yield


#
# What lies
#

@kind(3)
def half_messages(storm, dice):
    with contextlib.ExitStack() as stack:
        for _ in range(dice.randrange(1, 10)):
            client = stack.enter_context(Stranger(storm))
            client.send_raw(dice.choice((b'{"method":', b"\0", b"{}\0{", b"[" * 1000, b"\xff" * 200000)))
        yield


@kind(3)
def dirty_logging_that_comes_and_goes(storm, dice):
    guests = storm.living()
    for guest in guests:
        guest.vm.log_dirty_pages(True)
        if dice.random() < 0.5:
            guest.vm.log_dirty_pages(False)
    yield
    for guest in guests:
        if not guest.gone:
            guest.vm.log_dirty_pages(False)


@kind(2)
def another_one_that_holds_it(storm, dice):
    guests = storm.living()
    fd = dice.choice(guests).vm.splitter()
    yield
    os.close(fd)


@kind(2)
def configuration_with_an_error(storm, dice):
    with open(storm.daemon.config, encoding="utf-8") as f:
        before = f.read()
    storm.daemon.write_config(dice.choice(("[Budget]\nTlbiRate=many\n", "\0" * 5000, "nonsense")))
    storm.daemon.kill(signal.SIGHUP)
    answer = storm.call("Reload")
    true(isinstance(answer, Error), answer)
    storm.daemon.write_config(before)
    yield


@kind(1)
def other_rates(storm, dice):
    storm.daemon.configure(**(SETTINGS | {"TlbiRate": dice.randrange(1000, RATE), "TlbiBurst": dice.randrange(1, BURST)}))
    storm.call("Reload")
    yield
    storm.daemon.configure(**SETTINGS)
    storm.call("Reload")


@kind(2)
def others_who_speak_of_it(storm, dice):
    with Stranger(storm) as client:
        for guest in storm.guests:
            client.send("GetVm", oneway=True, parameters={"vm": guest.name})
            client.send("SetMigrationState", oneway=True,
                        parameters={"vm": guest.name, "migration": dice.choice(("scheduled", "cancelled"))})
        yield


@test
def storm():
    """Whatever is slow, full, gone or lying: calls are answered, holds are right, the budget is kept"""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="eagersplitd-faults-"))
        file.truncate(mmap.PAGESIZE)
        faults = stack.enter_context(mmap.mmap(file.fileno(), 0))
        # What is installed has no such library, and no runs that fail.
        environment = with_faults(FAKE_FAULTS=file.name) if os.path.exists(FAULTS) else None
        daemon = stack.enter_context(Daemon(environment=environment, **SETTINGS))
        journal = Journal(daemon)
        daemon.restart()
        storm = Storm(daemon, journal, faults if environment else None)
        try:
            for number in range(FIRST, FIRST + ROUNDS):
                alive()
                try:
                    storm.play(number)
                except BaseException:
                    print(f"# in round {number}: STORM_SEED={SEED} STORM_FIRST={number}", flush=True)
                    raise
                if (number + 1) % 500 == 0:
                    print(f"# {number + 1 - FIRST} rounds", flush=True)
        finally:
            storm.end()
            print(f"# seed {SEED}, rounds {FIRST} to {number}, {storm.calls} calls answered", flush=True)
            print("# " + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(storm.kinds.items())), flush=True)


if __name__ == "__main__":
    main()
