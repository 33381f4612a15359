# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts of many VMs, for what is measured on them."""

import os
import resource
import time

from harness import Vmm

# VMs of one process: as many as one may have.
VMS_OF_A_PROCESS = 64


def make_room():
    """For as many descriptors as there may be; and what is written to /run goes to memory."""
    if os.path.isdir("/dev/shm"):
        os.environ.setdefault("TMPDIR", "/dev/shm")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def make_vms(daemon, stack, n, **options):
    """n VMs that are found."""
    vms = []
    while len(vms) < n:
        vmm = stack.enter_context(Vmm())
        vms += [daemon.create_vm(vmm, number=i, **options) for i in range(min(VMS_OF_A_PROCESS, n - len(vms)))]
    return vms


def wait_for_vms(daemon, n):
    """Until all are in the table and have been surveyed; what that costs is no part of any figure."""
    with daemon.client() as client:
        while True:
            metrics = client.call("org.eagersplit.Metrics.GetMetrics")["metrics"]
            surveys = sum(call["count"] for call in metrics["calls"] if call["operation"] == "survey")
            queue = metrics["queue"]
            if metrics["vms"] == n and surveys >= n and not queue["running"] and not queue["queued"]:
                return
            time.sleep(0.2)


def schedule(client, vms, **parameters):
    for vm in vms:
        client.call("SetMigrationState", vm=vm.id, migration="scheduled", **parameters)
