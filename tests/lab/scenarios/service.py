# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's units under a real systemd: journal, catalog, status, metrics, sandbox, reload, restart, watchdog."""

import json
import os
import re
import signal

from host.daemon import CONFIG, Daemon
from host.lab import read, write
from host.vmm import MEMORY, Vmm

ORDER = 55
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
PARTS = ("daemon",)

MIB = 128
BLOCKS = MIB // 2
PAGES_A_BLOCK = 512
# A TLBI splits all of a memslot, so there are as many as take time enough to be seen.
SLOTS = 16
RATE = 1
# No other scenario of the boot has it: the journal is one.
NAME = "serviced"
COLLECTOR = "/var/lib/prometheus/node-exporter"
DROP_IN = "/run/systemd/system/eagersplitd.service.d/lab.conf"
# An emulated host on a busy machine may have no time for a daemon for longer than one would think.
WATCHDOG_SECONDS = 60


def journal(lab, *match):
    """The service's entries with these fields, oldest first."""
    lines = lab.must("journalctl", "-o", "json", "--no-pager", *match).splitlines()
    return [json.loads(line) for line in lines]


def make(lab):
    vmm = Vmm(lab, vcpus=1)
    for slot in range(SLOTS):
        vmm.add(slot + 1, mib=MIB // SLOTS, gpa=MEMORY + slot * MIB // SLOTS * 2**20)
        vmm.work("populate", slot + 1, step=PAGES_A_BLOCK)
    return vmm


def sandboxed(lab):
    rating = lab.must("systemd-analyze", "security", "--no-pager", "eagersplitd.service")
    level = re.search(r"Overall exposure level for eagersplitd\.service: ([0-9.]+)", rating)
    lab.ok(level and float(level[1]) <= 1.0, "sandbox: an exposure of at most 1.0", rating)
    lab.note(f"systemd-analyze security: {level and level[1]}")


def capabilities(pid):
    """All that the process has, may get by itself, or hands on: of each kind a mask."""
    return {mask for kind, mask in re.findall(r"^Cap(\w+):\t(\w+)$", read(f"/proc/{pid}/status"), re.M)}


def unprivileged(lab, daemon):
    """Looked at while it works: its helper has found the VM."""
    lab.eq(capabilities(daemon.pid), {"0" * 16}, "privileges: the daemon has no capability")
    units = lab.must("systemctl", "list-units", "--plain", "--no-legend", "eagersplitd-fetch@*").split()
    helpers = [word for word in units if word.startswith("eagersplitd-fetch@")]
    lab.ok(helpers, "privileges: a helper of its own looks into other processes")
    pid = lab.must("systemctl", "show", "--property=MainPID", "--value", helpers[0]).strip()
    # CAP_SYS_PTRACE is number 19.
    lab.eq(capabilities(pid), {f"{1 << 19:016x}"}, "privileges: that has CAP_SYS_PTRACE and nothing else")


def reloaded(lab, daemon):
    daemon.configure(777, 7)
    lab.must("systemctl", "reload", "eagersplitd")
    host = daemon.host()
    lab.eq((host["tlbiRate"], host["tlbiBurst"]), (777, 7), "reload: in effect when systemctl returns")
    write(CONFIG, "[Budget]\nTlbiRate=x\n")
    failed = lab.run("systemctl", "reload", "eagersplitd")
    lab.ok(failed.returncode, "reload: a bad file fails it", failed.stdout)
    lab.eq((daemon.host()["tlbiRate"], daemon.show("ActiveState")), (777, "active"),
           "reload: then nothing has changed")
    lab.ok(f"{CONFIG}:2: " in daemon.journal(), "reload: the journal has file and line", daemon.journal())
    daemon.configure(RATE, 1)
    lab.must("systemctl", "reload", "eagersplitd")


def status_text(lab, daemon):
    """What systemctl status shows of the splitting."""
    def check():
        return re.fullmatch(rf"1 VM: splitting {NAME}, \d+ blocks? left.*", daemon.show("StatusText"))
    lab.ok(lab.wait_for("the status text", check), "status: systemctl says what goes on")
    shown = lab.run("systemctl", "status", "--no-pager", "eagersplitd").stdout
    lab.ok(re.search(rf'Status: "1 VM: splitting {NAME}', shown), "status: as people see it", shown)


def restarted(lab, daemon, vmm):
    """Once it is split: what is known stays, and so does the VM's splitter, by which it stays held."""
    daemon.wait_split(NAME, 10)
    lab.eq(int(daemon.show("NFileDescriptorStore")), 1, "restart: systemd keeps the VM's splitter")
    pid = daemon.pid
    lab.must("systemctl", "restart", "eagersplitd")
    lab.ok(daemon.pid != pid, "restart: another process")
    vm = daemon.vm(NAME)
    lab.eq((vm["pid"], vm["migration"]), (vmm.pid, "scheduled"), "restart: name and migration are known")
    lab.ok(vm["blocksSplit"] >= 10, "restart: what was done, too", vm)
    lab.eq(daemon.vms(), [NAME], "restart: and there is no other VM")
    daemon.wait_stage(NAME, "split")
    lab.eq(vmm.leaves()[1], 0, "restart: no block is left in the end")
    lab.eq(lab.survey(vmm.pid)["held"], 1, "restart: held")
    lab.eq(int(daemon.show("NFileDescriptorStore")), 1, "restart: and the splitter is kept for the next one")


def journaled(lab, vmm):
    entries = journal(lab, "_SYSTEMD_UNIT=eagersplitd.service", f"EAGERSPLIT_VM={NAME}")
    lab.ok(entries and all(re.fullmatch("[0-9a-f]{32}", entry.get("MESSAGE_ID", "")) for entry in entries),
           "journal: each entry of the VM has an id", entries)
    lab.eq({entry.get("EAGERSPLIT_PID") for entry in entries}, {str(vmm.pid)}, "journal: and the VMM's process")
    lab.eq([entry["EAGERSPLIT_STAGE"] for entry in entries][-1], "split", "journal: the stage")
    last = entries[-1]
    lab.ok(int(last["EAGERSPLIT_BLOCKS_SPLIT"]) >= BLOCKS and int(last["EAGERSPLIT_BLOCKS"]) == 0,
           "journal: TLBIs and blocks", last)
    explained = lab.must("journalctl", "-x", "--no-pager", f"MESSAGE_ID={last['MESSAGE_ID']}")
    lab.ok(f"Subject: VM {NAME} is split" in explained and "Defined-By: eagersplitd" in explained,
           "journal: the catalog explains it", explained)


def measured(lab, daemon):
    """The timer has node_exporter's file written, by itself."""
    path = f"{COLLECTOR}/eagersplitd.prom"
    os.makedirs(COLLECTOR, exist_ok=True)
    lab.must("systemctl", "start", "eagersplitd-metrics.timer")
    lab.wait_for("the metrics", lambda: os.path.exists(path))
    samples = {}
    for line in read(path).splitlines():
        sample = re.fullmatch(r"([a-z_]+(?:\{.*\})?) (\S+)", line)
        if sample:
            samples[sample[1]] = float(sample[2])
        elif not re.match(r"# (HELP|TYPE) eagersplitd_", line):
            lab.ok(False, "metrics: a line that is none", line)
    lab.eq((samples.get("eagersplitd_vms"), samples.get("eagersplitd_budget_rate")), (1.0, float(RATE)),
           "metrics: what the daemon says")
    lab.eq(samples.get(f'eagersplitd_vm_blocks{{vm="{NAME}"}}'), 0.0, "metrics: of the VM, too")
    lab.eq(os.stat(path).st_mode & 0o777, 0o644, "metrics: node_exporter may read them")
    lab.must("systemctl", "stop", "eagersplitd-metrics.timer", "eagersplitd.service")
    # It is done when this returns.
    lab.must("systemctl", "start", "eagersplitd-metrics.service")
    lab.eq((daemon.show("ActiveState"), "\neagersplitd_up 0\n" in read(path)), ("inactive", True),
           "metrics: asking for them does not start the daemon, and says so")
    lines = lab.must("journalctl", "--no-pager", "-o", "cat", "-u", "eagersplitd-metrics.service")
    lab.eq(lines.strip(), "", "metrics: the journal is not filled with it")
    lab.must("systemctl", "start", "eagersplitd")
    # Nothing was kept for it.
    daemon.wait_known(NAME)


def hung(lab, daemon, vmm):
    """A daemon that does nothing any more is replaced by one that knows as much."""
    os.makedirs(os.path.dirname(DROP_IN), exist_ok=True)
    write(DROP_IN, f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n")
    lab.must("systemctl", "daemon-reload")
    lab.must("systemctl", "restart", "eagersplitd")
    pid = daemon.pid
    os.kill(pid, signal.SIGSTOP)
    lab.wait_for("another daemon", lambda: daemon.pid not in (0, pid) and daemon.show("ActiveState") == "active")
    restarts = int(daemon.show("NRestarts"))
    lab.ok(restarts >= 1, "watchdog: restarts by systemd itself", restarts)
    # In the kernel's log, where systemd writes in the lab.
    log = lab.must("dmesg")
    lab.ok("eagersplitd.service: Failed with result 'watchdog'." in log,
           "watchdog: systemd has ended the one that hung", log[-2000:])
    vm = daemon.wait_stage(NAME, "split")
    lab.eq((vm["migration"], lab.survey(vmm.pid)["held"]), ("scheduled", 1), "watchdog: the next one goes on")
    vmm.work("pass", 1, write=PAGES_A_BLOCK, step=PAGES_A_BLOCK)
    vmm.intact("memory is intact", step=PAGES_A_BLOCK)
    os.unlink(DROP_IN)
    lab.must("systemctl", "daemon-reload")


def run(lab):
    lab.huge_pages(MIB)
    daemon = Daemon(lab)
    lab.must("journalctl", "--update-catalog")
    daemon.start(rate=RATE, burst=1)
    sandboxed(lab)
    reloaded(lab, daemon)
    vmm = make(lab)
    daemon.register(vmm.pid, NAME)
    unprivileged(lab, daemon)
    daemon.migration(NAME, "scheduled")
    status_text(lab, daemon)
    restarted(lab, daemon, vmm)
    journaled(lab, vmm)
    measured(lab, daemon)
    hung(lab, daemon, vmm)
    daemon.migration(NAME, "completed")
    vmm.quit()
    daemon.stop()
