# SPDX-License-Identifier: GPL-2.0-or-later
"""One of two hosts with libvirt and the daemon, both as their packages have them. All that goes in and out is JSON."""

import glob
import json
import os
import signal
import subprocess

from host.daemon import Daemon, Refused
from host.lab import Failed, read
from host.qemu import RAM
from host.trace import FaultCount

PACKAGES = "/lab/packages/*.deb"
# There is no locale but this one.
ENVIRONMENT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
# Where libvirt keeps the pids of its guests
RUN = "/run/libvirt/qemu"
# Consoles of guests, which QEMU writes as a user of its own
CONSOLES = "/run/lab"
VIRSH = ("virsh", "-k", "0", "-q", "-c", "qemu:///system")
KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged"


class Host:
    """What a scenario does on either host: here itself, on the other one through host/pair.py."""

    def __init__(self, lab):
        self._lab = lab
        self._jobs = []
        self._faults = {}
        self._daemon = None

    # Setting up.

    def prepare(self, mib, **budget):
        """Huge pages, the daemon's package, and libvirt, which listens on the network. Returns what dpkg says of it."""
        lab = self._lab
        lab.huge_pages(mib)
        os.makedirs(CONSOLES, exist_ok=True)
        os.chmod(CONSOLES, 0o1777)
        # Nothing in the image was installed by dpkg, so that it knows of no package that this one depends on.
        lab.must("dpkg", "--force-depends", "--force-bad-path", "--install", *glob.glob(PACKAGES), env=ENVIRONMENT)
        # It runs by now, as the package has it.
        self._daemon = Daemon(lab)
        self._daemon.reconfigure(**budget)
        # For post-copy QEMU's user must be told of KVM's faults by userfaultfd: Debian leaves that to administrators.
        lab.must("sysctl", "vm.unprivileged_userfaultfd=1")
        # Guests are at work all the time: whatever else there is goes before.
        lab.must("systemctl", "set-property", "--runtime", "machine.slice", "CPUWeight=5")
        lab.must("systemctl", "start", "libvirtd.socket", "libvirtd-tcp.socket", "libvirtd.service")
        # It asks QEMU what that can do when it is first needed: now, on both hosts at once.
        self.virsh("capabilities")
        return lab.must("dpkg-query", "--show", "--showformat", "${Package} ${Version}: ${Status}", "eagersplitd")

    def close(self):
        """Ends what is left."""
        for job, _ in self._jobs:
            if job.poll() is None:
                job.kill()
        self._jobs = []

    # Programs.

    def run(self, *argv, text=None):
        """text: on its standard input. Returns status and output."""
        result = subprocess.run(argv, text=True, input=text or "", env=ENVIRONMENT, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        return [result.returncode, result.stdout]

    def must(self, *argv, text=None):
        status, output = self.run(*argv, text=text)
        if status:
            raise Failed(f"{' '.join(argv)}: status {status}: {output}")
        return output

    def virsh(self, *argv):
        return self.must(*VIRSH, *argv)

    def begin(self, *argv):
        """Starts a program; returns a number for job()."""
        path = f"/run/lab-job-{len(self._jobs)}"
        with open(path, "wb") as output:
            self._jobs.append((subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, env=ENVIRONMENT,
                                                stderr=subprocess.STDOUT), path))
        return len(self._jobs) - 1

    def job(self, number):
        """None while it runs; then status and output."""
        job, path = self._jobs[number]
        return None if job.poll() is None else [job.returncode, read(path)]

    def kill_service(self, unit):
        """Without a last word."""
        os.kill(int(self.must("systemctl", "show", "-P", "MainPID", unit)), signal.SIGKILL)

    # Guests.

    def define(self, name, xml):
        self.virsh("define", self._file(name, xml))

    def device(self, command, name, xml):
        """virsh attach-device or detach-device, of a guest that runs."""
        self.virsh(command, name, self._file(f"{name}-device", xml), "--live")

    @staticmethod
    def _file(name, xml):
        path = f"/run/{name}.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(xml)
        return path

    def pid(self, name):
        """Of the guest's QEMU; None: there is none."""
        try:
            pid = int(read(f"{RUN}/{name}.pid"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if os.path.exists(f"/proc/{pid}") else None

    def wait_pid(self, name):
        return self._lab.wait_for(f"QEMU of {name}", lambda: self.pid(name))

    def console(self, name):
        path = f"{CONSOLES}/{name}.log"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def leaves(self, name):
        """By what its memory is mapped: [blocks, tables of pages]."""
        slots = self.slots(name)
        return [sum(s["blocks"] for s in slots), sum(s["tables"] for s in slots)]

    def slots(self, name):
        """Its memslots of memory, in order: where they are, and by how many blocks and tables of pages they are mapped."""
        slots = [{"gpa": s["gpa"], "blocks": s["blocks1"] + s["blocks2"], "tables": s["tables"]}
                 for s in self._lab.survey(self.pid(name))["slot"] if s["gpa"] >= RAM]
        return sorted(slots, key=lambda s: s["gpa"])

    def wait_blocks(self, name, blocks):
        """Until it is mapped by so many; returns what leaves() does."""
        def check():
            leaves = self.leaves(name)
            return leaves if leaves[0] >= blocks else None
        return self._lab.wait_for(f"{blocks} blocks of {name}", check)

    def held(self, name):
        return self._lab.survey(self.pid(name))["held"]

    def count_faults(self, name):
        """Starts to count the stage-2 faults of the guest's vCPUs on its memory."""
        folder = f"/proc/{self.wait_pid(name)}/task"

        def vcpus():
            return [task for task in os.listdir(folder) if read(f"{folder}/{task}/comm").startswith("CPU ")]

        count = FaultCount(self._lab.wait_for(f"vCPUs of {name}", vcpus), RAM)
        count.__enter__()
        self._faults[name] = count

    def faults(self, name):
        """How many there were; ends counting."""
        count = self._faults.pop(name)
        count.__exit__()
        return count.count

    def qmp(self, name, command, **arguments):
        """QEMU's own answer; libvirt lets nothing else change a guest that it migrates."""
        request = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(self.virsh("qemu-monitor-command", name, request))

    def hurry_collapsing(self):
        """Has khugepaged look at memory all the time: it takes minutes otherwise, by the clock and not by events."""
        for file, value in (("scan_sleep_millisecs", 10), ("alloc_sleep_millisecs", 10)):
            with open(f"{KHUGEPAGED}/{file}", "w", encoding="ascii") as out:
                out.write(str(value))

    # The daemon.

    def vm(self, name):
        return self._daemon.vm(name)

    def known_as(self, name):
        """The process of the VM that the daemon knows by that name; None: it knows none."""
        try:
            return self._daemon.vm(name)["pid"]
        except Refused:
            return None

    def found(self, name):
        """What the daemon calls the VM of the guest's QEMU, once it has found that."""
        return self._daemon.find(self.wait_pid(name))

    def wait_stage(self, name, stage):
        return self._daemon.wait_stage(name, stage)

    def history(self):
        return self._daemon.call("GetHistory")["migrations"]

    # Phases of TLBIs.

    def phase(self, number):
        self._lab.set_phase(number)
