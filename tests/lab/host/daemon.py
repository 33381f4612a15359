# SPDX-License-Identifier: GPL-2.0-or-later
"""eagersplitd as systemd runs it, and a Varlink client for it that shares no code with it."""

import json
import os
import select
import shutil
import signal
import socket

from host.lab import Failed, read, write

# systemd gives up on a service that fails so often; and to make the filters takes two seconds of an emulator's
# time, for each start. Neither is what is tried where it is started over and over.
OFTEN = """[Unit]
StartLimitIntervalSec=0
[Service]
SystemCallFilter=
SystemCallArchitectures=
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
RestrictSUIDSGID=no
LockPersonality=no
MemoryDenyWriteExecute=no
ProtectClock=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
"""
# Nor are the mounts, networks and devices of their own that it and its helpers get.
BARE = """PrivateNetwork=no
PrivateMounts=no
PrivateTmp=no
PrivateDevices=no
DevicePolicy=auto
DeviceAllow=
IPAddressDeny=
ProcSubset=all
ProtectProc=default
ProtectControlGroups=no
ProtectHome=no
ProtectKernelTunables=no
ProtectSystem=no
"""
SOCKET = "/run/eagersplitd/control.sock"
CONFIG = "/etc/eagersplitd/eagersplitd.conf.d/lab.conf"
CGROUP = "/sys/fs/cgroup/system.slice/eagersplitd.service"
INTERFACE = "org.eagersplit.Manager"


class Refused(Exception):
    """An error reply: the error's name without its interface, and its parameters."""

    def __init__(self, reply):
        super().__init__(json.dumps(reply))
        self.name = reply["error"].rsplit(".", 1)[-1]
        self.parameters = reply.get("parameters", {})


class Daemon:
    """
    The daemon's service. start() takes the budget; the rest of the configuration is as shipped. What a TLBI takes
    on an emulator says nothing: there is no load unless it is given.
    """

    def __init__(self, lab):
        self._lab = lab
        if not os.path.exists("/usr/bin/eagersplitd"):
            self._install()

    def _install(self):
        """What dpkg would do with the package: /lib is a link here, and what it has goes behind it."""
        shutil.copytree("/lab/daemon", "/", symlinks=True, dirs_exist_ok=True)
        self._lab.must("systemd-sysusers", "eagersplitd.conf")
        self._lab.must("systemd-tmpfiles", "--create", "eagersplitd.conf")
        self._lab.must("systemctl", "daemon-reload")
        self._lab.must("systemctl", "enable", "--quiet", "eagersplitd.service", "eagersplitd.socket", "eagersplitd-fetch.socket")

    def configure(self, rate, burst, bbm="auto", load="0", method="auto"):
        os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
        with open(CONFIG, "w", encoding="ascii") as file:
            file.write(f"[Budget]\nTlbiLoad={load}\nTlbiRate={rate}\nTlbiBurst={burst}\n[Split]\nBbm={bbm}\nMethod={method}\n")

    def reconfigure(self, *args, **kwargs):
        """While it runs."""
        self.configure(*args, **kwargs)
        self.call("Reload")

    def start(self, rate=1000, burst=16, bbm="auto", method="auto"):
        self.configure(rate, burst, bbm, method=method)
        # One that a scenario left behind when it failed has another configuration.
        self.stop()
        result = self._lab.run("systemctl", "start", "eagersplitd")
        if result.returncode:
            raise Failed(result.stdout + self.journal())

    def stop(self):
        self._lab.must("systemctl", "stop", "eagersplitd.service", "eagersplitd.socket")
        self._lab.run("systemctl", "reset-failed", "eagersplitd.service")

    def change_service(self, text):
        """What the units of the daemon and of its helpers have besides, or nothing."""
        for unit in ("eagersplitd.service", "eagersplitd-fetch@.service"):
            folder = f"/run/systemd/system/{unit}.d"
            os.makedirs(folder, exist_ok=True)
            write(f"{folder}/lab.conf", text)
        self._lab.must("systemctl", "daemon-reload")

    def journal(self):
        return self._lab.run("journalctl", "-u", "eagersplitd", "--no-pager", "-o", "cat", "-n", 40).stdout

    def show(self, field):
        return self._lab.must("systemctl", "show", "-P", field, "eagersplitd").strip()

    @property
    def pid(self):
        return int(self.show("MainPID"))

    def held(self):
        """What it keeps open and running: (file descriptors, threads)."""
        folder = f"/proc/{self.pid}"
        return len(os.listdir(f"{folder}/fd")), len(os.listdir(f"{folder}/task"))

    def vm_fds(self):
        """How many VMs' file descriptors it holds now, and how many splitters."""
        folder = f"/proc/{self.pid}/fd"
        targets = []
        for fd in os.listdir(folder):
            try:
                targets.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                pass
        return targets.count("anon_inode:kvm-vm"), targets.count("anon_inode:kvm-splitter")

    @staticmethod
    def main_process():
        """Its process's id, without asking systemd; None while there is none."""
        try:
            pids = read(f"{CGROUP}/cgroup.procs").split()
            # Those that share its descriptors are called otherwise.
            own = [int(pid) for pid in pids if read(f"/proc/{pid}/comm").strip() == "eagersplitd"]
        except OSError:
            return None
        return own[0] if own else None

    def kill(self):
        """SIGKILL, as soon as there is a process; returns when that is gone."""
        pidfd = os.pidfd_open(self._lab.wait_for("the daemon's process", self.main_process))
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll()
        finally:
            os.close(pidfd)

    def ctl(self, *argv):
        return self._lab.run("eagersplitctl", *argv)

    def call(self, method, **parameters):
        """One Varlink call; returns the reply's parameters, or raises Refused."""
        return self._call(f"{INTERFACE}.{method}", parameters)

    def _call(self, method, parameters):
        request = {"method": method, "parameters": parameters}
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(SOCKET)
            stream.sendall(json.dumps(request).encode() + b"\0")
            data = b""
            while not data.endswith(b"\0"):
                more = stream.recv(65536)
                if not more:
                    raise Failed(f"eagersplitd hung up during {method}:\n{self.journal()}")
                data += more
        reply = json.loads(data[:-1])
        if "error" in reply:
            raise Refused(reply)
        return reply.get("parameters", {})

    def register(self, pid, name):
        return self.call("Register", pid=pid, name=name)["vm"]

    def migration(self, name, state, **options):
        return self.call("SetMigrationState", vm=name, migration=state, **options)["vm"]

    def vm(self, name):
        return self.call("GetVm", vm=name)["vm"]

    def find(self, pid):
        """The VM of a process, once the daemon has found it: the kernel's uevents reach it in its sandbox."""
        def check():
            return next((vm for vm in self.call("ListVms")["vms"] if vm["pid"] == pid), None)
        return self._lab.wait_for("the daemon to find a VM", check)

    def vms(self):
        return [vm["vm"] for vm in self.call("ListVms")["vms"]]

    def pids(self):
        """Of the VMs' processes."""
        return sorted(vm["pid"] for vm in self.call("ListVms")["vms"])

    def host(self):
        return self.call("GetHost")["host"]

    def calls(self, operation):
        """How many calls into the kernel it has made for that: hold, release, survey, split, recover."""
        metrics = self._call("org.eagersplit.Metrics.GetMetrics", {})["metrics"]
        return {calls["operation"]: calls["count"] for calls in metrics["calls"]}[operation]

    def wait_stage(self, name, stage):
        """Until the VM is at this stage; a failed one never gets there."""
        def check():
            vm = self.vm(name)
            if vm["stage"] == "failed" and stage != "failed":
                raise Failed(f"{name}: {vm.get('error')}")
            return vm if vm["stage"] == stage else None
        return self._lab.wait_for(f"{name} {stage}", check)

    def wait_known(self, name):
        """Until it has found the VM: one that was stopped looks for its VMs when it is ready."""
        return self._lab.wait_for(f"{name} known", lambda: name in self.vms())

    def wait_split(self, name, blocks):
        """Until so many of the VM's blocks are split; returns the VM."""
        def check():
            vm = self.vm(name)
            return vm if vm["blocksSplit"] >= blocks else None
        return self._lab.wait_for(f"{blocks} blocks of {name}", check)


