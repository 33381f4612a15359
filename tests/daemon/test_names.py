#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which VM a name means: told, found, claimed by others; and UUIDs."""

import contextlib
import json
import os
import signal

from harness import FAST, Caller, Daemon, Qemu, Vmm
from tap import Skip, equal, main, test, true
from varlink import INTERFACE, Error

STRANGER = 65534
UUID = "0d2c2a1e-7b5f-4f38-9c8e-5a4b3c2d1e0f"
# Tries at a name that is taken, of each kind; as many as one likes by hand.
TRIES = int(os.environ.get("NAME_TRIES", "40"))


def means(daemon, name):
    """The process of the VM that is meant by that, or None."""
    with daemon.client() as client:
        try:
            return client.call("GetVm", vm=name)["vm"]["pid"]
        except Error as error:
            equal(error.name, INTERFACE + ".NoSuchVm")
            return None


def destroy(daemon, vm):
    """And waits until the daemon knows."""
    with daemon.client() as client:
        watch = client.watch(vm.id)
        next(watch)
        vm.destroy()
        with contextlib.suppress(Error):
            list(watch)


@test
def claimed_by_two():
    """What two VMMs claim is neither's, until it is told to be one's"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as a, Qemu("web") as b:
        first, second = daemon.create_vm(a), daemon.create_vm(b)
        for vmm in a, b:
            daemon.wait_for_claim(vmm, "web")
        equal(daemon.error("SetMigrationState", vm="web", migration="scheduled"), ("NoSuchVm", {"vm": "web"}))
        equal(daemon.register(b, "web")["vm"], "web")
        equal(means(daemon, "web"), b.pid)
        true("claimedName" not in daemon.call("GetVm", vm="web")["vm"], "it has its name")
        equal(daemon.call("GetVm", vm=first.id)["vm"]["claimedName"], "web")
        true(f"\n{first.id} (web?) " in daemon.ctl("list")[1], "it is listed with what it claims")
        daemon.call("Unregister", vm="web")
        equal(daemon.wait_for_vm("web")["pid"], a.pid)


@test
def told_before_claimed():
    """A name that is told is its VM's, whoever has claimed it before"""
    with Daemon(**FAST) as daemon, Qemu("guest=web") as claims, Vmm() as told:
        vm = daemon.create_vm(claims)
        daemon.wait_for_vm("web")
        daemon.create_vm(told)
        daemon.wait_for_vm(f"{told.pid}.0")
        equal(daemon.register(told, "web")["pid"], told.pid)
        daemon.wait_for_claim(claims, "web")
        equal(means(daemon, "web"), told.pid)
        daemon.restart(signal.SIGKILL)
        equal(means(daemon, "web"), told.pid)
        told.kill()
        equal(daemon.wait_for(vm.id, lambda vm: vm["vm"] == "web")["pid"], claims.pid)


@test
def of_users_who_are_trusted():
    """A command line names a VM only where TrustedUsers= has its user, which a reload may change"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon, Qemu("web", uuid=UUID, user=STRANGER) as theirs, Qemu("db") as ours:
        vm = daemon.create_vm(theirs)
        equal(daemon.wait_for_vm(vm.id)["uid"], STRANGER)
        # Names are asked for in turn.
        daemon.create_vm(ours)
        daemon.wait_for_vm("db")
        equal([means(daemon, name) for name in ("web", UUID)], [None, None])
        equal([key for key in ("uuid", "claimedName") if key in daemon.call("GetVm", vm=vm.id)["vm"]], [])
        daemon.configure(**FAST, TrustedUsers=f"nosuchuser {STRANGER}")
        daemon.call("Reload")
        daemon.wait_for(vm.id, lambda vm: vm["vm"] == "web")
        equal(means(daemon, UUID), theirs.pid)
        daemon.configure(**FAST, TrustedUsers="root")
        daemon.call("Reload")
        equal([means(daemon, name) for name in ("web", UUID, vm.id)], [None, None, theirs.pid])
        log = daemon.wait_for_log("Goes by its id")
        true(f"Goes by its id, {vm.id}: the user who called it web is not trusted any more" in log, log)
        true("another VM's" not in log, log)


@test
def by_uuid():
    """A VM is meant by the UUID that QEMU was given, as by its name; two that claim one are not"""
    with Daemon(**FAST) as daemon, Qemu("web", uuid=UUID.upper()) as vmm:
        daemon.create_vm(vmm)
        equal(daemon.wait_for_vm("web")["uuid"], UUID)
        equal(daemon.migrate(UUID, "scheduled")["vm"], "web")
        daemon.wait_for_stage(UUID.upper(), "split")
        for command in ("status",), ("plan",), ("history",), ("prepare",):
            status, _, said = daemon.ctl("--json", *command, UUID)
            equal((command, status, said), (command, 0, ""))
        daemon.restart(signal.SIGKILL)
        equal(means(daemon, UUID), vmm.pid)
        daemon.migrate(UUID, "completed")
        equal([m["vm"] for m in json.loads(daemon.ctl("--json", "history", UUID)[1])["migrations"]], ["web"])
        # A name that is told has not to do with it.
        daemon.register(vmm, "other")
        equal(means(daemon, UUID), vmm.pid)
        with Qemu("db", uuid=UUID) as second:
            vm = daemon.create_vm(second)
            daemon.wait_for_vm("db")
            equal((means(daemon, UUID), means(daemon, "db"), means(daemon, "other")), (None, second.pid, vmm.pid))
            destroy(daemon, vm)
        equal(means(daemon, UUID), vmm.pid)
        # Nor is it its own where another is called that.
        with Qemu(UUID) as third:
            vm = daemon.create_vm(third)
            daemon.wait_for_claim(third, UUID)
            equal(means(daemon, UUID), None)
            daemon.register(third, UUID)
            equal(means(daemon, UUID), third.pid)


@test
def registered_first():
    """A VM that is registered before it has been found is meant by its UUID, too, and for the next daemon"""
    with Daemon(**FAST) as daemon, Qemu("web", uuid=UUID) as vmm:
        # The simulated host makes it one.
        daemon.register(vmm, "mine")
        daemon.wait_for("mine", lambda vm: vm.get("uuid") == UUID)
        equal([means(daemon, name) for name in (UUID, "mine", "web")], [vmm.pid, vmm.pid, None])
        daemon.restart()
        equal(means(daemon, UUID), vmm.pid)


@test
def reload_changes_nothing():
    """A reload asks for names anew, and tells of no VM whose name is what it was"""
    with Daemon(**FAST) as daemon, Qemu("web", uuid=UUID) as vmm, Qemu("db") as other, daemon.client() as client:
        daemon.create_vm(vmm)
        daemon.wait_for_vm("web")
        watch = client.watch("web")
        next(watch)
        daemon.call("Reload")
        # Names are asked for in turn.
        daemon.create_vm(other)
        daemon.wait_for_vm("db")
        daemon.migrate("web", "scheduled")
        equal(next(watch)["migration"], "scheduled")


@test
def of_one_process():
    """Of two VMs of one process the first has its name and UUID, and then the other"""
    with Daemon(**FAST) as daemon, Qemu("web", uuid=UUID) as vmm:
        first, second = (daemon.create_vm(vmm, number=n) for n in (0, 1))
        daemon.wait_for_vm("web")
        daemon.wait_until(lambda vm: (vm["vm"], vm.get("claimedName")) == (second.id, "web"))
        equal(daemon.call("GetVm", vm=UUID)["vm"]["vm"], "web")
        first.destroy()
        daemon.wait_for(second.id, lambda vm: vm["vm"] == "web")
        equal(daemon.call("GetVm", vm=second.id)["vm"]["vm"], "web")


@contextlib.contextmanager
def caller_of(daemon, uid):
    """Another user's connection."""
    os.chmod(daemon.folder, 0o755)
    os.chmod(daemon.socket_path, 0o666)
    os.seteuid(uid)
    try:
        caller = Caller(daemon)
    finally:
        os.seteuid(0)
    with caller:
        yield caller


def register_as(caller, vmm, vm, name):
    """With a splitter, as who owns it; what it is called then."""
    fd = vm.splitter()
    try:
        return caller.call("Register", [fd], pid=vmm.pid, name=name, splitter=0)["vm"]["vm"]
    finally:
        os.close(fd)


@test
def taken():
    """Tries at a name that is taken, by strangers and by others who are trusted: none has it meant, and root's is taken"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon, Vmm() as roots, Qemu("web", uuid=UUID, user=STRANGER) as stranger, \
            Qemu("guest=web") as trusted, Qemu("db", uuid=UUID) as other, caller_of(daemon, STRANGER) as caller:
        daemon.create_vm(roots)
        daemon.wait_for_vm(f"{roots.pid}.0")
        daemon.register(roots, "web")
        wrong = refused = tries = 0
        for _ in range(TRIES):
            vms = [daemon.create_vm(vmm) for vmm in (stranger, trusted, other)]
            daemon.wait_for_vm(vms[0].id)
            wrong += register_as(caller, stranger, vms[0], "web") != vms[0].id
            daemon.wait_for_claim(trusted, "web")
            daemon.wait_until(lambda vm: vm.get("uuid") == UUID)
            wrong += means(daemon, "web") != roots.pid
            wrong += means(daemon, UUID) != other.pid
            daemon.call("Unregister", vm="web")
            # By now it is the only claim that counts.
            wrong += means(daemon, "web") != trusted.pid
            refused += daemon.register(roots, "web")["vm"] != "web"
            wrong += means(daemon, "web") != roots.pid
            tries += len(vms) + 1
            for vm in vms:
                destroy(daemon, vm)
        print(f"# {tries} tries: {wrong} wrong, {refused} refused")
        equal((wrong, refused), (0, 0))


if __name__ == "__main__":
    main()
