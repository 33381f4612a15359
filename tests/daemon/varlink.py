# SPDX-License-Identifier: GPL-2.0-or-later
"""A Varlink client, of no more than the tests need."""

import json
import socket

INTERFACE = "org.eagersplit.Manager"


class Error(Exception):
    """An error reply."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name
        self.parameters = parameters


def full_name(method):
    return method if "." in method else f"{INTERFACE}.{method}"


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, method, more=False, oneway=False, **parameters):
        call = {"method": full_name(method), "parameters": parameters}
        if more:
            call["more"] = True
        if oneway:
            call["oneway"] = True
        self.send_raw(json.dumps(call).encode() + b"\0")

    def receive(self):
        """The next message as it is, or None at the end."""
        while b"\0" not in self._buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def reply(self):
        """The parameters of the next reply, and whether more follow; raises Error."""
        message = self.receive()
        if message is None:
            raise EOFError("the connection was closed")
        if "error" in message:
            raise Error(message["error"], message.get("parameters", {}))
        return message.get("parameters", {}), message.get("continues", False)

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.reply()[0]

    def watch(self, vm=None):
        """The VMs that a Watch tells of, one by one; but for those that have gone."""
        for parameters in self.watch_all(**({"vm": vm} if vm else {})):
            if not parameters.get("gone"):
                yield parameters["vm"]

    def watch_all(self, **parameters):
        """All that a Watch says."""
        self.send("Watch", more=True, **parameters)
        continues = True
        while continues:
            answer, continues = self.reply()
            yield answer
