#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of conf/examples, with the real daemon; virsh is one of ours that does as told."""

import json
import os
import signal
import subprocess
import sys
import time

from harness import CTL, FAST, STUCK, Daemon, Vmm
from tap import Skip, equal, main, test, true

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "examples")
GO_CLIENT = os.path.join(os.environ.get("BUILDDIR", "."), "conf", "examples", "client")

VIRSH = """#!/bin/sh
if [ "$1" = -c ]; then
	echo "$2" >"$FOLDER/virsh-uri"
	shift 2
fi
if [ "$1" = domname ]; then
	[ "$2" = 7 ] && echo guest
	exit
fi
if [ "$1" = domjobabort ]; then
	echo "$2" >"$FOLDER/abort"
	exit
fi
echo "$@" >"$FOLDER/virsh-arguments"
"$CTL" --socket="$SOCKET" --timeout="${{SPLIT_TIMEOUT:-30s}}" --json status guest >"$FOLDER/virsh-saw"
{action}
"""


class Migration:
    """The wrapper, with commands of ours in its PATH and libvirt's pid file of the guest."""

    def __init__(self, daemon, vmm, action, domain=("guest",), **environment):
        self.daemon = daemon
        self._write("virsh", VIRSH.format(action=action))
        self._write("eagersplitctl", '#!/bin/sh\nexec "$CTL" --socket="$SOCKET" "$@"\n')
        if vmm:
            self._write("guest.pid", f"{vmm.pid}\n")
        env = dict(os.environ, PATH=f"{daemon.folder}:{os.environ['PATH']}", CTL=CTL,
                   SOCKET=daemon.socket_path, FOLDER=daemon.folder, QEMU_RUN=daemon.folder,
                   **environment)
        self._process = subprocess.Popen(
            [os.path.join(EXAMPLES, "virsh-migrate-split"), *domain, "qemu+ssh://there/system",
             "--p2p"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            # A shell cannot trap what was ignored when it began, as it is in a background job, and by nohup.
            stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGHUP, signal.SIGINT)])

    def _write(self, name, text):
        with open(self.daemon.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.daemon.path(name), 0o755)

    def read(self, name):
        with open(self.daemon.path(name), encoding="utf-8") as f:
            return f.read()

    def signal(self, number):
        self._process.send_signal(number)

    def wait(self):
        """Its exit status, and what it said."""
        out, _ = self._process.communicate()
        return self._process.returncode, out


def state(daemon):
    vm = daemon.call("GetVm", vm="guest")["vm"]
    return vm["migration"]


@test
def migration_completes():
    """virsh-migrate-split: virsh meets a guest that is split; then it has completed"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        migration = Migration(daemon, vmm, "exit 0")
        status, out = migration.wait()
        equal(status, 0, out)
        equal(migration.read("virsh-arguments").split(),
              ["migrate", "--live", "guest", "qemu+ssh://there/system", "--p2p"])
        saw = migration.read("virsh-saw")
        true('"active"' in saw and '"split"' in saw, saw)
        equal(state(daemon), "completed")


@test
def migration_fails():
    """virsh-migrate-split: a migration that fails is told of, and virsh's status passed on"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        equal(Migration(daemon, vmm, "exit 3").wait()[0], 3)
        equal(state(daemon), "failed")
        # The next try finds it registered.
        equal(Migration(daemon, vmm, "exit 0").wait()[0], 0)
        equal(state(daemon), "completed")


@test
def migration_called_off():
    """virsh-migrate-split: a signal, or a hangup, while it prepares calls the migration off"""
    for number in signal.SIGTERM, signal.SIGHUP:
        with Daemon(**STUCK) as daemon, Vmm() as vmm:
            migration = Migration(daemon, vmm, "exit 0")
            with daemon.client() as client:
                for vm in client.watch():
                    if vm["migration"] == "scheduled":
                        break
            migration.signal(number)
            status, out = migration.wait()
            equal(status, 130, out)
            equal(state(daemon), "cancelled")
            true(not os.path.exists(daemon.path("virsh-arguments")), "virsh was not called")


@test
def migration_waits_no_longer():
    """virsh-migrate-split: SPLIT_WAIT bounds the wait for the splitting; the guest is migrated then"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        migration = Migration(daemon, vmm, "exit 0", SPLIT_WAIT="0.1")
        status, out = migration.wait()
        equal(status, 0, out)
        true("was not split in 0.1;" in out, out)
        equal(state(daemon), "completed")


@test
def migration_late():
    """virsh-migrate-split: what is split too late, and what is not prepared at all, are told apart"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        status, out = Migration(daemon, vmm, "exit 0", SPLIT_DEADLINE="1us").wait()
        equal(status, 0, out)
        true("was split after its deadline; migrating" in out, out)
        status, out = Migration(daemon, vmm, "exit 0", SPLIT_DEADLINE="2000-01-01").wait()
        equal(status, 0, out)
        true("could not be prepared" in out, out)


@test
def migration_keeps_a_deadline():
    """virsh-migrate-split: the deadline that a prepared guest has is kept, unless SPLIT_DEADLINE says another"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.call("Register", pid=vmm.pid, name="guest")
        given = (int(time.time()) + 7200) * 1000000

        def saw(**environment):
            migration = Migration(daemon, vmm, "exit 0", **environment)
            status, out = migration.wait()
            equal(status, 0, out)
            return json.loads(migration.read("virsh-saw"))["vm"]["deadlineUSec"]

        def prepare():
            daemon.call("SetMigrationState", vm="guest", migration="scheduled", deadlineUSec=given)

        prepare()
        equal(saw(), given)
        # That of the migration that has ended by now is none of the next one.
        true(saw() < given, "the next migration has the usual one")
        prepare()
        true(saw(SPLIT_DEADLINE="+1h") < given, "that of SPLIT_DEADLINE")
        # Prepared without one.
        daemon.call("SetMigrationState", vm="guest", migration="scheduled")
        true(saw() < given, "the usual one")


@test
def migration_by_id():
    """virsh-migrate-split: the domain may be an id, of a libvirt that is named"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        migration = Migration(daemon, vmm, "exit 0", domain=("-c", "qemu:///system", "7"))
        equal(migration.wait()[0], 0)
        equal(migration.read("virsh-uri"), "qemu:///system\n")
        equal(migration.read("virsh-arguments").split()[2], "7")
        equal(state(daemon), "completed")


@test
def migration_with_a_daemon_that_hangs():
    """virsh-migrate-split: a daemon that does not answer keeps no guest from being migrated"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.kill(signal.SIGSTOP)
        try:
            status, out = Migration(daemon, vmm, ":", SPLIT_TIMEOUT="100ms").wait()
            equal(status, 0, out)
            true("not prepared" in out, out)
        finally:
            daemon.kill(signal.SIGCONT)


@test
def migration_aborted():
    """virsh-migrate-split: a signal, or a hangup, while virsh migrates has libvirt give up"""
    for number, ends, told in ((signal.SIGINT, "exit 1", "cancelled"), (signal.SIGINT, "exit 0", "completed"),
                               (signal.SIGHUP, "exit 1", "cancelled")):
        with Daemon(**FAST) as daemon, Vmm() as vmm:
            os.mkfifo(daemon.path("started"))
            os.mkfifo(daemon.path("abort"))
            migration = Migration(daemon, vmm,
                                  f'echo >"$FOLDER/started"; read domain <"$FOLDER/abort"; {ends}')
            migration.read("started")
            migration.signal(number)
            status, out = migration.wait()
            equal(status, 130, out)
            equal(state(daemon), told)


@test
def migration_without_preparation():
    """virsh-migrate-split: a guest that cannot be prepared is migrated all the same"""
    with Daemon(**FAST) as daemon:
        status, out = Migration(daemon, None, "exit 0").wait()
        equal(status, 0, out)
        true("not prepared" in out, out)


def prepares(command, environment=None):
    r = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    true(r.returncode == 1 and "usage: client" in r.stderr, r.stderr)
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        # Whoever does not know how it went tries again.
        for _ in range(2):
            r = subprocess.run([*command, str(vmm.pid), daemon.socket_path], capture_output=True,
                               text=True, check=False, env=environment)
            equal((r.returncode, r.stderr), (0, ""))
            true(r.stdout.splitlines()[-1].endswith(": split, 0 blocks left"), r.stdout)
        vm, = daemon.call("ListVms")["vms"]
        equal((vm["pid"], vm["migration"], vm["stage"]), (vmm.pid, "scheduled", "split"))


@test
def python_client():
    """client.py, on Python's Varlink library, prepares a VM and waits for it"""
    # Not the one of these tests, which has the same name.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    path = os.environ.get("PYTHON_VARLINK")
    if path:
        environment["PYTHONPATH"] = path
    found = subprocess.run([sys.executable, "-c", "import varlink.client"], env=environment,
                           capture_output=True, cwd="/", check=False).returncode == 0
    if not found:
        raise Skip("no python3-varlink here, which Debian has from 13 on")
    prepares([sys.executable, os.path.join(EXAMPLES, "client.py")], environment)


@test
def go_client():
    """client.go, on Go's Varlink library, prepares a VM and waits for it"""
    if not os.path.exists(GO_CLIENT):
        raise Skip("built without Go, or without golang-github-varlink-go-dev")
    prepares([GO_CLIENT])


@test
def kubernetes():
    """kubernetes-daemonset.yaml mounts what the daemon's socket is in"""
    try:
        import yaml
    except ImportError:
        raise Skip("no python3-yaml here") from None
    with open(os.path.join(EXAMPLES, "kubernetes-daemonset.yaml"), encoding="utf-8") as f:
        spec = yaml.safe_load(f)
    equal(spec["kind"], "DaemonSet")
    pod = spec["spec"]["template"]
    equal(spec["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"])
    volume, = pod["spec"]["volumes"]
    mount, = pod["spec"]["containers"][0]["volumeMounts"]
    equal(volume["name"], mount["name"])
    container, = pod["spec"]["containers"]
    equal((pod["spec"].get("hostPID"), container["securityContext"]["seLinuxOptions"]), (None, {"type": "spc_t"}))
    true(container["resources"]["limits"] and pod["spec"]["tolerations"], "resources and tolerations")
    equal((volume["hostPath"]["path"], mount["mountPath"]), ("/run/eagersplitd",) * 2)


if __name__ == "__main__":
    main()
