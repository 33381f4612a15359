# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that behaves itself, and goes on when the daemon is another one; and the VMs that it looks after."""

import signal
import threading
import time

from harness import Vmm
from tap import true
from varlink import INTERFACE, Error

BLOCKS = 64

# Longer than anything takes, on the slowest machine.
STUCK_SECONDS = 60
WATCH_SECONDS = 1

GONE = (EOFError, ConnectionError, FileNotFoundError)


class Guest:
    """A VM, and what its migration was last said to be."""

    def __init__(self, daemon, number):
        self.name = f"guest{number}"
        self.vmm = Vmm()
        self.vm = daemon.create_vm(self.vmm, blocks=BLOCKS)
        self.registered = False
        self.migration = "none"
        self.gone = False

    def end(self):
        """Told of by whoever watches it, if it was found."""
        self.gone = True
        self.vmm.kill()


class Orchestration:
    """Schedules, watches and calls off the migrations of guests, on connections that it keeps."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.guests = []
        self.made = 0
        self.killed = False
        self.calls = 0
        self.began = time.monotonic()
        self.lock = threading.Lock()
        self.connect()

    def connect(self):
        self.client = self.daemon.client()
        self.watcher = self.daemon.client()
        self.client.socket.settimeout(STUCK_SECONDS)
        # Nobody tells who watches all VMs that one is gone.
        self.watcher.socket.settimeout(WATCH_SECONDS)
        self.watcher.send("Watch", more=True)

    def end(self):
        self.client.close()
        self.watcher.close()
        for guest in self.guests:
            guest.end()

    # The daemon's lives

    def kill(self, number):
        """Has it end at any moment; whoever notices starts the next one."""
        with self.lock:
            self.killed = True
            self.daemon.kill(number)

    def revive(self):
        if not self.killed:
            raise AssertionError("the connection is lost")
        status = self.daemon.process.wait()
        true(status in (0, -signal.SIGKILL), f"it has ended with status {status}")
        self.client.close()
        self.watcher.close()
        # Nor is it ended before it has begun.
        with self.lock:
            self.killed = False
            # Whoever starts it has heard that it has ended.
            self.daemon.notify.listen()
            self.began = time.monotonic()
            self.daemon.start_again()
        self.connect()

    # The client

    def call(self, method, **parameters):
        """What the call is answered with: an answer is one also if it is an error."""
        while True:
            try:
                answer = self.client.call(method, **parameters)
            except Error as error:
                answer = error
            except GONE:
                self.revive()
                continue
            self.calls += 1
            return answer

    def wait_for_news(self, guest):
        """Until something has changed of it, or it is gone."""
        silences = 0
        while not guest.gone:
            try:
                if self.watcher.reply()[0]["vm"]["pid"] == guest.vmm.pid:
                    return
            except TimeoutError:
                silences += 1
                if silences * WATCH_SECONDS > STUCK_SECONDS:
                    raise
            except GONE:
                self.revive()
                return

    def wait_for(self, guest, condition):
        """What it is once it is so; None: it is gone."""
        while not guest.gone:
            answer = self.call("GetVm", vm=str(guest.vmm.pid))
            if not isinstance(answer, Error) and condition(answer["vm"]):
                return answer["vm"]
            # Whatever has changed since is told of.
            self.wait_for_news(guest)
        return None

    def register(self, guest):
        """One that is found, whenever that is."""
        self.wait_for(guest, lambda vm: vm["bytes"])
        while not guest.registered:
            answer = self.call("Register", pid=guest.vmm.pid, name=guest.name)
            guest.registered = guest.gone or not isinstance(answer, Error) or answer.name == f"{INTERFACE}.VmExists"
            # For that it needs a descriptor.
            true(guest.registered or answer.name == f"{INTERFACE}.TryAgain", answer)
            time.sleep(0 if guest.registered else 0.01)

    def tell(self, guest, migration):
        """Also one that the daemon before was told of may have to be found by this one."""
        while not guest.gone:
            answer = self.call("SetMigrationState", vm=str(guest.vmm.pid), migration=migration)
            if not isinstance(answer, Error):
                guest.migration = migration
                return
            name = answer.name.removeprefix(INTERFACE + ".")
            if name != "NoSuchVm":
                # What could not be kept is not known, or was refused for that.
                true(name in ("InvalidTransition", "NotKept"), answer)
                return
            self.wait_for(guest, lambda vm: True)

    # What is so afterwards

    @staticmethod
    def is_right(guest, vm):
        """Whether it is what it is to be by what is known of its migration: what it is called is so by then."""
        if vm["migration"] in ("scheduled", "active"):
            return vm["stage"] == "split" and guest.vm.held and guest.vm.blocks == 0
        return vm["stage"] == "whole" and vm["bytes"] and not guest.vm.held

    def check(self, guest):
        try:
            self.wait_for(guest, lambda vm: self.is_right(guest, vm))
        except TimeoutError as error:
            vm = self.call("GetVm", vm=str(guest.vmm.pid))
            raise AssertionError(f"{guest.name} is {'' if guest.vm.held else 'not '}held, and {vm}") from error
