# SPDX-License-Identifier: GPL-2.0-or-later
"""What `run --demo` shows: the main job as an administrator would do it, on the console."""

import subprocess

from host.daemon import Daemon
from host.lab import Failed
from host.qemu import Guest

MIB = 512
# Slow enough to be watched: some 250 blocks, of which a TLBI splits as many as no vCPU waits for.
RATE, BURST = 1, 1


def say(text=""):
    print(text, flush=True)


def title(text):
    say(f"\n== {text}")


def shell(*argv):
    """Shows a command and what it prints; it has to work."""
    say("# " + " ".join(map(str, argv)))
    status = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        raise Failed(f"{' '.join(map(str, argv))}: status {status}")


def start(daemon):
    title(f"eagersplitd, started by systemd, with TlbiRate={RATE} and TlbiBurst={BURST}")
    daemon.configure(RATE, BURST)
    shell("systemctl", "start", "eagersplitd")
    shell("systemctl", "show", "-P", "StatusText", "eagersplitd")
    shell("eagersplitctl", "host")


def boot_guest(lab):
    title(f"A guest: stock QEMU, 2 vCPUs, {MIB} MiB in huge pages of 2 MiB, that checks its own memory")
    lab.huge_pages(MIB)
    guest = Guest(lab, MIB)
    say(f"QEMU is process {guest.pid}; its guest boots and fills its memory ...")
    guest.wait_populated()
    return guest


def describe(guest, what):
    number, reads, writes, errors, static = guest.rounds()[-1]
    say(f"{what}: round {number}: {reads} pages read, {writes} written, {errors} wrong, "
        f"checksum of the others {static}")


def run(lab):
    daemon = Daemon(lab)
    start(daemon)
    guest = boot_guest(lab)
    describe(guest, "The guest")

    title("The guest is going to migrate: its blocks are split ahead, many by a TLBI, within the budget")
    shell("eagersplitctl", "register", guest.pid, "--name=guest1")
    phase = lab.phase("prepare")
    shell("eagersplitctl", "prepare", "guest1", "--wait")
    lab.phase_end()
    vm = daemon.vm("guest1")
    lab.expect(phase, "TLBIs counted by the emulator", broadcast=vm["tlbis"])

    title("What it did")
    shell("eagersplitctl", "status", "guest1")
    left = sum(s[f"blocks{level}"] for s in lab.survey(guest.pid)["slot"] for level in (0, 1, 2))
    say(f"KVM's survey: {left} blocks left")
    lab.eq(left, 0, "blocks left")
    guest.intact("the guest's memory is intact")
    describe(guest, "The guest")

    title("The migration is called off: the blocks come back, and the daemon stops")
    shell("eagersplitctl", "cancel", "guest1", "--wait")
    daemon.wait_stage("guest1", "whole")
    shell("eagersplitctl", "list")
    shell("systemctl", "stop", "eagersplitd.service", "eagersplitd.socket")
    guest.intact("the guest runs on")
    describe(guest, "The guest")
    say()
