# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot of the emulated host, from the emulator's start to the last verdict."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

from host.kernel_log import kernel_reports
from runner import processes

# A boot that says nothing for so long hangs. No scenario is ever judged by its time.
SILENCE_SECONDS = 600
# With lockdep and KASAN one selftest takes that long where something else is running, too.
SILENCE_SECONDS_DEBUG = 3600
OUT_BYTES = 256 << 20
SECTOR = 512
# By the kernel's configuration: memory, and pools of huge pages. Blocks of 512 MiB, that a kernel with pages of
# 64 KiB has, take much of it, of which it boots with what is never in pieces.
MEMORY_MIB = {"64k": 12288}
HUGE_PAGES = {"16k": "hugepagesz=32M", "64k": "hugepagesz=512M"}

# What the emulator has another name for
MODELS = {
    # QEMU's own pointer authentication takes most of an emulated CPU's time.
    "max": "max,pauth-impdef=on",
    # All that max has, FEAT_BBM level 2 too, and kernels take it for an AmpereOne.
    "ampere1": "max,pauth-impdef=on,midr=0xc00fac30",
}


class Emulator:
    """qemu-system-aarch64 as an arm64 host with EL2; its files lie in folder."""

    def __init__(self, folder, image, root, disk, cpu, plugin, systemd=True,
                 visible=False, parameters="", counted=0, nodes=1, config="lab", keep=False, devices=()):
        """
        counted, config: as in plan.Boot; nodes: that CPUs and memory belong to, one CPU each, or all to one;
        keep: root is changed by what the host writes; devices: on top.
        """
        self.folder = folder
        self.out = folder / "out.raw"
        self.counts = folder / "tlbis.txt"
        self.console = folder / "console.log"
        self.messages = folder / "emulator.log"
        for stale in (self.out, self.counts, self.console):
            stale.unlink(missing_ok=True)
        with open(self.out, "wb") as file:
            file.truncate(OUT_BYTES)
        model = MODELS.get(cpu, cpu)
        # What systemd has to say belongs into the console's log; on a loaded machine it may take its time.
        init = "systemd.unit=lab.target systemd.show_status=false systemd.log_target=kmsg " \
               "systemd.default_timeout_start_sec=3600" \
            if systemd else "init=/sbin/lab-init"
        level = "quiet loglevel=3" if visible else "ignore_loglevel"
        # Seconds, the most there are: an emulator that gets no CPU looks like one that hangs.
        stall = "rcupdate.rcu_cpu_stall_timeout=300"
        self._argv = [
            "qemu-system-aarch64", "-M", "virt,virtualization=on,gic-version=3", "-cpu", model,
            *self._machine(counted, nodes, MEMORY_MIB.get(config, 4096)),
            "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", "stdio" if visible else f"file:{self.console}",
            "-kernel", str(image), "-plugin", f"{plugin},out={self.counts}", "-d", "plugin",
            "-append", f"root=/dev/vda rw console=ttyAMA0 {level} {stall} panic=-1 "
                       f"{init} {HUGE_PAGES.get(config, 'hugepagesz=1G hugepages=1 hugepagesz=2M')} {parameters}",
            *self._disk("root", root, "cache=unsafe" if keep else "snapshot=on"), *self._disk("run", disk, "readonly=on"),
            *self._disk("out", self.out, "cache=unsafe"), *devices]
        self._visible = visible
        self._process = None

    @staticmethod
    def _machine(counted, nodes, memory):
        """Its CPUs, memory, and clock: where that counts instructions, one nanosecond each, CPUs take turns."""
        argv = ["-smp", str(counted or 2), "-m", f"{memory}M"]
        if counted:
            argv += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
        else:
            argv += ["-accel", "tcg,thread=multi"]
        for node in range(nodes if nodes > 1 else 0):
            argv += ["-object", f"memory-backend-ram,id=node{node},size={memory // nodes}M",
                     "-numa", f"node,nodeid={node},cpus={node},memdev=node{node}"]
        return argv

    @staticmethod
    def _disk(name, path, option):
        return ["-drive", f"if=none,id={name},format=raw,file={path},{option}",
                "-device", f"virtio-blk-pci,drive={name}"]

    def start(self):
        with open(self.messages, "wb") as log:
            self._process = processes.start(self._argv, signal.SIGKILL, stdin=subprocess.DEVNULL, stderr=log,
                                            stdout=None if self._visible else log)

    def running(self):
        return self._process.poll() is None

    def stop(self):
        if self._process:
            processes.end(self._process, signal.SIGKILL)

    def kernel_reports(self):
        """What kernel_reports() finds in its log."""
        return [] if self._visible else kernel_reports(self.console.read_text(errors="replace"))

    def read_counts(self):
        """{phase: {kind: count}}, or None where the emulator did not end as it should."""
        try:
            lines = self.counts.read_text().splitlines()
        except FileNotFoundError:
            return None
        if not lines or lines[-1] != "end":
            return None
        counts = {}
        for line in lines[:-1]:
            pairs = dict(word.split("=") for word in line.split())
            phase = int(pairs.pop("phase"))
            counts[phase] = {kind: int(n) for kind, n in pairs.items()}
        return counts


class Records:
    """Reads what host/out.py writes."""

    def __init__(self, path):
        # Unbuffered: what was not there a moment ago may be now.
        self._file = open(path, "rb", buffering=0)
        self._offset = 0

    def _next(self):
        """The next record, or None where it is not there, or not in full, yet."""
        self._file.seek(self._offset)
        data = b""
        while b"\n" not in data:
            sector = self._file.read(SECTOR)
            if not sector or b"\0" in sector.partition(b"\n")[0]:
                return None
            data += sector
        self._offset += len(data)
        return json.loads(data.partition(b"\n")[0])

    def read(self):
        """The records that came since the last call."""
        return iter(self._next, None)


# Stage-2 ones that all CPUs take part in: of one entry; of a range, which some CPUs have, or of a whole VMID
ENTRIES = ("ipas2e1is", "ipas2le1is")
WIDE = ("ripas2e1is", "ripas2le1is", "vmalls12e1is", "alle1is")


def _sum(counts, kinds):
    return sum(counts.get(kind, 0) for kind in kinds)


def broadcasts(counts):
    """Of TLBIs by kind: the stage-2 ones that all CPUs take part in."""
    return _sum(counts, ENTRIES + WIDE)


class Boot:
    """Runs an emulator and turns what comes out of it into TAP."""

    def __init__(self, emulators, label, tap, patience=SILENCE_SECONDS, network=None):
        """emulators: the first one runs the scenarios; a second one is on its network, and does what they ask it to."""
        self._emulators = emulators
        self._emulator = emulators[0]
        self._patience = patience
        self._network = network
        self.label = label
        self._tap = tap
        self._phases = {}
        self._expected = []
        self._rows = []
        self.finished = False

    def run(self):
        """Returns True where every test passed."""
        before = self._tap.failed
        try:
            for emulator in self._emulators:
                emulator.start()
            self._follow()
        finally:
            for emulator in self._emulators:
                emulator.stop()
            if self._network:
                self._network.close()
        if not self.finished:
            self._tap.test(False, f"{self.label}: boots and comes to its end", self._last_words())
        self._check_counts()
        self._check_kernel_log()
        return self._tap.failed == before

    def _follow(self):
        records = Records(self._emulator.out)
        last = time.monotonic()
        while True:
            running = [emulator for emulator in self._emulators if emulator.running()]
            for record in records.read():
                self._take(record)
                last = time.monotonic()
            processes.go_on()
            if not running:
                return
            if time.monotonic() - last > self._patience:
                self._tap.note(f"{self.label}: silent for {self._patience} s, stopped")
                return
            time.sleep(0.05)

    def _name(self, record):
        return f"{self.label} {record['scenario']}: {record.get('name', '')}"

    def _take(self, record):
        kind = record["type"]
        if kind == "test" and "skip" in record:
            self._tap.skip(self._name(record), record["skip"])
        elif kind == "test":
            self._tap.test(record["ok"], self._name(record), record["why"])
        elif kind == "note":
            self._tap.note(self._name(record) + record["text"])
        elif kind == "phase":
            self._phases[record["phase"]] = record
        elif kind == "expect":
            self._expected.append(record)
        elif kind == "row":
            self._rows.append(record)
        elif kind == "end":
            self.finished = True

    def counts(self, host):
        """After run(): {phase: {kind: count}} of one of the hosts."""
        return self._emulators[host].read_counts() or {}

    def rows(self, scenario):
        """After run(): [(a row's columns, {kind: count})] of the scenario's table of results."""
        counts = self._emulator.read_counts() or {}
        return [(row["columns"], counts.get(row["phase"], {})) for row in self._rows
                if row["scenario"] == scenario]

    def tlbis(self):
        """After run(): [(phase's name, {kind: count})]."""
        counts = self._emulator.read_counts() or {}
        return [(phase["name"], counts.get(number, {})) for number, phase in self._phases.items()]

    def _check_counts(self):
        if not self._phases:
            return
        counts = [emulator.read_counts() for emulator in self._emulators]
        for emulator, one in zip(self._emulators, counts):
            if one is None:
                self._tap.test(False, f"{self.label}: the TLBI counter reports",
                               emulator.messages.read_text(errors="replace"))
        if None in counts:
            return
        for number, phase in self._phases.items():
            for host, one in enumerate(counts):
                kinds = " ".join(f"{k}={n}" for k, n in sorted(one.get(number, {}).items()))
                where = f", host {host}" if len(counts) > 1 else ""
                self._tap.note(f"{self._name(phase)}{where}: {kinds or 'no TLBI'}")
        for record in self._expected:
            got = counts[record.get("host", 0)].get(record["phase"], {})
            got = {**got, "broadcast": broadcasts(got), "wide": _sum(got, WIDE)}
            most = record.get("at_most", False)
            wrong = {kind: got.get(kind, 0) for kind, n in record["counts"].items()
                     if got.get(kind, 0) > n or (got.get(kind, 0) < n and not most)}
            self._tap.test(not wrong, self._name(record),
                           f"counted {wrong}, wanted {'at most ' * most}{record['counts']}")

    def _check_kernel_log(self):
        reports = [line for emulator in self._emulators for line in emulator.kernel_reports()]
        self._tap.test(not reports, f"{self.label}: nothing wrong in the kernel's log",
                       "\n".join(reports))

    def _last_words(self):
        tail = []
        for emulator in self._emulators:
            for path in (emulator.messages, emulator.console):
                if path.exists():
                    tail += path.read_text(errors="replace").splitlines()[-30:]
        return "\n".join(tail)


def folder_for(base, label):
    folder = Path(base) / re.sub(r"[^A-Za-z0-9.-]+", "-", label)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
