#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon tells the journal and the service manager, and the catalog that explains it."""

import os
import queue
import re
import shutil
import socket
import subprocess
import tempfile
import threading

from harness import FAST, STUCK, Daemon, Vmm
from tap import Skip, alive, equal, main, test, true

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")

# A journal of its own: in a mount namespace, the socket in the folder $0 is the journal's.
WRAPPER = ["unshare", "--mount", "sh", "-c", """
    mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/journal &&
    mount --bind "$0" /run/systemd/journal || exit
    JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) exec "$@"
"""]


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def message_ids():
    return dict(re.findall(r'^#define MESSAGE_(\w+)\s+"([0-9a-f]{32})"', read("daemon", "base", "message-id.h"), re.M))


def parse_entry(data):
    """The fields of an entry, in the journal's native protocol."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(data[:8], "little")
            value, data = data[8:8 + length], data[8 + length + 1:]
        fields[name.decode()] = value.decode()
    return fields


class Journal:
    """
    The journal's end of its socket; a thread reads it, since its clients wait for that. A deaf
    one reads nothing until it is told to listen.
    """

    def __init__(self, deaf=False):
        self.folder = tempfile.mkdtemp(prefix="eagersplitd-journal-")
        if subprocess.run([*WRAPPER, self.folder, "true"], capture_output=True, check=False).returncode:
            shutil.rmtree(self.folder)
            raise Skip("needs leave to make a mount namespace, and /run/systemd")
        self.path = os.path.join(self.folder, "socket")
        self._entries = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._thread = threading.Thread(target=self._read, daemon=True)
        if not deaf:
            self.listen()

    def listen(self):
        self._thread.start()

    def _read(self):
        while data := self._socket.recv(1 << 20):
            self._entries.put(parse_entry(data))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self._thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.sendto(b"", self.path)
            self._thread.join()
        self._socket.close()
        shutil.rmtree(self.folder)

    def wait_for_text(self, pattern):
        while not (found := re.fullmatch(pattern, self._entries.get()["MESSAGE"])):
            pass
        return found

    def daemon(self, **settings):
        return Daemon(wrapper=[*WRAPPER, self.folder], **settings)

    def wait_for(self, kind, **fields):
        """The next entry of that kind, whose fields must be these."""
        wanted = message_ids()[kind]
        while True:
            entry = self._entries.get()
            if entry.get("MESSAGE_ID") == wanted:
                equal({name: entry.get(name) for name in fields}, fields, kind)
                return entry


@test
def life_of_a_vm():
    """Each step of a VM's life is an entry with its id and the VM's fields"""
    with Journal() as journal, journal.daemon(**FAST) as daemon, Vmm() as vmm:
        journal.wait_for("STARTED", PRIORITY="6")
        vm = daemon.create_vm(vmm)
        journal.wait_for("VM_REGISTERED", EAGERSPLIT_VM=vm.id)
        daemon.register(vmm, "guest")
        of_vm = {"EAGERSPLIT_VM": "guest", "EAGERSPLIT_PID": str(vmm.pid)}
        # It may be found, by its id, a moment before it is registered.
        while journal.wait_for("VM_REGISTERED", EAGERSPLIT_MIGRATION="none")["EAGERSPLIT_VM"] != "guest":
            pass
        daemon.migrate("guest", "scheduled", deadlineUSec=2000000000 * 1000000)
        journal.wait_for("VM_MIGRATION", EAGERSPLIT_MIGRATION="scheduled",
                         EAGERSPLIT_DEADLINE_USEC="2000000000000000", **of_vm)
        journal.wait_for("VM_STAGE", EAGERSPLIT_STAGE="splitting", EAGERSPLIT_BLOCKS="512", **of_vm)
        entry = journal.wait_for("VM_SPLIT", EAGERSPLIT_STAGE="split", EAGERSPLIT_BLOCKS="0",
                                 EAGERSPLIT_BLOCKS_SPLIT="512", EAGERSPLIT_TLBIS="512", PRIORITY="6", **of_vm)
        equal(entry["MESSAGE"], "guest: Split: 512 blocks by 512 TLBIs so far")
        daemon.migrate("guest", "cancelled")
        journal.wait_for("VM_STAGE", EAGERSPLIT_STAGE="recovering", **of_vm)
        entry = journal.wait_for("VM_HISTORY", EAGERSPLIT_OUTCOME="cancelled", EAGERSPLIT_PREPARED="unused",
                                 EAGERSPLIT_BLOCKS_SPLIT="512", EAGERSPLIT_TLBIS="512",
                                 EAGERSPLIT_DEADLINE_USEC="2000000000000000", **of_vm)
        equal(entry["MESSAGE"], "guest: Its migration has ended, cancelled: dirty logging never began; "
                                "512 blocks split for 512 TLBIs; the deadline was met")
        journal.wait_for("VM_STAGE", EAGERSPLIT_STAGE="whole", **of_vm)
        vmm.kill()
        journal.wait_for("VM_GONE", **of_vm)
        # All of it went to the journal, and nothing was said twice.
        equal(daemon.log(), "")


@test
def late():
    """A VM that becomes late is told of once for each deadline"""
    with Journal() as journal, journal.daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled", deadlineUSec=1)
        journal.wait_for("VM_LATE", EAGERSPLIT_VM="guest", PRIORITY="4", EAGERSPLIT_STAGE="splitting")
        daemon.migrate("guest", "scheduled", deadlineUSec=1)
        daemon.migrate("guest", "scheduled", deadlineUSec=2)
        entry = journal.wait_for("VM_LATE", EAGERSPLIT_DEADLINE_USEC="2")
        true("deadline has passed" in entry["MESSAGE"], entry)
        daemon.migrate("guest", "active")
        entry = journal.wait_for("VM_MIGRATION")
        equal(entry["EAGERSPLIT_MIGRATION"], "active")


@test
def who_changed_something():
    """Who changes something is in the journal, with process and user, where it succeeded, too"""
    with Journal() as journal, journal.daemon(**STUCK) as daemon, Vmm() as vmm:
        who = {"PRIORITY": "6", "EAGERSPLIT_PEER_PID": str(os.getpid()), "EAGERSPLIT_PEER_UID": str(os.getuid())}

        def said(text, **fields):
            entry = journal.wait_for("CHANGED", **who, **fields)
            equal(entry["MESSAGE"], f"{text} by process {os.getpid()} (uid {os.getuid()})")

        of_vm = {"EAGERSPLIT_VM": "guest", "EAGERSPLIT_PID": str(vmm.pid)}
        daemon.register(vmm, "guest")
        said("guest: Registered", EAGERSPLIT_STAGE="whole", **of_vm)
        daemon.migrate("guest", "scheduled")
        said("guest: Migration said to be scheduled", EAGERSPLIT_MIGRATION="scheduled", **of_vm)
        # By whatever it was meant.
        daemon.migrate(str(vmm.pid), "active")
        said("guest: Migration said to be active", EAGERSPLIT_MIGRATION="active", **of_vm)
        daemon.call("Unregister", vm=str(vmm.pid))
        said("guest: Unregistered", EAGERSPLIT_MIGRATION="active", **of_vm)
        daemon.call("Reload")
        said("Configuration read again")


@test
def reloads_and_clients():
    """Reloads, and clients that are dropped, have ids; a client's pid and user are fields"""
    with Journal() as journal, journal.daemon(**STUCK) as daemon:
        daemon.call("Reload")
        journal.wait_for("RELOADED", PRIORITY="6")
        daemon.write_config("[Budget]\nTlbiRate=x\n")
        daemon.error("Reload")
        entry = journal.wait_for("RELOAD_FAILED", PRIORITY="3")
        true(f"{daemon.config}:2: " in entry["MESSAGE"], entry)
        with daemon.client() as client:
            client.send_raw(b"nonsense\0")
            journal.wait_for("CLIENT", EAGERSPLIT_PEER_PID=str(os.getpid()), EAGERSPLIT_PEER_UID="0")


def talk(daemon, vmm, entries):
    """Has the daemon write more than so many entries."""
    daemon.register(vmm, "guest")
    with daemon.client() as client:
        for i in range(entries):
            if not i % 100:
                alive()
            client.call("SetMigrationState", vm="guest", migration=("scheduled", "cancelled")[i % 2])


@test
def deaf_journal():
    """A journal that does not listen holds up nothing; when it does, it hears how much it has missed"""
    with Journal(deaf=True) as journal, journal.daemon(**STUCK) as daemon, Vmm() as vmm:
        # What the daemon keeps, and what the socket holds at most.
        talk(daemon, vmm, 4 * 1024)
        equal(daemon.call("ListVms")["vms"][0]["migration"], "cancelled")
        journal.listen()
        missed = journal.wait_for_text(r"(\d+) messages were dropped here, since nobody read them")
        true(int(missed[1]) > 1024, missed[1])
        daemon.call("Reload")
        journal.wait_for("RELOADED")


@test
def deaf_journal_at_the_end():
    """Nor does it keep the daemon from stopping"""
    with Journal(deaf=True) as journal, journal.daemon(**STUCK) as daemon, Vmm() as vmm:
        talk(daemon, vmm, 4 * 1024)
        equal(daemon.stop(), 0)


@test
def deaf_stderr():
    """It is the same with a standard error that nobody reads"""
    reader, writer = os.pipe()
    with Daemon(wrapper=["sh", "-c", f'exec "$@" 2>&{writer}', "sh"], pass_fds=[writer], **STUCK) as daemon, Vmm() as vmm:
        talk(daemon, vmm, 4 * 1024)
        equal(daemon.stop(), 0)
    os.close(writer)
    os.close(reader)


@test
def status():
    """systemctl status says what goes on, and it keeps up with it"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, Vmm() as other:
        daemon.register(vmm, "guest")
        daemon.register(other, "other")
        daemon.migrate("guest", "scheduled")
        seen = ""
        while not re.match(r"2 VMs: splitting guest, \d+ blocks left, \d+min$", seen):
            seen = daemon.notify.receive().get("STATUS", seen)
        daemon.migrate("other", "scheduled", deadlineUSec=1)
        while not re.match(r"2 VMs: splitting 2, \d+ blocks left, \d+min; 1 late$", seen):
            seen = daemon.notify.receive().get("STATUS", seen)
        # Progress alone, too: nothing changes its state any more.
        before = int(re.search(r"(\d+) blocks left", seen)[1])
        while int(re.search(r"(\d+) blocks left", seen)[1]) >= before:
            seen = daemon.notify.receive().get("STATUS", seen)


@test
def catalog():
    """The catalog explains each message id, by fields that entries have"""
    text = read("systemd", "eagersplitd.catalog")
    explained = re.findall(r"^-- ([0-9a-f]{32})$", text, re.M)
    equal(sorted(explained), sorted(message_ids().values()))
    fields = set(re.findall(r'"(EAGERSPLIT_\w+)=', read("daemon", "base", "log.c") +
                            read("daemon", "vm", "vm.c") + read("daemon", "manager", "manager-history.c")))
    for field in re.findall(r"@(\w+)@", text):
        true(field in fields, field)


@test
def catalog_database():
    """journalctl --update-catalog takes the catalog, and gives it back"""
    if not shutil.which("journalctl"):
        raise Skip("no journalctl here")
    with tempfile.TemporaryDirectory(prefix="eagersplitd-catalog-") as root:
        for folder in "usr/lib/systemd/catalog", "var/lib/systemd/catalog":
            os.makedirs(os.path.join(root, folder))
        shutil.copy(os.path.join(SOURCE, "systemd/eagersplitd.catalog"), os.path.join(root, "usr/lib/systemd/catalog"))

        def journalctl(*arguments):
            r = subprocess.run(["journalctl", f"--root={root}", *arguments], capture_output=True, text=True, check=True)
            equal(r.stderr, "")
            return r.stdout

        journalctl("--update-catalog")
        listed = journalctl("--list-catalog")
        for name, number in message_ids().items():
            true(re.search(rf"^{number} eagersplitd: \S", listed, re.M), name)
            dumped = journalctl("--dump-catalog", number)
            true("Subject: " in dumped and "Defined-By: eagersplitd" in dumped, dumped)
            true(len(dumped.partition("\n\n")[2].strip()) > 40, dumped)


if __name__ == "__main__":
    main()
