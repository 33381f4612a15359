# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that have others wait."""

import contextlib
import ctypes
import mmap
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kvm"))

from fuse import HangingFile
from tap import Skip


class Process:
    """A child that does work(), says so, and waits to be killed; as another user, if asked for."""

    def __init__(self, work, uid=0):
        ready, begun = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work(lambda: (os.setuid(uid), os.write(begun, b"x")))
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(begun)
        begun = os.read(ready, 1)
        os.close(ready)
        if not begun:
            os.waitpid(self.pid, 0)
            raise AssertionError("it has ended")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def locked(path, before):
    """One whose memory is locked by a thread that touches a file which hangs, while another waits to change it."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.strlen.argtypes = [ctypes.c_void_p]

    def work(ready):
        before()
        page = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, os.open(path, os.O_RDONLY), 0)
        # To become another user would ask all threads.
        ready()
        threading.Thread(target=libc.strlen, args=(page,), daemon=True).start()
        while True:
            libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

    return Process(work)


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def beside_file(make, cached=False):
    """The process that make() makes of the path of a file that hangs."""
    hanging = HangingFile(cached)
    try:
        path = hanging.__enter__()
    except OSError as error:
        raise Skip("no FUSE here") from error
    process = None
    try:
        process = make(path)
        yield process
    finally:
        if process:
            os.kill(process.pid, signal.SIGKILL)
        # Only then does it end.
        hanging.__exit__()
        if process:
            process.__exit__()


@contextlib.contextmanager
def locked_memory(before):
    """The same, once it waits: who reads its command line waits, too. It begins by before()."""
    with beside_file(lambda path: locked(path, before)) as process:
        # In a row: for a moment it may wait for something else.
        waits = 0
        while waits < 10:
            state = state_of(process.pid)
            if state == "Z":
                raise Skip("a file that cannot be read ends who touches it here")
            waits = waits + 1 if state == "D" else 0
            time.sleep(0.01)
        yield process
