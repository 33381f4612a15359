# SPDX-License-Identifier: GPL-2.0-or-later
"""A system bus with systemd-machined on it, both as a test says: what D-Bus that takes, and no more."""

import contextlib
import os
import socket
import struct
import threading

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = 1, 2, 3, 4, 5, 6, 7, 8

# What a question may get instead of an answer; FLOOD: what a stranger sends, without end.
NO_ANSWER, HANG_UP, FLOOD = object(), object(), object()


def machine_path(name):
    """The path of a machine's object."""
    escaped = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in name)
    return f"/org/freedesktop/machine1/machine/{escaped}"


def _pad(data, size):
    return data + bytes(-len(data) % size)


def _string(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def _field(code, kind, value):
    data = struct.pack("<BB", code, 1) + kind.encode() + b"\0"
    if kind == "g":
        return data + struct.pack("<B", len(value)) + value.encode() + b"\0"
    return data + (struct.pack("<I", value) if kind == "u" else _string(value))


def _message(kind, serial, fields, body=b""):
    packed = b""
    for field in fields:
        packed = _pad(packed, 8) + _field(*field)
    head = struct.pack("<cBBBIII", b"l", kind, 1, 1, len(body), serial, len(packed))
    return _pad(head + packed, 8) + body


def _fields(data):
    """Of a message's header, by their codes."""
    found, at = {}, 0
    while at < len(data):
        at += -at % 8
        code, kind = data[at], chr(data[at + 2])
        at += 4
        if kind == "g":
            size = data[at]
            found[code], at = data[at + 1:at + 1 + size].decode(), at + size + 2
        elif kind == "u":
            found[code], at = struct.unpack_from("<I", data, at)[0], at + 4
        else:
            size = struct.unpack_from("<I", data, at)[0]
            found[code], at = data[at + 4:at + 4 + size].decode(), at + size + 5
    return found


class Bus:
    """
    Listens at path. answer(pid) gives the name of the machine that a process belongs to, or None; a path
    in bytes is taken as it is, and what is above says what else may happen. @silent: it takes
    connections, and does not say a word. Nobody is to ask for descriptors: everybody could send some.
    """

    def __init__(self, path, answer, silent=False):
        self.address = f"unix:path={path}"
        self._answer = answer
        self._silent = silent
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = path
        self._listener.bind(path)
        self._listener.listen(16)
        self._connections = []
        self._wanting_descriptors = 0
        self.asked = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.unlink(self._path)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        assert not self._wanting_descriptors, "descriptors that strangers send are welcome"

    def hang_up(self):
        for connection in self._connections:
            # At once: whoever reads it keeps what is closed open until then.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            if not self._silent:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            stream = connection.makefile("rb")
            stream.read(1)
            self._authenticate(connection, stream)
            while self._reply_to_next(connection, stream):
                pass
        except (OSError, ValueError, struct.error):
            pass  # it is gone
        self.left.release()

    def _authenticate(self, connection, stream):
        for line in iter(stream.readline, b""):
            words = line.split()
            if words[0] == b"BEGIN":
                return
            if words[0] == b"AUTH" and len(words) == 2:
                connection.sendall(b"DATA\r\n")
            elif words[0] == b"NEGOTIATE_UNIX_FD":
                self._wanting_descriptors += 1
                connection.sendall(b"AGREE_UNIX_FD\r\n")
            else:
                connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")

    def _reply_to_next(self, connection, stream):
        """False: that was the last."""
        head = stream.read(16)
        if len(head) < 16:
            return False
        _, kind, _, _, size, serial, fields_size = struct.unpack("<cBBBIII", head)
        fields = stream.read(fields_size + -fields_size % 8)[:fields_size]
        body = stream.read(size)
        if len(fields) < fields_size or len(body) < size:
            return False
        if kind != CALL:
            return True
        fields = _fields(fields)
        to = [(REPLY_SERIAL, "u", serial), (DESTINATION, "s", ":1.7")]
        if fields[MEMBER] == "Hello":
            reply = _message(RETURN, serial, [*to, (SENDER, "s", "org.freedesktop.DBus"), (SIGNATURE, "g", "s")],
                             _string(":1.7"))
        elif fields[DESTINATION] == "org.freedesktop.systemd1":
            reply = _message(ERROR, serial, [*to, (ERROR_NAME, "s", "org.freedesktop.DBus.Error.ServiceUnknown")])
        else:
            assert fields[MEMBER] == "GetMachineByPID", fields
            assert fields[DESTINATION] == "org.freedesktop.machine1", fields
            assert fields[PATH] == "/org/freedesktop/machine1", fields
            reply = self._machine(struct.unpack("<I", body)[0], serial, to)
        if reply is HANG_UP:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        while reply is FLOOD:
            connection.sendall(_message(SIGNAL, 1, [(PATH, "o", "/x"), (INTERFACE, "s", "com.example.X"), (MEMBER, "s", "Y"),
                                                    (SENDER, "s", ":1.8"), (DESTINATION, "s", ":1.7")]))
        if reply is not NO_ANSWER:
            connection.sendall(reply)
        return True

    def _machine(self, pid, serial, to):
        name = self._answer(pid)
        self.asked.release()
        to.append((SENDER, "s", ":1.2"))
        if name in (NO_ANSWER, HANG_UP, FLOOD):
            return name
        if name is None:
            return _message(ERROR, serial, [*to, (ERROR_NAME, "s", "org.freedesktop.machine1.NoMachineForPID")])
        if isinstance(name, int):
            return _message(RETURN, serial, [*to, (SIGNATURE, "g", "u")], struct.pack("<I", name))
        path = name.decode() if isinstance(name, bytes) else machine_path(name)
        return _message(RETURN, serial, [*to, (SIGNATURE, "g", "o")], _string(path))
