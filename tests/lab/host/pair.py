# SPDX-License-Identifier: GPL-2.0-or-later
"""Both hosts of a pair, from the first one's point of view, and a guest that libvirt migrates between them."""

import json
import socket
import traceback

from host.lab import Failed, progress
from host.libvirt import CONSOLES, VIRSH, Host
from host.qemu import ROUND

NAMES = ("host-a", "host-b")
PORT = 4000
# MiB a second: next to nothing, and more than there is.
SLOWLY, UNLIMITED = 1, 1 << 20
PATIENCE_MSEC = 60000


def serve(lab):
    """On the second host: does what the first one asks for until that hangs up."""
    host = Host(lab)
    with socket.create_server(("", PORT)) as server:
        progress("lab: serves the other host")
        stream, _ = server.accept()
    with stream, stream.makefile("rw", encoding="utf-8") as file:
        for line in file:
            request = json.loads(line)
            try:
                answer = {"value": getattr(host, request["call"])(*request["args"], **request["kwargs"])}
            except Exception:
                answer = {"error": traceback.format_exc()}
            file.write(json.dumps(answer) + "\n")
            file.flush()
    host.close()


class Remote:
    """The Host of another machine: whatever that can do, by the same names."""

    def __init__(self, lab, address):
        self._stream = lab.wait_for(f"{address} to listen", lambda: self._connect(address))
        self._file = self._stream.makefile("rw", encoding="utf-8")

    @staticmethod
    def _connect(address):
        try:
            return socket.create_connection((address, PORT))
        except OSError:
            return None

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.ask(name, *args, **kwargs)
            return self.answer()
        return call

    def ask(self, name, *args, **kwargs):
        """A call whose answer is to be read later."""
        self._file.write(json.dumps({"call": name, "args": args, "kwargs": kwargs}) + "\n")
        self._file.flush()

    def answer(self):
        line = self._file.readline()
        if not line:
            raise Failed("the other host hung up")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"on the other host: {answer['error']}")
        return answer["value"]

    def close(self):
        self._stream.shutdown(socket.SHUT_RDWR)


class Pair:
    """The two hosts, each ready for guests, in a with block."""

    def __init__(self, lab, mib, **budget):
        """mib: huge pages of each; budget: of each daemon."""
        self._lab = lab
        self.here = Host(lab)
        self.there = Remote(lab, NAMES[1])
        self.hosts = (self.here, self.there)
        self.there.ask("prepare", mib, **budget)
        self.installed = [self.here.prepare(mib, **budget), self.there.answer()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.here.close()
        self.there.close()

    def phase(self, name):
        """Starts one on both; returns its number."""
        number = self._lab.phase(name)
        self.there.phase(number)
        return number

    def phase_end(self):
        self._lab.phase_end()
        self.there.phase(0)


class Domain:
    """
    A guest of libvirt's, which is on one of the hosts: it goes over most of its memory, and checks it.

    backing: what libvirt's <memoryBacking> has; work: MiB that it goes over, three quarters unless given; write: one page
    in so many is written each round; plugs: MiB that are plugged after its start, by firmware that has ACPI, and on which
    it begins then.
    """

    def __init__(self, lab, pair, name, mib, backing, work=0, write=64, plugs=0):
        self._lab = lab
        self.pair = pair
        self.name = name
        self.where = 0
        arguments = f"console=ttyAMA0 quiet panic=-1 lab.mib={work or mib * 3 // 4} lab.write={write}"
        plugged = dict.fromkeys(("most", "loader", "acpi", "numa"), "")
        if plugs:
            plugged = {"most": MOST.format(mib=4 * mib), "loader": LOADER, "acpi": "<acpi/>",
                       "numa": NUMA.format(mib=mib)}
            # What can be taken away again holds nothing that cannot be moved.
            arguments += f" memhp_default_state=online_movable lab.memory={mib + plugs // 2}"
        self._plugs = plugs
        self._xml = XML.format(name=name, mib=mib, backing=backing, console=f"{CONSOLES}/{name}.log",
                               arguments=arguments, **plugged)

    @property
    def source(self):
        return self.pair.hosts[self.where]

    @property
    def target(self):
        return self.pair.hosts[1 - self.where]

    @property
    def uri(self):
        """Where the target's libvirt listens."""
        return f"qemu+tcp://{NAMES[1 - self.where]}/system"

    def device(self, command, xml):
        """virsh attach-device or detach-device, now."""
        self.source.device(command, self.name, xml)

    def unplug(self):
        """Asks it to give back what was plugged."""
        self.device("detach-device", DIMM.format(mib=self._plugs))

    def start(self):
        self.source.define(self.name, self._xml)
        self.source.virsh("start", self.name)
        if self._plugs:
            self._look("a guest that waits for memory", lambda: "lab: waits for" in self.console())
            self.device("attach-device", DIMM.format(mib=self._plugs))
        self._look("a first round of the guest", self.rounds)

    def stop(self):
        self.source.virsh("destroy", self.name)

    def _look(self, what, condition):
        def check():
            value = condition()
            if not value and not any(host.pid(self.name) for host in self.pair.hosts):
                raise Failed(f"{self.name} has ended:\n{self.console()[-2000:]}")
            return value
        return self._lab.wait_for(what, check)

    def console(self):
        """What it has said on one host and on the other."""
        return "".join(host.console(self.name) for host in self.pair.hosts)

    def rounds(self):
        """[(round, reads, writes, errors, checksum of what is never written)], all so far."""
        found = [(int(n), int(r), int(w), int(e), s) for n, r, w, e, s in ROUND.findall(self.console())]
        return sorted(set(found))

    def wait_rounds(self, more=1):
        """Until it has begun and ended so many rounds from now on."""
        done = (self.rounds() or [(0,)])[-1][0]
        self._look("rounds of the guest", lambda: self.rounds()[-1][0] > done + more)

    def intact(self, name):
        """Tests: it runs, reads and writes, found no error, and what is never written is the same."""
        self.wait_rounds()
        rounds = self.rounds()
        good = {e == 0 for _, _, _, e, _ in rounds} == {True}
        same = len({s for _, _, _, _, s in rounds}) == 1
        self._lab.ok(good and same and rounds[-1][2] > rounds[0][2], name, rounds[-3:])

    # Migrations, on the source.

    def migrate(self, *options):
        """Starts virsh migrate, which sends slowly."""
        return self.by(*VIRSH, "migrate", "--live", self.name, self.uri, "--persistent", "--undefinesource", *options)

    def by(self, *argv):
        """Starts whatever migrates the guest, which sends slowly."""
        self.source.virsh("migrate-setspeed", self.name, str(SLOWLY))
        return self.source.begin(*argv)

    def full_speed(self):
        """And with whatever is left then the guest may be stopped."""
        self.source.virsh("migrate-setmaxdowntime", self.name, str(PATIENCE_MSEC))
        self.source.virsh("migrate-setspeed", self.name, str(UNLIMITED))

    def ended(self, job):
        """Waits; [status, output]."""
        return self._lab.wait_for("the migration's end", lambda: self.source.job(job))

    def arrived(self):
        """It is on the other host now."""
        self.where = 1 - self.where


# Of a guest that has memory plugged
MOST = "<maxMemory slots='2' unit='MiB'>{mib}</maxMemory>"
LOADER = "<loader readonly='yes' type='pflash'>/usr/share/AAVMF/AAVMF_CODE.fd</loader>"
NUMA = "<numa><cell id='0' cpus='0-1' memory='{mib}' unit='MiB'/></numa>"
DIMM = """\
<memory model='dimm'>
  <target><size unit='MiB'>{mib}</size><node>0</node></target>
</memory>
"""
XML = """\
<domain type='kvm'>
  <name>{name}</name>
  {most}
  <memory unit='MiB'>{mib}</memory>
  <memoryBacking>{backing}</memoryBacking>
  <vcpu>2</vcpu>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
    {loader}
    <kernel>/lab/guest/Image</kernel>
    <initrd>/lab/guest/guest.cpio</initrd>
    <cmdline>{arguments}</cmdline>
  </os>
  <features>{acpi}<gic version='3'/></features>
  <cpu mode='host-passthrough'>{numa}</cpu>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{console}' append='on'/></serial>
    <memballoon model='virtio'><address type='pci' bus='0' slot='1'/></memballoon>
  </devices>
</domain>
"""
