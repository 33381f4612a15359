# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock QEMU and its guest, whose userland (programs/guest-init.c) checks its own memory."""

import os
import re

from host.lab import Failed, read
from host.qmp import Qmp

ROUND = re.compile(r"lab: round=(\d+) reads=(\d+) writes=(\d+) errors=(\d+) static=([0-9a-f]+)\r?\n")
# Where QEMU's virt machine has its memory.
RAM = 1 << 30
# Its eager-split-size, which there is since 8.1 (and KVM has what it takes since 6.5)
EAGER, EAGER_SINCE = 2 << 20, (8, 1)
MACHINE = ("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "host",
           "-nodefaults", "-display", "none", "-no-reboot",
           "-kernel", "/lab/guest/Image", "-initrd", "/lab/guest/guest.cpio")


def version(lab):
    """QEMU's, as (major, minor)."""
    return tuple(map(int, re.search(r"version (\d+)\.(\d+)", lab.must(MACHINE[0], "--version")).groups()))


class Guest:
    """
    A QEMU guest of so many MiB in 2 MiB huge pages, most of which it works on.

    vcpus: each has a thread of the guest's work. write: one page in so many is written each round. eager: QEMU's own
    eager-split-size, in bytes, as are those that it migrates to. origin: the Guest that is going to migrate here; this one goes on with its console then.
    """

    count = 0

    def __init__(self, lab, mib, prefix=(), vcpus=2, write=2, eager=0, origin=None):
        Guest.count += 1
        self._lab = lab
        self._qmp = None
        self.mib = mib
        self.vcpus = vcpus
        self.write = write
        self.eager = eager
        self.name = f"lab-{Guest.count}"
        self.console = origin.console if origin else f"/run/{self.name}.log"
        self.socket = f"/run/{self.name}.qmp"
        # Waits to be let go when it has arrived, as with libvirt.
        incoming = ("-S", "-incoming", "defer") if origin else ()
        self.process = lab.spawn(
            *prefix, *MACHINE, "-accel", f"kvm,eager-split-size={eager}" if eager else "kvm",
            "-name", self.name, "-smp", vcpus, "-m", mib, "-mem-path", "/dev/hugepages",
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-qmp", f"unix:{self.socket},server=on,wait=off", *incoming,
            "-append", f"console=ttyAMA0 quiet panic=-1 lab.mib={mib * 3 // 4} lab.write={write}")
        self.pid = self.process.pid

    @property
    def qmp(self):
        self._qmp = self._qmp or Qmp(self._lab, self.socket)
        return self._qmp

    def log(self):
        return read(self.console) if os.path.exists(self.console) else ""

    def _look(self, what, condition):
        def check():
            if self.process.poll() is not None:
                raise Failed(f"QEMU ended with status {self.process.returncode}:\n{self.log()[-2000:]}")
            return condition()
        return self._lab.wait_for(what, check)

    def wait_populated(self):
        """Until the guest has filled its memory and gone over it once."""
        self._look("a first round of the guest", self.rounds)

    def rounds(self):
        """[(round, reads, writes, errors, checksum of what is never written)], all so far."""
        return [(int(n), int(r), int(w), int(e), s) for n, r, w, e, s in ROUND.findall(self.log())]

    def wait_rounds(self, more=1):
        """Until the guest has begun and ended so many rounds from now on."""
        done = len(self.rounds())
        self._look("rounds of the guest", lambda: len(self.rounds()) > done + more)

    def intact(self, name):
        """Tests: it runs, reads and writes, found no error, and what is never written is the same."""
        self.wait_rounds()
        rounds = self.rounds()
        good = {e == 0 for _, _, _, e, _ in rounds} == {True}
        same = len({s for _, _, _, _, s in rounds}) == 1
        self._lab.ok(good and same and rounds[-1][2] > rounds[0][2], name, rounds[-3:])

    def threads(self):
        """Its vCPUs' threads."""
        return [cpu["thread-id"] for cpu in self.qmp.call("query-cpus-fast")]

    def quit(self):
        """Ends QEMU in an orderly way."""
        self.qmp.call("quit")
        if self.process.wait():
            raise Failed(f"QEMU ended with status {self.process.returncode}")
