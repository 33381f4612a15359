#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that systemd-machined has for VMs, and a bus that has none, is slow, or makes no sense."""

import contextlib
import os
import tempfile

from bus import FLOOD, HANG_UP, NO_ANSWER, Bus
from harness import FAST, Daemon, Qemu, Vmm
from tap import equal, main, test
from varlink import Error


@contextlib.contextmanager
def bus_at(answer, silent=False):
    with tempfile.TemporaryDirectory() as folder, Bus(os.path.join(folder, "bus"), answer, silent) as bus:
        yield bus


@contextlib.contextmanager
def daemon_on(bus):
    with Daemon(environment={"DBUS_SYSTEM_BUS_ADDRESS": bus.address}, **FAST) as daemon:
        yield daemon


@test
def machine_is_its_name():
    """What systemd-machined calls a VM, it is called, also where its VMM has another name for it"""
    names = {}
    with bus_at(names.get) as bus, daemon_on(bus) as daemon, Vmm() as vmm, Qemu("guest=own") as qemu:
        names |= {vmm.pid: "container-1.example", qemu.pid: "machine"}
        for process in vmm, qemu:
            vm = daemon.create_vm(process)
            named = daemon.wait_for_vm(names[process.pid])
            equal(named["pid"], process.pid)
            daemon.migrate(named["vm"], "scheduled")
            daemon.wait_for_stage(named["vm"], "split")
            equal(vm.blocks, 0)


@test
def libvirts_machine():
    """Where libvirt has given the machine its name, the VM goes by libvirt's own"""
    names = {}
    with bus_at(names.get) as bus, daemon_on(bus) as daemon, Qemu("guest=web 1") as qemu:
        names[qemu.pid] = "qemu-12-web1"
        daemon.create_vm(qemu)
        bus.asked.acquire()
        equal(daemon.wait_for_vm("web 1")["pid"], qemu.pid)
        # It may have been called so before the machine was known.
        while True:
            with contextlib.suppress(Error):
                equal(daemon.call("GetVm", vm="qemu-12-web1")["vm"]["vm"], "web 1")
                break


@test
def no_machine():
    """A VM that is no machine goes by its id; as do those for which the answer makes no sense"""
    answers = [None, 7, b"/", b"/org/freedesktop/machine1/machine/", b"/org/freedesktop/machine1/machine/_2f",
               b"/org/freedesktop/machine1/other/x", "1.0", "x" * 255]
    names = {}
    with bus_at(names.get) as bus, daemon_on(bus) as daemon:
        for n, answer in enumerate(answers):
            with Vmm() as vmm, Vmm() as machine:
                names |= {vmm.pid: answer, machine.pid: f"machine{n}"}
                vm = daemon.create_vm(vmm)
                equal(daemon.wait_for_vm(vm.id)["pid"], vmm.pid)
                # What is asked later is answered later.
                daemon.create_vm(machine)
                daemon.wait_for_vm(f"machine{n}")
                equal(daemon.call("GetVm", vm=vm.id)["vm"]["vm"], vm.id, answer)


@test
def told_meanwhile():
    """A name that is told while systemd-machined is asked stays, and one of a VM that is gone is nobody's"""
    names = {}
    with bus_at(names.get) as bus, daemon_on(bus) as daemon, Vmm() as vmm:
        names[vmm.pid] = NO_ANSWER
        vm = daemon.create_vm(vmm)
        bus.asked.acquire()
        daemon.register(vmm, "told")
        equal(daemon.wait_for_vm("told")["pid"], vmm.pid)
        vm.destroy()
        names[vmm.pid] = "machine"
        # Another one, of the same process.
        vm = daemon.create_vm(vmm)
        equal(daemon.wait_for_vm("machine")["pid"], vmm.pid)


def holds_up_nobody(answer, silent=False):
    """Not VMs, calls, nor the end"""
    with bus_at(lambda pid: answer, silent) as bus, daemon_on(bus) as daemon, contextlib.ExitStack() as stack:
        for _ in range(20):
            vm = daemon.create_vm(stack.enter_context(Vmm()))
            daemon.wait_for_vm(vm.id)
            daemon.migrate(vm.id, "scheduled")
            daemon.wait_for_stage(vm.id, "split")
        equal(len(daemon.call("ListVms")["vms"]), 20)
        equal(daemon.stop(), 0)


@test
def bus_that_hangs():
    """A bus that does not say a word, or gives no answer, holds up nobody: not VMs, calls, nor the end"""
    holds_up_nobody(NO_ANSWER, silent=True)
    holds_up_nobody(NO_ANSWER)


@test
def nothing_is_asked():
    """Who has no question is not on the bus, where everybody may send him something"""
    names = {}
    with bus_at(names.get) as bus, daemon_on(bus) as daemon, contextlib.ExitStack() as stack:
        for n in range(3):
            vmm = stack.enter_context(Vmm())
            names[vmm.pid] = f"machine{n}"
            daemon.create_vm(vmm)
            bus.left.acquire()
            equal(daemon.wait_for_vm(f"machine{n}")["pid"], vmm.pid)


@test
def strangers_on_the_bus():
    """As much as others send over the bus, VMs and calls are not held up, nor is the end"""
    holds_up_nobody(FLOOD)


@test
def bus_that_comes_back():
    """A bus that hangs up, is gone and comes back is asked anew, for the VM that comes then"""
    names = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = os.path.join(folder, "bus")
        with Bus(path, lambda pid: HANG_UP) as bus:
            daemon = stack.enter_context(daemon_on(bus))
            vm = daemon.create_vm(stack.enter_context(Vmm()))
            bus.asked.acquire()
            daemon.wait_for_vm(vm.id)
        # Nobody is there.
        vm = daemon.create_vm(stack.enter_context(Vmm()))
        daemon.wait_for_vm(vm.id)
        with Bus(path, names.get):
            for n in range(2):
                vmm = stack.enter_context(Vmm())
                names[vmm.pid] = f"machine{n}"
                daemon.create_vm(vmm)
                equal(daemon.wait_for_vm(f"machine{n}")["pid"], vmm.pid)


if __name__ == "__main__":
    main()
