# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's machine protocol: a command at a time. What QEMU tells by itself is passed over."""

import json
import socket

from host.lab import Failed


class Qmp:
    """A connection to the QEMU that listens on a socket."""

    def __init__(self, lab, path):
        self._path = path
        self._stream = lab.wait_for(path, self._connect)
        self._file = self._stream.makefile("r", encoding="utf-8")
        self._read()
        self.call("qmp_capabilities")

    def _connect(self):
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            stream.close()
            return None
        return stream

    def _read(self):
        while True:
            line = self._file.readline()
            if not line:
                raise Failed(f"{self._path}: QEMU hung up")
            message = json.loads(line)
            if "event" not in message:
                return message

    def call(self, command, **arguments):
        """What QEMU returns; the names of arguments have _ for -."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._stream.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        message = self._read()
        if "error" in message:
            raise Failed(f"QMP {command} {arguments}: {message['error']}")
        return message["return"]
