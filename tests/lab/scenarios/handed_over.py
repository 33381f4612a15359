# SPDX-License-Identifier: GPL-2.0-or-later
"""Another VMM than QEMU, of a user of its own, hands the daemon its splitter, where nobody may look into processes."""

import os
import signal

from host.daemon import SOCKET, Daemon, Refused
from host.lab import write
from host.vmm import BLOCK, MIB, Vmm

ORDER = 68
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
PARTS = ("daemon",)

SIZE = 64
BLOCKS = SIZE * MIB // BLOCK
# Anybody who may use KVM and the control socket
AS_USER = ("setpriv", "--reuid=1001", "--regid=1001", "--groups=kvm,eagersplitd")
NAME = "mine"
# Who looks into processes is not there. The folder may be: Daemon.change_service() has its own in it.
DROP_IN = "/run/systemd/system/eagersplitd-fetch@.service.d/none.conf"
NO_HELPER = "[Service]\nExecStart=\nExecStart=/bin/false\n"


def make(lab, prefix):
    vmm = Vmm(lab, prefix=prefix)
    vmm.add(mib=SIZE)
    vmm.work("populate", 1, step=64)
    return vmm


def refused(daemon, pid):
    """What the daemon says where it is to find the VM by itself."""
    try:
        daemon.register(pid, NAME)
    except Refused as error:
        return error.name
    return None


def prepared(lab, daemon, vmm, vm):
    """It migrates, and does not: split ahead, and back in blocks."""
    phase = lab.phase("splitting")
    daemon.migration(vm, "scheduled")
    split = daemon.wait_stage(vm, "split")
    lab.phase_end()
    lab.expect(phase, "TLBIs, counted by the emulator, are as many as the daemon says", broadcast=split["tlbis"])
    lab.eq(vmm.leaves()[1:], (0, BLOCKS), f"{BLOCKS} blocks are tables")
    daemon.migration(vm, "cancelled")
    daemon.wait_stage(vm, "whole")
    lab.eq(vmm.leaves()[1:], (BLOCKS, 0), "cancelled, they are blocks again")
    vmm.intact("memory is intact", step=64)


def take_helper_away(lab):
    os.makedirs(os.path.dirname(DROP_IN), exist_ok=True)
    write(DROP_IN, NO_HELPER)
    lab.must("systemctl", "daemon-reload")


def give_helper_back(lab):
    os.unlink(DROP_IN)
    lab.must("systemctl", "daemon-reload")


def handed_over(lab, daemon):
    daemon.start(rate=1000, burst=16)
    vmm = make(lab, AS_USER)
    error = refused(daemon, vmm.pid)
    lab.ok(error, "the daemon cannot look for it by itself", error)
    lab.eq(daemon.vms(), [], "so it knows of none")
    vmm.call("hand-over", socket=SOCKET, name=NAME)
    vm = daemon.find(vmm.pid)
    lab.eq(vm["uid"], 1001, "handed over, it is known: whose it is")
    lab.eq(daemon.vm_fds(), (0, 1), "the daemon has a splitter, and not the VM")
    told = [line for line in daemon.journal().splitlines() if "Registered" in line]
    lab.ok(told and "1001" in told[-1], "the journal: who has registered it", told)
    prepared(lab, daemon, vmm, vm["vm"])
    vmm.process.send_signal(signal.SIGKILL)
    vmm.process.wait()
    lab.wait_for("an empty list", lambda: not daemon.vms())
    daemon.stop()


def run(lab):
    lab.huge_pages(SIZE)
    daemon = Daemon(lab)
    take_helper_away(lab)
    # The scenarios after this one want it.
    try:
        handed_over(lab, daemon)
    finally:
        give_helper_back(lab)
