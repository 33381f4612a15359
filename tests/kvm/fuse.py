# SPDX-License-Identifier: GPL-2.0-or-later
"""
A FUSE server of one file, /file, that answers everything but FLUSH, which the kernel sends for each
descriptor of it that is closed: whoever closes one waits, beyond SIGKILL even, until the server ends;
but for the processes that have opened it. Of READ the first fails, and no other is answered: who
touches the file in memory tries once more, and waits with its memory locked. Or, where it is cached, one
that answers everything but WRITE: whoever lets go of an open file for the last time waits as long as
the file has been written to in memory, also who has never had it as a descriptor. As any user may have
by fusermount; here as root, by mount(2).
"""

import ctypes
import os
import struct
import sys
import tempfile

LOOKUP, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FLUSH, INIT = 1, 3, 4, 14, 15, 16, 18, 25, 26
WRITEBACK_CACHE = 1 << 16
ROOT, FILE = 1, 2
IN_HEADER = struct.Struct("=IIQQIIII")
OUT_HEADER = struct.Struct("=IiQ")

libc = ctypes.CDLL(None, use_errno=True)


def attributes(node):
    mode = 0o40755 if node == ROOT else 0o100644
    return struct.pack("=QQQQQQIIIIIIIIII", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def reply_to(opcode, node, cached):
    """What follows the header, None: no reply, or a negative errno."""
    if opcode == INIT:
        return struct.pack("=IIIIHHIIHH", 7, 26, 0, WRITEBACK_CACHE if cached else 0, 16, 8, 4096, 1, 0, 0) + bytes(32)
    if opcode == LOOKUP:
        return struct.pack("=QQQQII", FILE, 0, 3600, 3600, 0, 0) + attributes(FILE)
    if opcode in (GETATTR, SETATTR):
        return struct.pack("=QII", 3600, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("=QII", 1, 0, 0)
    if cached and opcode == READ:
        return bytes(4096)
    if cached and opcode == FLUSH:
        return b""
    if opcode in (FLUSH, RELEASE, WRITE):
        return None
    return -38  # ENOSYS


def serve(device, cached):
    friends = set()
    n_reads = 0
    while True:
        try:
            request = os.read(device, 1 << 17)
        except FileNotFoundError:  # of one that was given up
            continue
        except OSError:  # unmounted
            return
        _, opcode, unique, node, _, _, pid, _ = IN_HEADER.unpack_from(request)
        if opcode == OPEN:
            friends.add(pid)
        reply = b"" if opcode == FLUSH and pid in friends else reply_to(opcode, node, cached)
        if opcode == READ and not cached:
            n_reads += 1
            reply = -5 if n_reads == 1 else None  # EIO
        if reply is None:
            continue
        error, body = (reply, b"") if isinstance(reply, int) else (0, reply)
        try:
            os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(body), error, unique) + body)
        except OSError:
            return


class HangingFile:
    """The path of such a file, for as long as the context lasts; nobody hangs any longer after that."""

    def __init__(self, cached=False):
        self._cached = cached

    def __enter__(self):
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self._folder = tempfile.mkdtemp(prefix="eagersplitd-fuse-")
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"eagersplitd-test", self._folder.encode(), b"fuse", 6, options) < 0:
            error = ctypes.get_errno()
            os.close(device)
            os.rmdir(self._folder)
            raise OSError(error, "mount")
        self._server = os.fork()
        if self._server == 0:
            try:
                serve(device, self._cached)
            finally:
                os._exit(0)
        # It is the server's alone: when that ends, the kernel answers for it.
        os.close(device)
        return os.path.join(self._folder, "file")

    def __exit__(self, *exc):
        os.kill(self._server, 9)
        os.waitpid(self._server, 0)
        libc.umount2(self._folder.encode(), 2)
        os.rmdir(self._folder)


if __name__ == "__main__":
    with HangingFile() as path:
        print(path, flush=True)
        sys.stdin.read()
