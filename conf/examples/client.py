#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
client.py PID [SOCKET]: prepares the VM of a VMM's process for live migration, and waits until it
is split. The library is python3-varlink (Debian 13 and later), "varlink" to pip.
"""

import sys

import varlink

if len(sys.argv) < 2:
    sys.exit("usage: client.py PID [SOCKET]")
pid = int(sys.argv[1])
path = sys.argv[2] if len(sys.argv) > 2 else "/run/eagersplitd/control.sock"
with varlink.Client(f"unix:{path}") as client, client.open("org.eagersplit.Manager") as manager:
    # The daemon finds VMs by itself; whoever tries again finds it registered, too.
    known = [vm for vm in manager.ListVms()["vms"] if vm["pid"] == pid]
    name = (known or [manager.Register(pid=pid)["vm"]])[0]["vm"]
    manager.SetMigrationState(vm=name, migration="scheduled")
    for reply in manager.Watch(vm=name, _more=True):
        vm = reply["vm"]
        print(f"{name}: {vm['stage']}, {vm['blocks']} blocks left", flush=True)
        if vm["stage"] in ("split", "failed"):
            sys.exit(vm.get("error"))
