# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's own VMM (vmm/), a process for each VM."""

import fcntl
import os
import subprocess

from host.lab import BIN, Failed, parse_answer

MIB = 1 << 20
MEMORY = 0x80000000     # guest physical address of the first memslot
BLOCK = 2 * MIB
PAGE = 4096
# KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, with KVM_DIRTY_LOG_INITIALLY_SET: what a VM may be made with as manual=
INITIALLY_SET = 3

KVM_CREATE_VM = 0xae01


def ioctl(fd, number, argument=0):
    """Goes on where a signal came between."""
    while True:
        try:
            return fcntl.ioctl(fd, number, argument)
        except InterruptedError:
            pass


def empty_vm():
    """A VM of this process, as long as it keeps the descriptor."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    try:
        return ioctl(kvm, KVM_CREATE_VM)
    finally:
        os.close(kvm)


class Vmm:
    """
    A VM. Commands raise Failed where the VMM answers with an error; ask() does not. faults: count them; vgic: with a
    GICv3, and one vCPU.
    """

    def __init__(self, lab, vcpus=2, chunk=0, manual=0, faults=0, vgic=0, prefix=()):
        self._lab = lab
        self.process = lab.spawn(*prefix, f"{BIN}/vmm", stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True, bufsize=1)
        self._told = ""
        self.pid = self.call("create", vcpus=vcpus, chunk=chunk, manual=manual, faults=faults,
                             vgic=vgic)["pid"]

    def tell(self, command, *args, **options):
        """A command whose answer is to be read later, by answer()."""
        self._told = " ".join([command, *map(str, args)] + [f"{k}={v}" for k, v in options.items()])
        self.process.stdin.write(self._told + "\n")
        self.process.stdin.flush()

    def answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            raise Failed(f"the VMM is gone ({self.process.wait()}) after {self._told!r}")
        return parse_answer(answer)

    def ask(self, command, *args, **options):
        self.tell(command, *args, **options)
        return self.answer()

    def call(self, command, *args, **options):
        answer = self.ask(command, *args, **options)
        if answer["error"]:
            raise Failed(f"vmm: {command}: {answer['text']}")
        return answer

    def add(self, slot=1, mib=128, gpa=MEMORY, backing="huge", log=0):
        self.call("add", slot, gpa=gpa, bytes=mib * MIB, backing=backing, log=log)

    def work(self, command, *args, **options):
        """populate, pass, stop: and the guest must have found its memory as it should be."""
        answer = self.call(command, *args, **options)
        if answer["errors"]:
            raise Failed(f"guest found {answer['errors']} bad pages, the last {answer['bad_page']}")
        return answer

    def faults(self):
        return self.call("faults")

    def stats(self):
        stats = self.call("stats")
        # Later kernels have another name for it.
        if "eager_split_blocks" in stats:
            stats["blocks_split"] = stats["eager_split_blocks"]
        return stats

    def intact(self, name, slot=1, **which):
        """A test: the guest's checksum, the VMM's, and what it must be."""
        sums = self.call("checksum", slot, **which)
        return self._lab.ok(sums["guest"] == sums["host"] == sums["expected"], name, sums)

    def advance(self):
        """Waits until each vCPU has dealt with a page more: the guest lives."""
        before = self.call("progress")

        def moved():
            now = self.call("progress")
            return all(now[k] > before[k] for k in before if k.startswith("done"))

        self._lab.wait_for("progress of the guest", moved)

    def leaves(self, slot=1):
        """By what the slot is mapped: (1 GiB blocks, 2 MiB blocks, tables of pages)."""
        for found in self._lab.survey(self.pid)["slot"]:
            if found["slot"] == slot:
                return found["blocks1"], found["blocks2"], found["tables"]
        return None

    def quit(self):
        """Ends the VMM in an orderly way."""
        self.process.stdin.close()
        if self.process.wait():
            raise Failed(f"vmm: status {self.process.returncode}")


def since(before, after):
    """The difference of two answers of numbers."""
    return {k: after[k] - before[k] for k in after if isinstance(after[k], int)}
