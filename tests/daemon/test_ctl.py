#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""eagersplitctl: what it prints, and its exit status."""

import json
import os
import pty
import re
import shutil
import subprocess

from harness import CTL, FAST, STUCK, Daemon, Vmm
from tap import Skip, equal, main, test, true


def run(*arguments, **options):
    r = subprocess.run([CTL, *arguments], capture_output=True, text=True, check=False, **options)
    return r.returncode, r.stdout, r.stderr


@test
def usage():
    """Wrong usage is told on stderr, with status 2"""
    for arguments in (
        [], ["nonsense"], ["status"], ["status", "a", "b"], ["register"], ["register", "x"],
        ["register", "0"], ["register", "99999999999"], ["migration", "a"], ["--nonsense"],
        ["--socket"], ["prepare", "a", "--deadline=yesterday"], ["prepare", "a", "--deadline=60"],
        ["prepare", "a", "--tlbi-rate=-1"], ["list", "--wait"], ["host", "--name=x"],
        ["migration", "a", "scheduled", "--wait"],
    ):
        status, out, err = run("--socket=/nonexistent", *arguments)
        equal((status, out), (2, ""), arguments)
        true(err, arguments)


@test
def help_and_version():
    """--help and --version need no daemon"""
    status, out, err = run("--help")
    equal((status, err), (0, ""))
    for word in "host", "list", "status", "register", "unregister", "migration", "prepare", \
            "watch", "reload", "--socket", "--json", "--deadline", "--tlbi-rate", "--wait", "--name":
        true(word in out, word)
    status, out, err = run("prepare", "--help")
    equal((status, err), (0, ""))
    true("--wait" in out and "reload" not in out, out)
    status, out, err = run("--version")
    equal((status, err), (0, ""))
    true(re.fullmatch(r"eagersplitctl \d+\.\d+.*\n", out), out)


@test
def not_running():
    """Without a daemon it says so and how to start it, with status 1"""
    for path in "/nonexistent/control.sock", "/run/eagersplitd/nobody.sock":
        status, out, err = run(f"--socket={path}", "list")
        equal((status, out), (1, ""))
        true("not running" in err and path in err, err)
    with Daemon(**FAST) as daemon:
        path = daemon.socket_path
        daemon.stop()
        status, out, err = daemon.ctl("list")
        equal((status, out), (1, ""))
        true("not running" in err and path in err, err)


@test
def not_permitted():
    """Who may not connect is told what to do"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon:
        # Where they can execute it.
        nobody = {"program": shutil.copy(CTL, daemon.path("ctl")), "user": 65534, "group": 65534,
                  "extra_groups": []}
        os.chmod(daemon.folder, 0o755)
        status, out, err = daemon.ctl("list", **nobody)
        equal((status, out), (1, ""))
        true("Not permitted" in err and "root" in err, err)
        os.chmod(daemon.socket_path, 0o666)
        status, out, err = daemon.ctl("list", **nobody)
        equal((status, err), (0, ""))
        status, out, err = daemon.ctl("reload", **nobody)
        equal((status, out), (1, ""))
        true("Permission denied" in err, err)


@test
def commands():
    """Each command does its work and tells of it"""
    with Daemon(TlbiRate=0, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        status, out, err = daemon.ctl("host")
        equal((status, err), (0, ""))
        true("sim" in out and "no limit" in out, out)

        equal(daemon.ctl("register", str(vmm.pid), "--name=guest"),
              (0, f"Registered guest: process {vmm.pid}, 4.0 GiB, 2048 blocks.\n", ""))
        status, out, err = daemon.ctl("list")
        equal((status, err), (0, ""))
        lines = [line.split() for line in out.splitlines()]
        equal(lines, [["VM", "PID", "MIGRATION", "STAGE", "MEMORY", "BLOCKS", "SPLIT", "TLBIS", "ETA"],
                      ["guest", str(vmm.pid), "none", "whole", "4.0", "GiB", "2048", "0", "0", "-"]])

        status, out, err = daemon.ctl("prepare", "guest", "--wait")
        equal((status, err), (0, ""))
        lines = out.splitlines()
        true(lines[0].startswith("guest: ") and "\r" not in out and "\x1b" not in out, out)
        true(re.fullmatch(r"guest: split 2048 blocks \(4\.0 GiB\) in .*, for 2048 TLBIs\.", lines[-1]),
             lines[-1])
        equal(daemon.ctl("prepare", "guest", "--wait"),
              (0, "guest: split   0%  0 blocks, 0 TLBIs\n"
                  "guest: all in pages, nothing was left to split.\n", ""))

        status, out, err = daemon.ctl("status", "guest")
        equal((status, err), (0, ""))
        true("0 B (0 blocks)" in out and "2048 blocks, for 2048 TLBIs" in out and "SLOT" in out, out)

        equal(daemon.ctl("migration", "guest", "active"),
              (0, "guest: migration active, stage split, 0 blocks left.\n", ""))
        equal(daemon.ctl("reload"), (0, "", ""))
        equal(daemon.ctl("unregister", "guest"), (0, "", ""))
        equal(daemon.ctl("list")[1].count("\n"), 1)


@test
def refusals():
    """What the daemon refuses is said in words, with status 1"""
    gone = Vmm()
    gone.kill()
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for arguments, text in (
            (["status", "nobody"], 'No VM "nobody"'),
            (["unregister", "nobody"], 'No VM "nobody"'),
            (["prepare", "nobody", "--wait"], 'No VM "nobody"'),
            (["watch", "nobody"], 'No VM "nobody"'),
            (["register", str(gone.pid)], f"No process {gone.pid}"),
            (["register", str(vmm.pid), "--name=other"], '"guest" is registered already'),
            (["register", "1", "--name=a b"], '"name"'),
            (["migration", "guest", "completed"], '"none" cannot become "completed"'),
            (["migration", "guest", "paused"], '"migration"'),
        ):
            status, out, err = daemon.ctl(*arguments)
            equal((status, out), (1, ""), arguments)
            true(text in err, err)
        daemon.write_config("[Budget]\nTlbiRate=x\n")
        status, out, err = daemon.ctl("reload")
        equal((status, out), (1, ""))
        true(f"{daemon.config}:2: " in err, err)


@test
def as_json():
    """--json prints what the daemon answers, a line for each"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        equal(json.loads(daemon.ctl("--json", "host")[1]), daemon.call("GetHost"))
        status, out, err = daemon.ctl("--json", "register", str(vmm.pid), "--name=guest")
        equal((status, err, out.count("\n")), (0, "", 1))
        equal(json.loads(out)["vm"]["pid"], vmm.pid)
        equal(json.loads(daemon.ctl("list", "--json")[1]), daemon.call("ListVms"))
        equal(json.loads(daemon.ctl("status", "guest", "--json")[1]), daemon.call("GetVm", vm="guest"))
        status, out, err = daemon.ctl("--json", "prepare", "guest", "--wait")
        equal((status, err), (0, ""))
        replies = [json.loads(line)["vm"] for line in out.splitlines()]
        equal((replies[0]["migration"], replies[-1]["stage"]), ("scheduled", "split"))
        status, out, err = daemon.ctl("--json", "status", "nobody")
        equal((status, json.loads(out)), (1, {"error": "org.eagersplit.Manager.NoSuchVm",
                                             "parameters": {"vm": "nobody"}}))
        equal(json.loads(daemon.ctl("--json", "unregister", "guest")[1]), {})


@test
def deadlines():
    """--deadline and --tlbi-rate reach the daemon"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        equal(daemon.ctl("migration", "guest", "scheduled", "--deadline=@2000000000")[0], 0)
        equal(daemon.call("GetVm", vm="guest")["vm"]["deadlineUSec"], 2000000000 * 1000000)
        status, out, _ = daemon.ctl("prepare", "guest", "--deadline=2000-01-01 00:00", "--tlbi-rate=1")
        equal(status, 0)
        true("later than the deadline" in out, out)
        true("will be missed" in daemon.ctl("status", "guest")[1], "status")


def start(daemon, *arguments, **options):
    return subprocess.Popen([CTL, f"--socket={daemon.socket_path}", *arguments], text=True,
                            stderr=subprocess.PIPE, **options)


@test
def watch():
    """watch prints a line for each change, until the VM or the daemon is gone"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        with start(daemon, "watch", "guest", stdout=subprocess.PIPE) as ctl:
            true("guest: migration none, whole" in ctl.stdout.readline(), "the first line")
            daemon.migrate("guest", "scheduled")
            for line in ctl.stdout:
                if "migration scheduled, split" in line:
                    break
            vmm.kill()
            _, err = ctl.communicate()
            equal(ctl.returncode, 1)
            true('No VM "guest"' in err, err)
        with start(daemon, "watch", "--json", stdout=subprocess.PIPE) as ctl, Vmm() as other:
            daemon.register(other, "other")
            equal(json.loads(ctl.stdout.readline())["vm"]["vm"], "other")
            daemon.stop()
            _, err = ctl.communicate()
            equal(ctl.returncode, 1)
            true("closed the connection" in err, err)


@test
def prepare_is_given_up():
    """prepare --wait fails when the VM goes away or its migration is ended meanwhile"""
    for end, text in (
        (lambda daemon, vmm: vmm.kill(), 'No VM "guest"'),
        (lambda daemon, vmm: daemon.call("Unregister", vm="guest"), 'No VM "guest"'),
        (lambda daemon, vmm: daemon.migrate("guest", "cancelled"), "ended the migration"),
        (lambda daemon, vmm: daemon.migrate("guest", "completed"), "ended the migration"),
        (lambda daemon, vmm: daemon.stop(), "closed the connection"),
    ):
        with Daemon(**STUCK) as daemon, Vmm() as vmm:
            daemon.register(vmm, "guest")
            with start(daemon, "prepare", "guest", "--wait", stdout=subprocess.PIPE) as ctl:
                true(ctl.stdout.readline().startswith("guest: "), "the first line")
                end(daemon, vmm)
                _, err = ctl.communicate()
                equal(ctl.returncode, 1, text)
                true(text in err, err)


@test
def terminal():
    """On a terminal prepare --wait draws a bar, no wider than the terminal"""
    with Daemon(TlbiRate=4000, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        ours, theirs = pty.openpty()
        with start(daemon, "prepare", "guest", "--wait", stdout=theirs) as ctl:
            os.close(theirs)
            out = b""
            try:
                while data := os.read(ours, 65536):
                    out += data
            except OSError:
                pass  # how a terminal says that the other end is closed
            _, err = ctl.communicate()
            equal((ctl.returncode, err), (0, ""))
        os.close(ours)
        *bars, last = out.decode().replace("\r\n", "\n").rstrip("\n").split("\n")
        bars = [bar.removesuffix("\x1b[K") for bar in "".join(bars).split("\r")[1:]]
        true(len(bars) >= 2, out)
        for bar in bars:
            true(re.match(r"guest  \[#*\.*\] +\d+%  \d+ blocks", bar) and len(bar) < 80, bar)
        true("100%" in bars[-1], bars[-1])
        true(last.startswith("guest: split 2048 blocks (4.0 GiB) in "), last)


@test
def full_disk():
    """Output that cannot be written is a failure"""
    with Daemon(**FAST) as daemon, open("/dev/full", "wb") as full:
        with start(daemon, "host", stdout=full) as ctl:
            _, err = ctl.communicate()
            equal(ctl.returncode, 1)
            true("Cannot write" in err, err)


if __name__ == "__main__":
    main()
