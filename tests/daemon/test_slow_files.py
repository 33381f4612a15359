#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Files on a disk that is slow, by tests/faults/fake-faults.c: who opens one waits until the test lets him."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time

from harness import DAEMON, FAST, FAULTS, Caller, Daemon, Vmm, with_faults
from tap import Skip, equal, main, test, true


class Gate:
    """That is closed from close() to open()."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def close(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def open(self):
        fcntl.flock(self.file, fcntl.LOCK_UN)

    def is_waited_at(self):
        inode = f":{os.fstat(self.file.fileno()).st_ino} "
        with open("/proc/locks", encoding="utf-8") as f:
            return any("->" in line and inode in line for line in f)

    def wait_for_someone(self):
        while not self.is_waited_at():
            time.sleep(0.001)


def environment(slow, gate):
    if not os.path.exists(FAULTS):
        raise Skip("what has files be slow is part of a build, not of what is installed")
    return with_faults(FAKE_SLOW=slow, FAKE_GATE=gate)


@contextlib.contextmanager
def daemon_with(slow, **settings):
    """Files whose path begins with that, in the daemon's folder, are slow from the next start on."""
    with Daemon(**settings) as daemon:
        gate = Gate(daemon.path("gate"))
        daemon._environment |= environment(daemon.path(slow), gate.file.name)
        daemon.restart()
        try:
            yield daemon, gate
        finally:
            gate.open()


def write_config(daemon, **settings):
    """In place of the old one, as a whole: who has that open reads on in it."""
    path = daemon.config
    daemon.config = path + ".new"
    daemon.configure(**settings)
    daemon.config = path
    os.rename(path + ".new", path)


def rate(daemon):
    return daemon.call("GetHost")["host"]["tlbiRate"]


def messages_until_ready(daemon):
    messages = []
    while not messages or messages[-1].get("READY") != "1":
        messages.append(daemon.notify.receive())
    return messages


@test
def configuration():
    """While a configuration is read that is slow to come, all else goes on, and it is in force with READY=1"""
    with daemon_with("eagersplitd.conf", **FAST) as (daemon, gate), Vmm() as vmm, Caller(daemon) as caller:
        gate.close()
        daemon.configure(**(FAST | {"TlbiRate": 100000}))
        daemon.kill(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING", "1")
        gate.wait_for_someone()
        equal(rate(daemon), 0)
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        # What is asked for now is read once more, for all who ask, after what is under way: that has begun before.
        write_config(daemon, **(FAST | {"TlbiRate": 200000}))
        daemon.kill(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING", "1")
        with Caller(daemon) as other:
            other.send("Reload")
            daemon.notify.wait_for("RELOADING", "1")
        caller.send("Reload")
        daemon.notify.wait_for("RELOADING", "1")
        equal(rate(daemon), 0)
        gate.open()
        equal(caller.reply(), {})
        equal(rate(daemon), 200000)
        equal([m for m in messages_until_ready(daemon) if "RELOADING" in m], [])
        daemon.wait_for_log("Configuration reloaded", 2)
        metrics = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]
        equal((metrics["reloads"], metrics["reloadsFailed"]), (2, 0))


@test
def configuration_with_an_error():
    """Whoever waits for one that is slow to come is told of the error in it, by file and line"""
    with daemon_with("eagersplitd.conf", **FAST) as (daemon, gate), Caller(daemon) as one, Caller(daemon) as two:
        gate.close()
        daemon.write_config("[Budget]\nTlbiRate=many\nTlbiBurst=none\n")
        one.send("Reload")
        gate.wait_for_someone()
        write_config(daemon, **(FAST | {"TlbiRate": 5}))
        two.send("Reload")
        daemon.notify.wait_for("RELOADING", "1")
        daemon.notify.wait_for("RELOADING", "1")
        gate.open()
        equal(one.reply(), "org.eagersplit.Manager.InvalidConfiguration")
        equal(two.reply(), {})
        equal(rate(daemon), 5)
        log = daemon.wait_for_log("Configuration not reloaded")
        true(f"{daemon.config}:3: TlbiBurst=none" in log, log)


@test
def stopped_meanwhile():
    """A daemon stops although its configuration does not come, and says no more that it is ready"""
    with daemon_with("eagersplitd.conf", **FAST) as (daemon, gate):
        gate.close()
        daemon.kill(signal.SIGHUP)
        daemon.notify.wait_for("RELOADING", "1")
        gate.wait_for_someone()
        equal(daemon.stop(), 0)
        messages = [daemon.notify.receive()]
        while "EXITED" not in messages[-1]:
            messages.append(daemon.notify.receive())
        true(not any("READY" in m for m in messages), messages)


@test
def start():
    """A start that waits for its configuration is ended by a signal"""
    with Daemon(**FAST) as daemon:
        gate = Gate(daemon.path("gate"))
        gate.close()
        with subprocess.Popen([DAEMON, f"--config={daemon.config}", f"--socket={daemon.path('other.sock')}"],
                              env=os.environ | environment(daemon.config, gate.file.name)) as process:
            gate.wait_for_someone()
            process.send_signal(signal.SIGTERM)
            equal(process.wait(), -signal.SIGTERM)


@test
def history():
    """While the history of migrations cannot be written, all else goes on, and it stops; then nothing is missing"""
    with daemon_with("history", **FAST) as (daemon, gate), Vmm() as vmm:
        def migrate(times):
            for _ in range(times):
                for state in "scheduled", "cancelled":
                    daemon.migrate("guest", state)

        daemon.register(vmm, "guest")
        gate.close()
        migrate(1)
        gate.wait_for_someone()
        migrate(5)
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        equal(len(daemon.call("GetHistory")["migrations"]), 6)
        gate.open()
        daemon.migrate("guest", "cancelled")
        equal(daemon.stop(), 0)
        with open(daemon.path("history"), encoding="utf-8") as f:
            equal([json.loads(line)["vm"] for line in f], ["guest"] * 7)
        # And where it does not come to that, it ends all the same.
        daemon.start_again()
        daemon.wait_for_vm("guest")
        gate.close()
        migrate(1)
        gate.wait_for_someone()
        equal(daemon.stop(), 0)


if __name__ == "__main__":
    main()
