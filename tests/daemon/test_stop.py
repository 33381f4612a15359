#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping the daemon at any moment: it exits with success, and the VMMs live on."""

import os
import signal

from harness import FAST, STUCK, Daemon, Vmm
from tap import equal, main, test, true

BUSY = {"TlbiRate": 0, "Memory": "64G", "TlbiUSec": 200}


def stop_at(settings, states, number=signal.SIGTERM):
    with Daemon(**settings) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for state in states:
            daemon.migrate("guest", state)
        equal(daemon.stop(number), 0, f"exit status after {states}")
        true(vmm.process.poll() is None, "the VMM lives")


@test
def idle():
    """With nothing to do, by SIGTERM and by SIGINT"""
    for number in signal.SIGTERM, signal.SIGINT:
        with Daemon(**FAST) as daemon:
            equal(daemon.stop(number), 0)


@test
def each_state():
    """In each state of a migration, with splitting fast, waiting for budget, or in a long call"""
    for settings in FAST, STUCK, BUSY:
        for states in [], ["scheduled"], ["active"], ["scheduled", "cancelled"], ["scheduled", "completed"]:
            stop_at(settings, states)


@test
def after_progress():
    """After so many blocks, for a few values of so many"""
    for blocks in 1, 2, 10, 50:
        with Daemon(TlbiRate=500, TlbiBurst=4, Memory="64G", TlbiUSec=20) as daemon, Vmm() as vmm:
            daemon.register(vmm, "guest")
            daemon.migrate("guest", "scheduled")
            daemon.wait_for("guest", lambda vm, n=blocks: vm["blocksSplit"] >= n)
            equal(daemon.stop(), 0)


@test
def status():
    """That calls are waited for is the last that is said of what goes on"""
    with Daemon(**STUCK) as daemon, Vmm() as one, Vmm() as two:
        for name, vmm in ("one", one), ("two", two):
            daemon.register(vmm, name)
            daemon.migrate(name, "scheduled")
        equal(daemon.stop(), 0)
        said = daemon.notify.wait_for("STOPPING", "1")["STATUS"]
        while "EXITED" not in (message := daemon.notify.receive()):
            said = message.get("STATUS", said)
        equal(said, "Waiting for what is under way")


@test
def with_clients():
    """Clients with a watch, an unread answer or half a message are closed"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, daemon.client() as watcher, \
            daemon.client() as unread, daemon.client() as half:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        watch = watcher.watch("guest")
        next(watch)
        for _ in range(200):
            unread.send("ListVms")
        half.send_raw(b'{"method":')
        equal(daemon.stop(), 0)
        while watcher.receive() is not None:
            pass
        equal(half.receive(), None)


@test
def during_register():
    """While VMs are being registered"""
    for n in range(5):
        with Daemon(**FAST) as daemon:
            vmms = [Vmm() for _ in range(8)]
            with daemon.client() as client:
                for i, vmm in enumerate(vmms):
                    client.send("Register", pid=vmm.pid, name=f"vm{i}")
                for _ in range(n):
                    client.reply()
                equal(daemon.stop(), 0)
            for vmm in vmms:
                true(vmm.process.poll() is None, "the VMM lives")
                vmm.kill()


@test
def twice():
    """Whoever asks twice does not have to wait until the VMs are let go of; the next daemon goes on"""
    with Daemon(TlbiRate=0, TlbiUSec="1s") as daemon, Vmm() as vmm:
        vm = daemon.create_vm(vmm)
        daemon.wait_for_vm(vm.id)
        # A call of minutes.
        daemon.migrate(vm.id, "scheduled")
        # Both are there when it goes on: the second cannot come when all is over.
        daemon.kill(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WNOWAIT)
        daemon.kill(signal.SIGTERM)
        daemon.kill(signal.SIGINT)
        daemon.kill(signal.SIGCONT)
        equal(daemon.process.wait(), 1, "exit status")
        true("Stopping at once" in daemon.log(), daemon.log())
        true(vmm.process.poll() is None, "the VMM lives")
        daemon.configure(**FAST)
        daemon.start_again()
        equal(daemon.wait_for_stage(vm.id, "split")["migration"], "scheduled")


@test
def many_vms():
    """With many VMs in the middle of being split"""
    with Daemon(**BUSY) as daemon:
        vmms = [Vmm() for _ in range(16)]
        for i, vmm in enumerate(vmms):
            daemon.register(vmm, f"vm{i}")
            daemon.migrate(f"vm{i}", "scheduled")
        equal(daemon.stop(), 0)
        for vmm in vmms:
            true(vmm.process.poll() is None, "the VMM lives")
            vmm.kill()


if __name__ == "__main__":
    main()
