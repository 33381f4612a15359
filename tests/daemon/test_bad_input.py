#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes that are no call, calls that make no sense, clients that go away: the others are served."""

import json
import socket

from harness import FAST, STUCK, Daemon, Vmm
from tap import equal, main, test, true
from varlink import INTERFACE, Error

INVALID = "org.varlink.service.InvalidParameter"


def memory_kib(pid, what):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(what + ":"):
                return int(line.split()[1])
    raise AssertionError(f"no {what}")


def assert_serves(daemon):
    true("host" in daemon.call("GetHost"), "the daemon serves")


@test
def malformed():
    """What is no JSON object gets InvalidParameter, the end of the connection, and a line in the log"""
    texts = [b"", b"{", b"[]", b"5", b'"x"', b"null", b"{} {}", b"{'a':}", b'{"method":"x"', b"\xff\xfe",
             b'{"method":"\xc0\x80"}', b"GET / HTTP/1.1\r\n\r\n", b"{" * 100000, b'{"a":' + b"[" * 1000]
    with Daemon(**FAST) as daemon:
        for text in texts:
            with daemon.client() as client:
                # All at once: the daemon may hang up after the first.
                client.send_raw(text + b'\0{"method":"org.eagersplit.Manager.GetHost"}\0')
                equal(client.receive(), {"error": INVALID, "parameters": {"parameter": "message"}},
                      text[:40])
                equal(client.receive(), None, text[:40])
        equal(daemon.whole_log().count("Closing a connection"), len(texts))
        assert_serves(daemon)


@test
def not_a_call():
    """A JSON object that is no call gets InvalidParameter with the field, and the next is answered"""
    with Daemon(**FAST) as daemon, daemon.client() as client:
        for call, field in (
            ({}, "method"),
            ({"method": None}, "method"),
            ({"method": 5}, "method"),
            ({"method": "GetHost"}, "method"),
            ({"method": f"{INTERFACE}.GetHost", "parameters": []}, "parameters"),
            ({"method": f"{INTERFACE}.GetHost", "parameters": "x"}, "parameters"),
            ({"method": f"{INTERFACE}.GetHost", "more": 1}, "more"),
            ({"method": f"{INTERFACE}.GetHost", "oneway": "no"}, "oneway"),
            ({"method": f"{INTERFACE}.GetHost", "upgrade": True}, "upgrade"),
        ):
            client.send_raw(json.dumps(call).encode() + b"\0")
            equal(client.receive(), {"error": INVALID, "parameters": {"parameter": field}}, call)
        true("host" in client.call("GetHost"), "the connection is good")


@test
def unknown():
    """Unknown interfaces and methods are named"""
    with Daemon(**FAST) as daemon:
        equal(daemon.error("org.example.Other.Do"),
              ("org.varlink.service.InterfaceNotFound", {"interface": "org.example.Other"}))
        for method in f"{INTERFACE}.Do", f"{INTERFACE}.gethost", f"{INTERFACE}.":
            equal(daemon.error(method), ("org.varlink.service.MethodNotFound", {"method": method}))
        equal(daemon.error("org.varlink.service.GetInterfaceDescription", interface="org.example"),
              ("org.varlink.service.InterfaceNotFound", {"interface": "org.example"}))


@test
def wrong_parameters():
    """Parameters that are missing or of the wrong type are named; unknown ones are passed over"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        for method, parameters, field in (
            ("GetVm", {}, "vm"),
            ("GetVm", {"vm": None}, "vm"),
            ("GetVm", {"vm": 1}, "vm"),
            ("GetVm", {"vm": "a\0b"}, "vm"),
            ("Unregister", {"vm": []}, "vm"),
            ("Register", {}, "pid"),
            ("Register", {"pid": str(vmm.pid)}, "pid"),
            ("Register", {"pid": float(vmm.pid)}, "pid"),
            ("Register", {"pid": True}, "pid"),
            ("Register", {"pid": 1 << 64}, "pid"),
            ("Register", {"pid": vmm.pid, "name": {}}, "name"),
            ("SetMigrationState", {"migration": "scheduled"}, "vm"),
            ("SetMigrationState", {"vm": "x"}, "migration"),
            ("SetMigrationState", {"vm": "x", "migration": 1}, "migration"),
            ("SetMigrationState", {"vm": "x", "migration": "scheduled", "deadlineUSec": 1 << 63},
             "deadlineUSec"),
            ("SetMigrationState", {"vm": "x", "migration": "scheduled", "deadlineUSec": -1},
             "deadlineUSec"),
            ("SetMigrationState", {"vm": "x", "migration": "scheduled", "tlbiRate": 1.0},
             "tlbiRate"),
            ("SetMigrationState", {"vm": "x", "migration": "sideways"}, "migration"),
            ("Watch", {"vm": 7, "more": True}, "vm"),
        ):
            equal(daemon.error(method, **parameters), (INVALID, {"parameter": field}),
                  f"{method} {parameters}")
        true("host" in daemon.call("GetHost", nonsense={"deep": [1, 2]}, pid="x"), "GetHost")
        equal(daemon.call("ListVms"), {"vms": []})


@test
def large_integers():
    """Integers up to 2^63-1 are taken, and given back, to the last bit"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for number in (1 << 63) - 1, (1 << 53) + 1, 0:
            vm = daemon.migrate("guest", "scheduled", deadlineUSec=number, tlbiRate=number)
            equal(vm["deadlineUSec"], number)


@test
def ten_megabytes():
    """A message of 10 MiB ends its connection and costs no memory"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for byte in b" ", b"[", b'"':
            with daemon.client() as client:
                try:
                    client.send_raw(b'{"method":' + byte * (10 << 20))
                    raise AssertionError("all of it was taken")
                except (BrokenPipeError, ConnectionResetError):
                    pass
                equal(client.receive(), {"error": INVALID, "parameters": {"parameter": "message"}})
                equal(client.receive(), None)
        equal(daemon.whole_log().count("longer than 128 KiB"), 3)
        equal(daemon.call("GetVm", vm="guest")["vm"]["vm"], "guest")
        # The address sanitizer maps terabytes, and keeps what was freed for a while.
        if memory_kib(daemon.process.pid, "VmSize") < 1 << 30:
            true(memory_kib(daemon.process.pid, "VmHWM") < 32 << 10, "memory stays small")


@test
def byte_at_a_time():
    """A call that comes byte by byte is a call like any other"""
    call = json.dumps({"method": f"{INTERFACE}.ListVms"}).encode() + b"\0"
    with Daemon(**FAST) as daemon, daemon.client() as slow:
        for _ in range(2):
            for byte in call:
                slow.send_raw(bytes([byte]))
                assert_serves(daemon) if byte == ord("{") else None
            equal(slow.reply()[0], {"vms": []})


@test
def half_a_message():
    """A client that goes away in the middle of a message, or of its answers, harms nobody"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for end in (lambda s: s.close(), lambda s: s.shutdown(socket.SHUT_RDWR),
                    lambda s: s.shutdown(socket.SHUT_WR)):
            client = daemon.client()
            client.send_raw(b'{"method":"org.eagersplit.Manager.Unregister","parameters":{"vm":"gu')
            end(client.socket)
            assert_serves(daemon)
            client.close()
        for _ in range(100):
            with daemon.client() as client:
                for _ in range(20):
                    client.send("ListVms")
        equal(daemon.call("GetVm", vm="guest")["vm"]["vm"], "guest")


@test
def vanished_before_the_answer():
    """A client that leaves before its answer is ready harms nobody, and what it asked for is done"""
    with Daemon(**FAST) as daemon, Vmm() as vmm, daemon.client() as watcher:
        watch = watcher.watch()
        with daemon.client() as client:
            client.send("Register", oneway=True, pid=vmm.pid, name="guest")
            client.send("SetMigrationState", oneway=True, vm="guest", migration="scheduled")
        while next(watch)["stage"] != "split":
            pass
        with daemon.client() as client:
            client.send("GetVm", vm="guest")
            client.send("Watch", more=True)
        assert_serves(daemon)


@test
def many_connections():
    """More connections than are allowed: those beyond are closed, and when some end there is room"""
    with Daemon(**FAST) as daemon:
        first = daemon.client()
        clients = [daemon.client() for _ in range(500)]
        closed = sum(client.receive() is None for client in clients[300:])
        equal(closed, 200)
        true("host" in first.call("GetHost"), "who was there is served")
        for client in clients:
            client.close()
        # Its answer comes after the daemon has seen the others go, or it is one too many.
        while True:
            with daemon.client() as client:
                try:
                    client.send("GetHost")
                    client.reply()
                    break
                except (EOFError, BrokenPipeError, ConnectionResetError):
                    first.call("GetHost")
        first.close()
        true(0 < daemon.whole_log().count("one too many") < 100, "it is in the log, but does not fill it")


@test
def interleaved():
    """Errors do not break the order of the answers"""
    with Daemon(**FAST) as daemon, daemon.client() as client:
        for i in range(50):
            client.send("GetVm", vm=str(i))
            client.send("GetHost")
            client.send_raw(b"{}\0")
        for i in range(50):
            try:
                client.reply()
                raise AssertionError("no such VM")
            except Error as error:
                equal(error.parameters, {"vm": str(i)})
            true("host" in client.reply()[0], "GetHost")
            equal(client.receive()["error"], INVALID)


if __name__ == "__main__":
    main()
