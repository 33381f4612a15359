#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Faults that pass: the daemon has too little of something for a while. Afterwards no answer is lost, no hold
is left, and no VM has not been found. FAULT_ROUNDS is how many of each, and FAULT_MSEC how long they last
at the most.
"""

import contextlib
import errno
import mmap
import os
import random
import signal
import struct
import tempfile
import time

from harness import FAULTS, Daemon, with_faults
from orchestration import Guest, Orchestration
from tap import Skip, alive, equal, main, test

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "2"))
MSEC = int(os.environ.get("FAULT_MSEC", "100"))
SEED = os.environ.get("FAULT_SEED", "1")

SETTINGS = {"TlbiRate": 20000, "TlbiBurst": 100, "TlbiUSec": 1, "Memory": "128M"}


class Faults(Orchestration):
    """Beside a daemon whose calls fail when they are told to."""

    def __init__(self, daemon, switch):
        super().__init__(daemon)
        self.switch = switch

    @contextlib.contextmanager
    def failing(self, error):
        self.switch[:4] = struct.pack("=i", error)
        try:
            yield
        finally:
            self.switch[:4] = struct.pack("=i", 0)

    def add(self):
        self.made += 1
        self.guests.append(Guest(self.daemon, self.made))
        return self.guests[-1]

    def is_kept(self):
        return "notKept" not in self.call("GetHost")["host"]

    def play(self, error, dice):
        killed = dice.random() < 0.3
        with self.failing(error):
            late = self.add()
            for guest in self.guests[:-1]:
                self.tell(guest, dice.choice(("scheduled", "cancelled", "completed")))
            if dice.random() < 0.3:
                self.guests.pop(0).end()
            time.sleep(dice.random() * MSEC / 1000)
            if killed:
                self.kill(signal.SIGKILL)
        self.register(late)
        for guest in self.guests:
            self.check(guest)
        # Until it says itself that the next daemon will know all of it.
        while not self.is_kept():
            time.sleep(0.01)
        told = {guest: self.call("GetVm", vm=str(guest.vmm.pid))["vm"]["migration"] for guest in self.guests}
        if not killed:
            for guest in self.guests[:-1]:
                equal(told[guest], guest.migration, guest.name)
        self.kill(signal.SIGKILL)
        for guest in self.guests:
            vm = self.wait_for(guest, lambda vm: vm["bytes"])
            equal(vm["migration"], told[guest], guest.name)
            guest.migration = told[guest]
            self.check(guest)
        while len(self.guests) > 3:
            self.guests.pop(0).end()


@contextlib.contextmanager
def faults():
    if not os.path.exists(FAULTS):
        raise Skip("what has calls fail is part of a build, not of what is installed")
    with tempfile.NamedTemporaryFile(prefix="eagersplitd-faults-") as file:
        file.truncate(mmap.PAGESIZE)
        with (mmap.mmap(file.fileno(), 0) as switch,
              Daemon(environment=with_faults(FAKE_FAULTS=file.name), **SETTINGS) as daemon):
            client = Faults(daemon, switch)
            try:
                for _ in range(2):
                    client.register(client.add())
                yield client
            finally:
                client.end()


def play_all(error):
    with faults() as client:
        for number in range(ROUNDS):
            alive()
            try:
                client.play(error, random.Random(f"{SEED}/{error}/{number}"))
            except BaseException:
                print(f"# in round {number} of {errno.errorcode[error]}, FAULT_SEED={SEED}", flush=True)
                raise
        print(f"# {ROUNDS} rounds of {errno.errorcode[error]}, {client.calls} calls answered", flush=True)


@test
def asked_meanwhile():
    """A Register that fails for want of something says so, and that it may be tried again"""
    with faults() as client:
        guest = client.add()
        for error in errno.EMFILE, errno.ENFILE, errno.EAGAIN:
            with client.failing(error):
                answer = client.call("Register", pid=guest.vmm.pid, name=guest.name)
            equal((answer.name, answer.parameters), ("org.eagersplit.Manager.TryAgain", {"reason": os.strerror(error)}))
        client.register(guest)


@test
def no_descriptors():
    """No descriptors, in the process or on the host"""
    play_all(errno.EMFILE)
    play_all(errno.ENFILE)


@test
def no_room():
    """No room for the records, or a file system that is read-only"""
    play_all(errno.ENOSPC)
    play_all(errno.EROFS)


@test
def no_memory():
    """No memory, or nothing of what it takes just now"""
    play_all(errno.ENOMEM)
    play_all(errno.EAGAIN)


if __name__ == "__main__":
    main()
