#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The methods of org.eagersplit.Manager, one by one."""

import os
import threading

from harness import FAST, INTERFACES, STUCK, Daemon, Vmm, interface_file
from tap import equal, main, test, true
from varlink import INTERFACE, Error

GIB = 1 << 30


@test
def get_host():
    """GetHost tells of the host and its budget"""
    with Daemon(TlbiRate=123, TlbiBurst=7) as daemon:
        host = daemon.call("GetHost")["host"]
        true(host.pop("version"), "a version")
        equal(host, {"backend": "sim", "supported": True, "bbmLevel": 0, "throttled": True,
                     "tlbiRate": 123, "tlbiBurst": 7, "tlbisTotal": 0, "blocksTotal": 0,
                     "tlbiLoadPpm": 0, "tlbiUSecTotal": 0, "method": "break", "vmPauseRate": 10,
                     "pausesTotal": 0})


@test
def get_host_bbm():
    """GetHost tells that FEAT_BBM level 2 needs no throttling, unless it is off"""
    with Daemon(BbmLevel=2) as daemon:
        host = daemon.call("GetHost")["host"]
        equal((host["bbmLevel"], host["throttled"], host["method"]), (2, False, "bbm"))
    for off in {"Bbm": "off"}, {"Method": "break"}:
        with Daemon(BbmLevel=2, **off) as daemon:
            host = daemon.call("GetHost")["host"]
            equal((host["bbmLevel"], host["throttled"], host["method"]), (0, True, "break"))


@test
def pauses():
    """Method=pause takes no TLBI, there and back, and is what Bbm= says where the kernel cannot"""
    with Daemon(TlbiRate=1, TlbiBurst=1, Memory="4G", Batch=512, VcpuWaits="0%", Method="pause", VmPauseRate=0,
                BbmLevel=2) as daemon, Vmm() as vmm:
        host = daemon.call("GetHost")["host"]
        equal((host["bbmLevel"], host["throttled"], host["method"]), (0, False, "pause"))
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        equal(daemon.call("GetHost")["host"]["pausesTotal"], 4)
        daemon.migrate("guest", "cancelled")
        daemon.wait_for_stage("guest", "whole")
        host = daemon.call("GetHost")["host"]
        equal((host["pausesTotal"], host["tlbisTotal"]), (8, 0))
    with Daemon(Method="pause", Pauses="no", BbmLevel=2) as daemon:
        equal(daemon.call("GetHost")["host"]["method"], "bbm")


@test
def register():
    """Register answers with the surveyed VM, which ListVms and GetVm then know"""
    with Daemon(Memory="4G", BlockSize="2M") as daemon, Vmm() as vmm:
        equal(daemon.call("ListVms"), {"vms": []})
        vm = daemon.register(vmm, "guest")
        equal(vm, {"vm": "guest", "pid": vmm.pid, "migration": "none", "stage": "whole",
                   "bytes": 4 * GIB, "blocks": 2048, "blockBytes": 4 * GIB, "blocksSplit": 0,
                   "tlbis": 0, "tlbiUSec": 0, "late": False, "uid": os.getuid()})
        equal(daemon.call("ListVms"), {"vms": [vm]})
        full = daemon.call("GetVm", vm="guest")["vm"]
        memslots = full.pop("memslots")
        equal(full, vm)
        equal(sum(slot["bytes"] for slot in memslots), 4 * GIB)
        equal(sum(slot["blocks"] for slot in memslots), 2048)
        equal(sum(slot["blockBytes"] for slot in memslots), 4 * GIB)
        for slot in memslots:
            equal(sorted(slot), ["blockBytes", "blocks", "bytes", "dirtyLogging", "gpa", "slot"])
        equal(daemon.call("Unregister", vm="guest"), {})
        equal(daemon.call("ListVms"), {"vms": []})


@test
def register_found():
    """Register of a VM that was found earlier answers with what there is of it now"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        def surveys():
            calls = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["calls"]
            return next(c["count"] for c in calls if c["operation"] == "survey")

        found = daemon.create_vm(vmm).id
        daemon.wait_for_vm(found)
        later = daemon.create_vm(other).id
        daemon.wait_for_vm(later)
        # By the time that the later survey is too old, so is the one before.
        before = surveys()
        while surveys() == before:
            daemon.call("GetVm", vm=later)
        before = surveys()
        equal(daemon.register(vmm, "guest")["blocks"], 512)
        equal(surveys(), before + 1)


@test
def register_without_name():
    """A VM registered without a name is called after its process"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        name = daemon.call("Register", pid=vmm.pid)["vm"]["vm"]
        true(name.startswith(f"{vmm.pid}."), name)
        daemon.call("Unregister", vm=name)
        name = daemon.call("Register", pid=vmm.pid, name=None)["vm"]["vm"]
        true(name.startswith(f"{vmm.pid}."), name)


@test
def register_order():
    """ListVms gives the VMs in the order in which they were registered"""
    with Daemon(**FAST) as daemon, Vmm() as a, Vmm() as b, Vmm() as c:
        for vmm, name in (b, "zebra"), (a, "ant"), (c, "mule"):
            daemon.register(vmm, name)
        daemon.call("Unregister", vm="ant")
        daemon.register(a, "ant")
        equal([vm["vm"] for vm in daemon.call("ListVms")["vms"]], ["zebra", "mule", "ant"])


@test
def register_errors():
    """Register refuses what is no process, or registered already, and bad names"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        gone = Vmm()
        gone.kill()
        equal(daemon.error("Register", pid=gone.pid, name="x"), ("NoSuchProcess", {"pid": gone.pid}))
        daemon.register(vmm, "guest")
        # Whose it is tells which of the two is in the way.
        exists = ("VmExists", {"vm": "guest", "pid": vmm.pid})
        equal(daemon.error("Register", pid=other.pid, name="guest"), exists)
        equal(daemon.error("Register", pid=vmm.pid, name="second"), exists)
        equal(daemon.error("Register", pid=vmm.pid), exists)
        # The last two are ids: of a VM that there is, or may be, and of this one.
        for name in ("", "  ", "a/b", "new\nline", "x" * 200, "\x1b[31m", "\x9bm", f"{vmm.pid}.7", f"{other.pid}.0"):
            equal(daemon.error("Register", pid=other.pid, name=name),
                  ("org.varlink.service.InvalidParameter", {"parameter": "name"}), repr(name))
        for pid in 0, -1, 1 << 31, 1 << 62:
            equal(daemon.error("Register", pid=pid, name="x"),
                  ("org.varlink.service.InvalidParameter", {"parameter": "pid"}), pid)
        equal(len(daemon.call("ListVms")["vms"]), 1)


@test
def no_such_vm():
    """Methods on a VM that is not there say so"""
    with Daemon(**FAST) as daemon:
        expected = ("NoSuchVm", {"vm": "nobody"})
        equal(daemon.error("GetVm", vm="nobody"), expected)
        equal(daemon.error("Unregister", vm="nobody"), expected)
        equal(daemon.error("SetMigrationState", vm="nobody", migration="scheduled"), expected)
        equal(daemon.error("Watch", vm="nobody", more=True), expected)


@test
def prepare():
    """Scheduling a migration splits all blocks, for a TLBI each"""
    with Daemon(TlbiRate=0, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        equal(daemon.migrate("guest", "scheduled")["migration"], "scheduled")
        vm = daemon.wait_for_stage("guest", "split")
        equal((vm["blocks"], vm["blockBytes"], vm["blocksSplit"], vm["tlbis"]), (0, 0, 2048, 2048))
        true("etaUSec" not in vm or vm["etaUSec"] == 0, "no time left")
        host = daemon.call("GetHost")["host"]
        equal((host["blocksTotal"], host["tlbisTotal"]), (2048, 2048))
        slots = daemon.call("GetVm", vm="guest")["vm"]["memslots"]
        equal(sum(slot["blocks"] for slot in slots), 0)


@test
def prepare_bbm():
    """With FEAT_BBM level 2 splitting costs no TLBI a block"""
    with Daemon(TlbiRate=1, TlbiBurst=1, Memory="4G", TlbiUSec=0, BbmLevel=2) as daemon, \
            Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        vm = daemon.wait_for_stage("guest", "split")
        equal((vm["blocks"], vm["blocksSplit"]), (0, 2048))


@test
def deadline():
    """A deadline is given back as it was, and the VM is late if the budget is too small"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        far = (1 << 63) - 1
        vm = daemon.migrate("guest", "scheduled", deadlineUSec=far)
        equal((vm["deadlineUSec"], vm["late"]), (far, False))
        vm = daemon.migrate("guest", "scheduled", deadlineUSec=1)
        equal((vm["deadlineUSec"], vm["late"]), (1, True))
        equal(daemon.migrate("guest", "scheduled")["deadlineUSec"], 1)


@test
def introspection():
    """org.varlink.service describes the service by the file of the sources"""
    with Daemon(**FAST) as daemon:
        info = daemon.call("org.varlink.service.GetInfo")
        equal(info["interfaces"], INTERFACES)
        equal(sorted(info), ["interfaces", "product", "url", "vendor", "version"])
        for name in INTERFACES:
            reply = daemon.call("org.varlink.service.GetInterfaceDescription", interface=name)
            with open(interface_file(name), encoding="utf-8") as f:
                equal(reply, {"description": f.read()})
        equal(daemon.error("org.varlink.service.GetInterfaceDescription", interface="org.example"),
              ("org.varlink.service.InterfaceNotFound", {"interface": "org.example"}))


@test
def pipelined():
    """Calls sent all at once are answered in order, also those that take longer"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as client:
        client.send("Register", pid=vmm.pid, name="guest")
        client.send("GetVm", vm="guest")
        client.send("GetVm", vm="nobody")
        client.send("SetMigrationState", oneway=True, vm="guest", migration="scheduled")
        client.send("GetHost")
        client.send("Unregister", vm="guest")
        client.send("ListVms")
        equal(client.reply()[0]["vm"]["vm"], "guest")
        true("memslots" in client.reply()[0]["vm"], "GetVm")
        try:
            client.reply()
            raise AssertionError("GetVm of nobody")
        except Error as error:
            equal(error.name, f"{INTERFACE}.NoSuchVm")
        true("host" in client.reply()[0], "GetHost")
        equal(client.reply()[0], {})
        equal(client.reply()[0], {"vms": []})


@test
def get_vm_at_any_moment():
    """GetVm is answered at whatever moment of the splitting it comes, the last survey included"""
    def ask():
        with daemon.client() as client:
            while not done.is_set():
                stages.add(client.call("GetVm", vm="guest")["vm"]["stage"])

    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        done, stages = threading.Event(), set()
        clients = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        for thread in clients:
            thread.start()
        for _ in range(100):
            daemon.migrate("guest", "scheduled")
            daemon.wait_for_stage("guest", "split")
            daemon.migrate("guest", "cancelled")
            daemon.wait_for_stage("guest", "whole")
        done.set()
        for thread in clients:
            thread.join()
        true({"whole", "split"} <= stages, stages)


if __name__ == "__main__":
    main()
