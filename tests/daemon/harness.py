# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon under test, on the simulated host, and the VMMs that it is told of."""

import contextlib
import fcntl
import itertools
import json
import os
import queue
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import varlink

DAEMON = os.path.abspath(os.environ.get("EAGERSPLITD", "./eagersplitd"))
CTL = os.path.abspath(os.environ.get("EAGERSPLITCTL", "./eagersplitctl"))

FAULTS = os.path.join(os.environ.get("BUILDDIR", "."), "tests/faults/fake-faults.so")

INTERFACES = [varlink.INTERFACE, "org.eagersplit.Metrics", "org.varlink.service"]

# Splits at once: no budget, and TLBIs that take no time.
FAST = {"TlbiRate": 0, "Memory": "1G", "TlbiUSec": 0}
# Never comes to an end while a test lasts: an hour's work for each burst.
STUCK = {"TlbiRate": 1, "TlbiBurst": 1, "Memory": "8G", "TlbiUSec": 0}

# A VM that its VMM has under this number, or a higher one, is not found, however late the daemon looks:
# it looks for the first 64 of a process.
HIDDEN = 64

COUNTER = itertools.count()

# Starts a program with the descriptors that a service manager has kept, from 3 on.
LAUNCHER = """
import fcntl, os, sys
given = [int(fd) for fd in sys.argv[1].split(",")]
first = 3 + max(given) + len(given)
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first) for fd in given]
for fd in given:
    os.close(fd)
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""

SECTIONS = {
    "TlbiLoad": "Budget",
    "TlbiRate": "Budget",
    "TlbiBurst": "Budget",
    "VmTlbiRate": "Budget",
    "VmPauseRate": "Budget",
    "Backend": "Split",
    "Bbm": "Split",
    "Method": "Split",
    "OnDirtyLog": "Split",
    "ScheduledTimeoutSec": "Split",
    "Group": "Control",
    "TrustedUsers": "Names",
    "Memory": "Sim",
    "BlockSize": "Sim",
    "BlockUSec": "Sim",
    "TlbiUSec": "Sim",
    "Batch": "Sim",
    "VcpuWaits": "Sim",
    "BbmLevel": "Sim",
    "Pauses": "Sim",
}


def interface_file(name):
    """The definition of an interface, among the sources"""
    daemon = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "daemon")
    return os.path.join(daemon, "varlink" if name == "org.varlink.service" else "", f"{name}.varlink")


# Unless a test is about them, a TLBI is one block's, and there is no limit but TlbiRate=.
USUAL = {"TlbiLoad": 0, "Batch": 1}


def configuration(**settings):
    sections = {}
    for name, value in ({"Backend": "sim"} | settings | {k: v for k, v in USUAL.items() if k not in settings}).items():
        sections.setdefault(SECTIONS[name], []).append(f"{name}={value}\n")
    return "".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items())


def with_faults(**variables):
    """The environment of a daemon whose calls fail, or take their time, by tests/faults/fake-faults.c."""
    # The sanitizers' own library need not be the first one.
    return variables | {"LD_PRELOAD": FAULTS,
                        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


class Vmm:
    """A process that does nothing until it is told to end: what sim takes for a VMM."""

    def __init__(self, command=("cat",), program=None, stdout=subprocess.DEVNULL, user=None):
        self.process = subprocess.Popen(command, executable=program, stdin=subprocess.PIPE,
                                        stdout=stdout, user=user)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.exit()

    def exit(self):
        self.process.stdin.close()
        self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


class Qemu(Vmm):
    """
    One whose command line is that of a QEMU with -name, and -uuid. As a QEMU that has created a VM it is
    past execve(), in the middle of which, when Popen() returns, there is no command line yet:
    so it says that it runs, and that is waited for.
    """

    def __init__(self, name, uuid=None, user=None):
        super().__init__(["qemu-system-aarch64", "-c", "echo; read -r _", "-name", name, *(("-uuid", uuid) if uuid else ())],
                         "/bin/sh", subprocess.PIPE, user)
        with self.process.stdout as stdout:
            stdout.readline()


class SimVm:
    """
    A VM of the simulated host as a VMM makes one, daemon or not: a file in the folder that the
    host is in, as daemon/host/sim-image.h describes it, and FIFOs that are its splitters.
    """

    MAGIC = 0x334d495350534745
    HEAD = struct.Struct("=QQQQQQII")
    LOG_OFFSET = HEAD.size - 8
    LOG_MEMORY, LOG_FRAMEBUFFER = 1, 2

    def __init__(self, folder, vmm, blocks=512, number=0, block_size=2 << 20, framebuffer=0, early=False):
        """
        A VM with a framebuffer, of so many bytes, shows it from its beginning to its end. Of one that is
        early the host tells before the VMM has its descriptor, which is when it appears.
        """
        self.folder = folder
        self.path = os.path.join(folder, f"{vmm.pid}.{number}")
        self.id = os.path.basename(self.path)
        self.vm_id = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._always = self.LOG_FRAMEBUFFER if framebuffer else 0
        head = self.HEAD.pack(0 if early else self.MAGIC, self.vm_id, start_time(vmm.pid), blocks * block_size,
                              block_size, framebuffer, self._always, 0)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(self.path + ".new", "wb") as f:
            f.write(head + b"\1" * blocks)
        os.rename(self.path + ".new", self.path)
        # Of one in whose place it is: that is gone. The daemon may have found this one by now: of it there is no news.
        self._tell(path for path in self._splitters(f"splitter-{self.id}-") if path not in self._splitters())

    def appear(self):
        with open(self.path, "r+b") as f:
            f.write(struct.pack("=Q", self.MAGIC))

    @property
    def blocks(self):
        with open(self.path, "rb") as f:
            return f.read()[self.HEAD.size:].count(1)

    def _splitters(self, start=None):
        start = start or f"splitter-{self.id}-{self.vm_id}-"
        folder = os.path.join(self.folder, f"splitter-{self.id}")
        try:
            return [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(start)]
        except FileNotFoundError:  # nobody has one
            return []

    @staticmethod
    def _is_holding(path):
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)

    @property
    def held(self):
        """Whether any splitter holds it: a lock that ends with the last descriptor of that."""
        return any(self._is_holding(path) for path in self._splitters())

    def splitter(self):
        """A descriptor that is a splitter, as a VMM makes one."""
        folder = os.path.join(self.folder, f"splitter-{self.id}")
        name = f"splitter-{self.id}-{self.vm_id}-test{next(COUNTER)}"
        new = os.path.join(folder, f".{name}")
        while True:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            # Who closes the last one removes the folder.
            with contextlib.suppress(FileNotFoundError):
                os.mkfifo(new, 0o600)
                break
        fd = os.open(new, os.O_RDWR | os.O_NONBLOCK)
        # One that nobody has open the daemon takes for left over.
        os.rename(new, os.path.join(folder, name))
        return fd

    @contextlib.contextmanager
    def hold(self):
        """By another process that has a splitter, too."""
        fd = self.splitter()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _tell(self, splitters):
        for path in splitters:
            with contextlib.suppress(OSError):  # nobody has it any more
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, b"!")
                os.close(fd)

    def log_dirty_pages(self, on):
        """Turns dirty logging of the memory on or off, of which its splitters tell."""
        with open(self.path, "r+b") as f:
            f.seek(self.LOG_OFFSET)
            f.write(struct.pack("=I", self._always | (self.LOG_MEMORY if on else 0)))
        self._tell(self._splitters())

    def wait_until_released(self):
        """Returns once it is held no more, of which nothing tells when the daemon does not look after it."""
        while self.held:
            time.sleep(0.001)

    def destroy(self):
        os.unlink(self.path)
        self._tell(self._splitters())


def start_time(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return int(f.read().rpartition(")")[2].split()[19])


class Caller:
    """A connection that sends descriptors with its calls."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(daemon.socket_path)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, method, fds=(), **parameters):
        call = json.dumps({"method": varlink.full_name(method), "parameters": parameters}).encode() + b"\0"
        if fds:
            socket.send_fds(self.socket, [call], fds)
        else:
            self.socket.sendall(call)

    def reply(self):
        """What the answer says, or the error's name."""
        while b"\0" not in self.received:
            data = self.socket.recv(65536)
            assert data, "the connection was closed"
            self.received += data
        text, _, self.received = self.received.partition(b"\0")
        answer = json.loads(text)
        return answer.get("error", answer.get("parameters"))

    def call(self, method, fds=(), **parameters):
        self.send(method, fds, **parameters)
        return self.reply()


class NotifySocket:
    """
    The service manager's end of sd_notify(). A thread reads it, as a service manager
    would: a sender waits while ten messages are unread.
    """

    def __init__(self, path):
        self.path = path
        self._messages = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._listens = threading.Event()
        self._listens.set()
        self.kept = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, 8)
            self._listens.wait()
            if not data:
                return
            message = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
            self._keep(message, fds)
            self._messages.put(message)

    def _keep(self, message, fds):
        """As a service manager with FileDescriptorStoreMax= does it."""
        name = message.get("FDNAME")
        with self._lock:
            if message.get("FDSTORE") == "1":
                self.kept.setdefault(name, []).extend(fds)
                return
            if message.get("FDSTOREREMOVE") == "1":
                fds = fds + self.kept.pop(name, [])
        for fd in fds:
            os.close(fd)

    @contextlib.contextmanager
    def deaf(self):
        """Nothing is read meanwhile, but for one message."""
        self._listens.clear()
        try:
            yield
        finally:
            self.listen()

    def listen(self):
        """Also in the middle of that."""
        self._listens.set()

    def drop_kept(self):
        """All that is kept is lost."""
        with self._lock:
            fds = [fd for fds in self.kept.values() for fd in fds]
            self.kept.clear()
        for fd in fds:
            os.close(fd)

    def list_kept(self):
        """(name, descriptor) of each; one that the VM of which is gone a service manager has dropped."""
        with self._lock:
            return [(name, fd) for name, fds in self.kept.items() for fd in fds]

    def _send(self, message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(message, self.path)

    def close(self):
        """Ends the thread, by an empty message."""
        self._send(b"")
        self._thread.join()
        self._socket.close()
        self.drop_kept()
        os.unlink(self.path)

    def tell_of_exit(self, process):
        """
        Has a message come when the process ends, so that nobody waits for it in vain: over
        the socket, behind all that the process sent itself.
        """
        def wait():
            status = process.wait()
            with contextlib.suppress(OSError):  # closed: nobody waits any more
                self._send(f"EXITED={status}".encode())

        threading.Thread(target=wait, daemon=True).start()

    def receive(self):
        """The next message: a dictionary of its assignments."""
        return self._messages.get()

    def wait_for(self, name, value):
        """Reads messages until one says that."""
        while True:
            message = self.receive()
            if message.get(name) == value:
                return message
            if "EXITED" in message:
                raise AssertionError(f"the daemon has ended, status {message['EXITED']}")


class Daemon:
    """
    Starts eagersplitd in a folder of its own and waits until it is ready. Leaving the
    context stops it, and fails if it does not exit with success.
    """

    def __init__(self, arguments=(), environment=None, wrapper=(), pass_fds=(), **settings):
        self.folder = tempfile.mkdtemp(prefix="eagersplitd-test-")
        self.config = self.path("eagersplitd.conf")
        self.socket_path = self.path("control.sock")
        self.configure(**settings)
        self.notify = NotifySocket(self.path("notify.sock"))
        self.log_file = open(self.path("log"), "wb")
        self._environment = environment or {}
        self._arguments = arguments
        # The one of which all has been heard.
        self._heard = None
        # A command that ends by executing the one behind it.
        self._wrapper = wrapper
        self.start(pass_fds=pass_fds)

    def start(self, environment=(), pass_fds=()):
        """With what has been kept for it."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LISTEN_", "WATCHDOG_"))}
        env["NOTIFY_SOCKET"] = self.notify.path
        kept = self.notify.list_kept()
        fds = [fd for _, fd in kept]
        prefix = []
        if kept:
            env |= {"LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": ":".join(name for name, _ in kept)}
            prefix = [sys.executable, "-c", LAUNCHER, ",".join(map(str, fds))]
        command = [*prefix, *self._wrapper, DAEMON, f"--config={self.config}", f"--socket={self.socket_path}",
                   *self._arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=self.log_file,
                                        env=env | self._environment | dict(environment),
                                        pass_fds=[*pass_fds, *fds])
        self.notify.tell_of_exit(self.process)

    def __enter__(self):
        try:
            self.notify.wait_for("READY", "1")
        except BaseException:
            print("".join(f"# log: {line}\n" for line in self.log().splitlines()), end="")
            self._clean_up()
            raise
        return self

    def __exit__(self, kind, *exc):
        try:
            if self.process.poll() is None:
                self.process.terminate()
            status = self.process.wait()
            log = self.log()
        finally:
            self._clean_up()
        if kind:
            print("".join(f"# log: {line}\n" for line in log.splitlines()), end="")
        elif status != 0:
            raise AssertionError(f"eagersplitd ended with status {status}:\n{log}")

    def _clean_up(self):
        self.process.kill()
        self.process.wait()
        self.log_file.close()
        self.notify.close()
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def configure(self, **settings):
        self.write_config(configuration(**settings))

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for_log(self, text, count=1):
        """What it has said, once it has said that, so often: that comes after the answer to a call."""
        while (log := self.log()).count(text) < count:
            time.sleep(0.001)
        return log

    def whole_log(self):
        """All that it has said until now: it is told to say one thing more."""
        before = self.log().count("reloaded: ")
        self.call("Reload")
        return self.wait_for_log("reloaded: ", before + 1)

    def client(self):
        return varlink.Client(self.socket_path)

    def call(self, method, **parameters):
        """One call on a connection of its own."""
        with self.client() as client:
            return client.call(method, **parameters)

    def error(self, method, **parameters):
        """The name and the parameters of the error that a call gets."""
        try:
            answer = self.call(method, **parameters)
        except varlink.Error as error:
            return error.name.removeprefix(varlink.INTERFACE + "."), error.parameters
        raise AssertionError(f"{method} was not refused: {answer}")

    def create_vm(self, vmm, **options):
        """A VM that nobody registers."""
        return SimVm(self.path("sim"), vmm, **options)

    def wait_until(self, condition):
        """The first of all VMs that is so, once one is."""
        with self.client() as client:
            for vm in client.watch():
                if condition(vm):
                    return vm
        raise AssertionError("the watch has ended")

    def wait_for_vm(self, name):
        """What the VM of that name or id is, once it is found and surveyed."""
        return self.wait_until(lambda vm: vm["vm"] == name and vm["bytes"])

    def wait_for_vms(self, names, gone):
        """
        Until these are all that there are. Those of the ids that are gone may be found once more, for a moment, where
        they were being looked at just then.
        """
        found = None
        while found != names:
            found = [vm["vm"] for vm in self.call("ListVms")["vms"]]
            unknown = [name for name in found if name not in gone]
            if unknown != names:
                raise AssertionError(f"{unknown}, expected {names}")

    def wait_for_claim(self, vmm, name):
        """The same of that process's VM, once it goes by its id as that name is another's, too."""
        return self.wait_until(lambda vm: (vm["pid"], vm.get("claimedName")) == (vmm.pid, name))

    def register(self, vmm, name):
        return self.call("Register", pid=vmm.pid, name=name)["vm"]

    def migrate(self, name, state, **parameters):
        return self.call("SetMigrationState", vm=name, migration=state, **parameters)["vm"]

    def wait_for(self, name, condition):
        """What the VM is when condition(vm) is true for the first time."""
        with self.client() as client:
            for vm in client.watch(name):
                if condition(vm):
                    return vm
        raise AssertionError("the watch has ended")

    def wait_for_stage(self, name, stage):
        return self.wait_for(name, lambda vm: vm["stage"] == stage)

    def ctl(self, *arguments, program=CTL, **options):
        """Runs eagersplitctl; gives its status, stdout and stderr."""
        r = subprocess.run([program, f"--socket={self.socket_path}", *arguments],
                           capture_output=True, text=True, check=False, **options)
        return r.returncode, r.stdout, r.stderr

    def kill(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def limited(self, limit, value):
        """By setrlimit(2), until the end of the context or of the process."""
        pid = self.process.pid
        before = None
        # It may have been ended by somebody else, before and after.
        with contextlib.suppress(ProcessLookupError):
            before = resource.prlimit(pid, limit)
            resource.prlimit(pid, limit, (value, before[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                if before:
                    resource.prlimit(pid, limit, before)

    def stop(self, number=signal.SIGTERM):
        """Asks it to stop, and waits; gives its exit status."""
        self.kill(number)
        return self.process.wait()

    def wait_until_refused(self):
        """Once nobody listens: a process that closes descriptors for it may end a moment after it, and has its socket."""
        refused = 0
        while not refused:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                refused = s.connect_ex(self.socket_path)

    def wait_for_exit(self):
        """Once it has ended, and all that it said has been heard."""
        self.process.wait()
        while self._heard is not self.process:
            if "EXITED" in self.notify.receive():
                self._heard = self.process

    def start_again(self, *arguments):
        """Starts it anew once it has ended."""
        self.wait_for_exit()
        self.start(*arguments)
        self.notify.wait_for("READY", "1")

    def restart(self, number=signal.SIGTERM):
        """Ends it by that signal, and starts it anew."""
        self.kill(number)
        self.start_again()
