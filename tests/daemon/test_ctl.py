#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""eagersplitctl: what it prints, and its exit status."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios

from bus import Bus
from harness import CTL, FAST, STUCK, Daemon, Vmm
from tap import Skip, equal, main, test, true


def run(*arguments, **options):
    r = subprocess.run([CTL, *arguments], capture_output=True, text=True, check=False, **options)
    return r.returncode, r.stdout, r.stderr


# And the options that they alone have.
COMMANDS = {
    "host": [], "list": [], "status": [], "register": ["--name"], "unregister": [],
    "cancel": ["--wait"], "complete": [],
    "migration": ["--wait", "--deadline", "--tlbi-rate", "cancelled"],
    "history": ["--limit"], "prepare": ["--wait", "--all", "--stagger", "--deadline", "--tlbi-rate"], "watch": [], "reload": [],
    "top": [], "plan": ["--all", "--memory", "--block-size", "--batch", "--rate", "--deadline", "--bbm"],
    "doctor": [], "metrics": ["--format", "--output"],
}


def read_to_end(terminal):
    """
    What is written to its other end, until that is closed, which is an error. Linux may say so before it gives what was
    written just then: not a second time.
    """
    for _ in range(2):
        with contextlib.suppress(OSError):
            while data := os.read(terminal, 65536):
                yield data


def on_terminal(daemon, *arguments, columns=80, first=None, **environment):
    """
    Runs eagersplitctl on a terminal; gives its status and what it printed there. first()
    is called when it has printed something; whatever it says on stderr then is its matter.
    """
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    env |= {"TERM": "xterm", "LC_ALL": "C.UTF-8"} | environment
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([CTL, f"--socket={daemon.socket_path}", *arguments], env=env,
                          stdout=theirs, stderr=subprocess.PIPE, text=True) as ctl:
        os.close(theirs)
        out = b""
        for data in read_to_end(ours):
            if first and not out:
                first()
            out += data
        _, err = ctl.communicate()
    os.close(ours)
    true(first or not err, err)
    return ctl.returncode, out.decode().replace("\r\n", "\n")


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text)


@test
def usage():
    """Wrong usage is told on stderr, with status 2"""
    for arguments in (
        ["nonsense"], ["status"], ["status", "a", "b"], ["register"], ["register", "x"],
        ["register", "0"], ["register", "99999999999"], ["migration", "a"], ["--nonsense"],
        ["--socket"], ["--socket=", "list"], ["prepare", "a", "--deadline=yesterday"], ["prepare", "a", "--deadline=60"],
        ["prepare", "a", "--tlbi-rate=-1"], ["list", "--wait"], ["host", "--name=x"],
        ["migration", "a", "completed", "--wait"],
        ["prepare"], ["prepare", "a", "--all"], ["prepare", "a", "--stagger=1s"], ["cancel"], ["complete"],
        ["cancel", "a", "--deadline=+1s"], ["complete", "a", "--wait"], ["prepare", "a", "--deadline=+1s", "--stagger=x"], ["--wait"], ["help", "nonsense"],
        ["help", "list", "host"], ["nonsense", "--help"], ["plan"], ["plan", "--memory=x"],
        ["plan", "--memory=0"], ["plan", "--memory=512"],
        ["plan", "--memory=1G", "--block-size=2048"], ["prepare", "a", "--deadline=2027-02-30"], ["plan", "--memory=1G", "--block-size=4K"],
        ["plan", "--memory=1G", "--rate=1.5"], ["plan", "a", "--memory=1G"], ["plan", "a", "--all"],
        ["plan", "a", "--rate=7"], ["metrics", "--format=xml"], ["top", "--json"], ["metrics", "--output="],
        ["metrics", "--json", "--output=metrics.prom"], ["migration", "a", "paused"], ["migration", "a", "none"], ["host", "--memory=1G"],
    ):
        status, out, err = run("--socket=/nonexistent", *arguments)
        equal((status, "" if "--json" in arguments else out), (2, ""), arguments)
        true(err, arguments)


@test
def usage_as_json():
    """Wrong usage is an object, too, wherever --json stands"""
    for wrong in "--nonsense", "-x", "--limit=x", "--json=yes", "--nonsense -x --limit=x":
        for arguments in ["--json", *wrong.split()], [*wrong.split(), "--json"], [*wrong.split(), "list", "-j"]:
            status, out, err = run("--socket=/nonexistent", *arguments)
            equal((status, out), (2, '{"error":"eagersplitctl.Usage","parameters":{}}\n'), arguments)
            # Each is told of, and where to look once.
            equal(len(err.splitlines()), len(wrong.split()) + (wrong != "--limit=x"), err)
        equal(run("--socket=/nonexistent", *wrong.split(), "--", "--json")[:2], (2, ""), wrong)


@test
def help_and_version():
    """--help and --version need no daemon"""
    for general in ["--help"], ["-h"], ["help"], ["help", "help"]:
        status, out, err = run(*general)
        equal((status, err), (0, ""))
        for word in *COMMANDS, "--socket", "--json", "--version":
            true(word in out, word)
        true(all(len(line) < 80 for line in out.splitlines()), out)
    for command, words in COMMANDS.items():
        for arguments in ["help", command], [command, "--help"]:
            status, out, err = run(*arguments)
            equal((status, err), (0, ""), command)
            true(out.startswith(f"eagersplitctl {command}"), out)
            true(all(len(line) < 80 for line in out.splitlines()), out)
            for word in words:
                true(word in out, (command, word))
            equal(len(re.findall(rf"^  eagersplitctl {command}\b", out, re.M)), 2, out)
            for other in {"--wait", "--name", "--memory", "--tlbi-rate"} - set(words):
                true(other not in out, (command, other))
    status, out, err = run("--version")
    equal((status, err), (0, ""))
    true(re.fullmatch(r"eagersplitctl \d+\.\d+.*\n", out), out)


@test
def mistyped():
    """Of a command that is mistyped it says which is meant, if that is plain"""
    for name, meant in ("lst", "list"), ("prepair", "prepare"), ("sttaus", "status"), ("tpo", "top"), ("histry", "history"):
        for arguments in [name], ["help", name]:
            status, out, err = run("--socket=/nonexistent", *arguments)
            equal((status, out), (2, ""))
            true(f'No such command: {name}\nDid you mean "{meant}"?\n' in err, err)
    for name in "nonsense", "x", "a" * 1000:
        true("Did you mean" not in run(name)[2], name)


@test
def legend_and_colours():
    """--no-legend leaves titles out, --color has the last word, -j is --json"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        equal(daemon.ctl("list", "--no-legend")[1].split()[0], "guest")
        equal(daemon.ctl("list", "-j")[1], daemon.ctl("list", "--json")[1])
        true("\x1b[32msplit\x1b[0m" in daemon.ctl("list", "--color=always")[1], "always")
        true("\x1b[" not in daemon.ctl("list", "--color=auto")[1], "auto, in a pipe")
        true("\x1b[" not in on_terminal(daemon, "list", "--color=never")[1], "never")
        equal(daemon.ctl("list", "--color=green")[0], 2)


@test
def not_running():
    """Without a daemon it says so and how to start it, with status 3"""
    for path in "/nonexistent/control.sock", "/run/eagersplitd/nobody.sock":
        status, out, err = run("--socket", path, "list")
        equal((status, out), (3, ""))
        true("not running" in err and path in err, err)
    with Daemon(**FAST) as daemon:
        path = daemon.socket_path
        daemon.stop()
        daemon.wait_until_refused()
        status, out, err = daemon.ctl("list")
        equal((status, out), (3, ""))
        true("not running" in err and path in err, err)


@test
def not_permitted():
    """Who may not connect is told what to do"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(**FAST) as daemon:
        # Where they can execute it, however it was built.
        nobody = {"program": shutil.copy(CTL, daemon.path("ctl")), "user": 65534, "group": 65534,
                  "extra_groups": []}
        for path in nobody["program"], daemon.folder:
            os.chmod(path, 0o755)
        status, out, err = daemon.ctl("list", **nobody)
        equal((status, out), (5, ""))
        true("Not permitted" in err and "root" in err, err)
        os.chmod(daemon.socket_path, 0o666)
        status, out, err = daemon.ctl("list", **nobody)
        equal((status, err), (0, ""))
        status, out, err = daemon.ctl("reload", **nobody)
        equal((status, out), (5, ""))
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
              (0, "guest: split 100%  0 blocks, 0 TLBIs\n"
                  "guest: all in pages, nothing was left to split.\n", ""))

        status, out, err = daemon.ctl("status", "guest")
        equal((status, err), (0, ""))
        true("0 B (0 blocks)" in out and "2,048 blocks, for 2,048 TLBIs" in out and "SLOT" in out, out)

        equal(daemon.ctl("migration", "guest", "active"),
              (0, "guest: migration active, stage split, 0 blocks left.\n", ""))
        equal(daemon.ctl("reload"), (0, "", ""))
        equal(daemon.ctl("unregister", "guest"), (0, "", ""))
        equal(daemon.ctl("list")[1].count("\n"), 1)


@test
def one_is_singular():
    """Of one block and one TLBI nothing is said in the plural"""
    with Daemon(TlbiRate=0, Memory="2M", TlbiUSec=0) as daemon, Vmm() as vmm:
        out = daemon.ctl("register", str(vmm.pid), "--name=guest")[1]
        out += daemon.ctl("status", "guest")[1]
        out += daemon.ctl("prepare", "guest", "--wait")[1]
        out += daemon.ctl("status", "guest")[1] + daemon.ctl()[1]
        for text in "2.0 MiB, 1 block.\n", "(1 block)", "split 1 block (2.0 MiB) in", "for 1 TLBI.\n", \
                    "1 block, for 1 TLBI\n", "1 TLBI, 1 block split":
            true(text in out, (text, out))
        equal(re.findall(r"\b1 (?:blocks|TLBIs)", out), [])
    out = run("plan", "--memory=2M", "--rate=1")[1]
    for text in "in 1 block of", "in 1 table of", "1.0s at 1 TLBI/s":
        true(text in out, (text, out))


@test
def refusals():
    """What the daemon refuses is said in words, with status 1; 4 where there is no such VM"""
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
            (["register", str(vmm.pid), "--name=other"],
             f'Process {vmm.pid} is registered already, as "guest"'),
            (["register", str(vmm.pid)], f'Process {vmm.pid} is registered already, as "guest"'),
            (["register", str(os.getpid()), "--name=guest"],
             f'The name "guest" is taken, by the VM of process {vmm.pid}'),
            (["register", "1", "--name=a/b"], 'Invalid value for "name".\nNames are'),
            (["register", "1", "--name=1234.5"], "do not look like an id, as 1234.5 does"),
            (["migration", "guest", "completed"], '"none" cannot become "completed"'),
        ):
            status, out, err = daemon.ctl(*arguments)
            equal((status, out), (4 if text.startswith("No ") else 1, ""), arguments)
            true(text in err, err)
        daemon.write_config("[Budget]\nTlbiRate=x\n")
        status, out, err = daemon.ctl("reload")
        equal((status, out), (1, ""))
        true(f"{daemon.config}:2: " in err, err)


@test
def unsupported():
    """Where the kernel lacks the ioctls it says so, and what to do"""
    with Daemon(Backend="kvm") as daemon, Vmm() as vmm:
        host = daemon.call("GetHost")["host"]
        equal(host["backend"], "kvm")
        if host["supported"]:
            raise Skip("this kernel has the ioctls")
        status, out, err = daemon.ctl("register", str(vmm.pid))
        equal((status, out), (1, ""))
        for text in "Refused: ", "make -C kernel debs", "--backend=sim", "eagersplitctl doctor":
            true(text in err, err)
        for command in [], ["host"]:
            status, out, err = daemon.ctl(*command)
            equal((status, err), (0, ""))
            true("not possible; \"eagersplitctl doctor\" says why" in out, out)


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
        equal((status, json.loads(out)), (4, {"error": "org.eagersplit.Manager.NoSuchVm",
                                             "parameters": {"vm": "nobody"}}))
        for arguments, expected, name in ((["list", "--wait"], 2, "Usage"), (["--nonsense"], 2, "Usage"),
                                          (["--socket=/nonexistent", "list"], 3, "NoDaemon"),
                                          (["prepare", "guest", "--deadline=2000-01-01"], 1, "Failed")):
            status, out, err = daemon.ctl("--json", *arguments)
            equal((status, json.loads(out)), (expected, {"error": f"eagersplitctl.{name}", "parameters": {}}))
            true(err, arguments)
        equal(json.loads(daemon.ctl("--json", "unregister", "guest")[1]), {})


@test
def deadlines():
    """--deadline and --tlbi-rate reach the daemon"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        equal(daemon.ctl("migration", "guest", "scheduled", "--deadline=@2000000000")[0], 0)
        equal(daemon.call("GetVm", vm="guest")["vm"]["deadlineUSec"], 2000000000 * 1000000)
        equal(daemon.ctl("migration", "guest", "scheduled", "--deadline=2033-05-18T03:33:20.5Z")[0], 0)
        equal(daemon.call("GetVm", vm="guest")["vm"]["deadlineUSec"], 2000000000 * 1000000 + 500000)
        status, out, _ = daemon.ctl("prepare", "guest", "--deadline=+1h", "--tlbi-rate=1/s")
        equal(status, 0)
        true("later than the deadline" in out, out)
        true("will be missed" in daemon.ctl("status", "guest")[1], "status")
        true("deadline will be missed" in daemon.ctl()[1], "summary")
        for command in ["prepare", "guest"], ["migration", "guest", "scheduled"]:
            equal(daemon.ctl(*command, "--deadline=2000-01-01 00:00"),
                  (1, "", "That deadline has passed.\n"), command)


@test
def ready_too_late():
    """prepare --wait fails if the VM was split only after its deadline"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        status, out, err = daemon.ctl("prepare", "guest", "--wait", "--deadline=1us")
        equal(status, 6)
        true("split 512 blocks" in out, out)
        true(re.fullmatch(r"guest: that is \S+ after the deadline\.\n", err), err)
        both = subprocess.run([CTL, f"--socket={daemon.socket_path}", "prepare", "guest", "--wait", "--deadline=1us"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
        true(both.splitlines()[-1].startswith("guest: that is "), both)
        equal(daemon.ctl("prepare", "guest", "--wait", "--deadline=+1h")[0], 0)
        lines = daemon.ctl()[1].splitlines()
        true(re.match(r"guest +scheduled +split .* -$", lines[7]), lines)


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
            equal(ctl.returncode, 4)
            true('No VM "guest"' in err, err)
        with start(daemon, "watch", stdout=subprocess.PIPE) as ctl, Vmm() as late:
            daemon.register(late, "late")
            while "late: migration none" not in ctl.stdout.readline():
                pass
            late.kill()
            for line in ctl.stdout:
                if "late: migration none" in line and line.endswith(", gone\n"):
                    break
            ctl.terminate()
        with start(daemon, "watch", "--json", "--timeout=3s", stdout=subprocess.PIPE) as ctl, Vmm() as other:
            daemon.register(other, "other")
            # It may be found, by its id, a moment before it is registered.
            while json.loads(ctl.stdout.readline())["vm"]["vm"] != "other":
                pass
            daemon.stop()
            _, err = ctl.communicate()
            equal(ctl.returncode, 3)
            true("closed the connection" in err, err)


@test
def prepare_is_given_up():
    """prepare --wait fails when the VM goes away or its migration is ended meanwhile"""
    for end, text, status in (
        (lambda daemon, vmm: vmm.kill(), 'No VM "guest"', 4),
        (lambda daemon, vmm: daemon.call("Unregister", vm="guest"), 'No VM "guest"', 4),
        (lambda daemon, vmm: daemon.migrate("guest", "cancelled"), "ended the migration", 1),
        (lambda daemon, vmm: daemon.migrate("guest", "completed"), "ended the migration", 1),
        (lambda daemon, vmm: daemon.stop(), "eagersplitd ", 3),
    ):
        with Daemon(**STUCK) as daemon, Vmm() as vmm:
            daemon.register(vmm, "guest")
            with start(daemon, "prepare", "guest", "--wait", stdout=subprocess.PIPE) as ctl:
                true(ctl.stdout.readline().startswith("guest: "), "the first line")
                end(daemon, vmm)
                _, err = ctl.communicate()
                equal(ctl.returncode, status, text)
                true(text in err, err)


@test
def several():
    """prepare, cancel and complete take several VMs; one that fails does not keep the others back"""
    deadline = 2000000000
    with Daemon(**FAST) as daemon, Vmm() as a, Vmm() as b, Vmm() as c:
        for vmm, name in (a, "a"), (b, "b"), (c, "c"):
            daemon.register(vmm, name)

        def vms():
            return {vm["vm"]: vm for vm in daemon.call("ListVms")["vms"]}

        status, out, err = daemon.ctl("prepare", "b", "nobody", "a", f"--deadline=@{deadline}", "--stagger=5min", "--wait")
        equal((status, err.count("\n")), (4, 1))
        true('No VM "nobody"' in err, err)
        equal([line for line in out.splitlines() if "split 512" in line][0].split(":")[0], "b")
        equal({n: (vm["migration"], vm["stage"], vm.get("deadlineUSec")) for n, vm in vms().items()},
              {"a": ("scheduled", "split", (deadline + 600) * 1000000),
               "b": ("scheduled", "split", deadline * 1000000), "c": ("none", "whole", None)})
        daemon.migrate("a", "active")
        equal(daemon.ctl("prepare", "--all", "--wait")[0], 0)
        equal({n: vm["migration"] for n, vm in vms().items()}, {"a": "active", "b": "scheduled", "c": "scheduled"})
        status, out, err = daemon.ctl("complete", "a", "b")
        equal((status, err), (0, ""))
        equal(out.splitlines(), [f"{n}: migration completed, stage split, 0 blocks left." for n in "ab"])
        status, out, err = daemon.ctl("cancel", "c", "a", "--wait")
        equal(status, 1)
        true('"completed" cannot become "cancelled"' in err, err)
        true(re.fullmatch(r"c: 512 blocks came back in .*, for 512 TLBIs; 1\.0 GiB in blocks\.", out.splitlines()[-1]), out)
        equal(vms()["c"]["stage"], "whole")
        equal(daemon.ctl("prepare", "--all", "a")[0], 2)
        status, out, err = daemon.ctl("prepare", "b", "c", "--deadline=1us", "--stagger=1h", "--wait")
        equal((status, err.count("after the deadline")), (6, 1))


@test
def split_while_another_is_waited_for():
    """What is split while another VM is waited for is not said to be late with that, nor to have taken as little as the rest"""
    deadline = 3
    with Daemon(TlbiRate=0, VmTlbiRate=128, TlbiUSec=0) as daemon, Vmm() as slow, Vmm() as quick:
        for vmm, name, blocks in (slow, "slow", 512), (quick, "quick", 1):
            daemon.create_vm(vmm, blocks=blocks)
            daemon.register(vmm, name)
        status, out, err = daemon.ctl("prepare", "slow", "quick", "--wait", f"--deadline=+{deadline}s")
        equal(status, 6)
        true(re.fullmatch(r"slow: that is \S+ after the deadline\.\n", err), err)
        said = {name: re.search(rf"^{name}: split {n} blocks? \(.*\) in (at most )?([\d.]+)s, for", out, re.M)
                for name, n in (("slow", 512), ("quick", 1))}
        true(all(said.values()), out)
        equal([m[1] for m in said.values()], [None, "at most "])
        # Both from when they were told.
        true(all(float(m[2]) >= deadline for m in said.values()), out)
        # The other way round both are seen, unless this machine stands still just then.
        for _ in range(5):
            equal(daemon.ctl("cancel", "slow", "quick", "--wait")[0], 0)
            status, out, err = daemon.ctl("prepare", "quick", "slow", "--wait", f"--deadline=+{deadline}s")
            equal(status, 6)
            if "at most" not in out:
                break
        true(re.search(r"^slow: that is \S+ after the deadline\.$", err, re.M) and "at most" not in out, (out, err))


@test
def recovering():
    """cancel --wait shows how far the blocks are back, on a terminal by a bar"""
    with Daemon(TlbiRate=0, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for command in ["cancel", "guest", "--wait"], ["migration", "guest", "failed", "--wait"]:
            equal(daemon.ctl("prepare", "guest", "--wait")[0], 0)
            status, out = on_terminal(daemon, *command)
            equal(status, 0)
            *bars, last = plain(out).rstrip("\n").split("\n")
            true(all(len(bar) < 80 for bar in "".join(bars).split("\r")), bars)
            true("[" in "".join(bars) and "guest: 2048 blocks came back in" in last, out)
        # There is nothing to come back any more.
        equal(daemon.ctl("prepare", "guest")[0], 0)
        status, out, err = daemon.ctl("cancel", "guest", "--wait", "--json")
        equal((status, err, json.loads(out.splitlines()[-1])["vm"]["stage"]), (0, "", "whole"))


@test
def names():
    """A name may have any character that libvirt lets it have: it is shown as a word, and taken as either"""
    odd = {"debian 12": "debian\\x2012", "B\u00fcro": "B\u00fcro", "a,b": "a,b", ".hidden": ".hidden", "-x": "-x",
           "back\\slash": "back\\x5cslash", "\u202eright": "\\xe2\\x80\\xaeright", "\U0001f427": "\U0001f427"}
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(**FAST))
        vmms = [stack.enter_context(Vmm()) for _ in odd]
        for name, vmm in zip(odd, vmms):
            daemon.register(vmm, name)
        env = os.environ | {"LC_ALL": "C.UTF-8"}
        out = daemon.ctl("list", env=env)[1]
        equal([line.split()[0] for line in out.splitlines()[1:]], list(odd.values()))
        for name, shown in odd.items():
            for given in name, shown:
                status, out, err = daemon.ctl("status", "--", given, env=env)
                equal((status, err, out.splitlines()[0]), (0, "", f"VM:         {shown}"))
        equal(daemon.ctl("prepare", "--wait", "--", "debian 12", "\\xe2\\x80\\xaeright", env=env)[0], 0)
        daemon.restart()
        equal({vm["vm"] for vm in daemon.call("ListVms")["vms"]}, set(odd))
        # Elsewhere it is shown by bytes.
        out = daemon.ctl("list", env=env | {"LC_ALL": "C"})[1]
        true("\nB\\xc3\\xbcro " in out, out)
        equal(daemon.ctl("status", str(vmms[0].pid), env=env)[1].splitlines()[0], "VM:         debian\\x2012")
        equal(daemon.ctl("status", "4194305")[0], 4)


@test
def names_like_escapes():
    """A VM whose name reads like another's as it is shown is told itself by prepare --all, and waited for"""
    odd = {"a\\x41": "a\\x5cx41", "aA": "aA"}
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(**FAST))
        for name in odd:
            daemon.register(stack.enter_context(Vmm()), name)
        status, out, err = daemon.ctl("prepare", "--all", "--wait")
        equal((status, err), (0, ""))
        equal([line.split(":")[0] for line in out.splitlines() if "split 512" in line], list(odd.values()))
        equal({vm["vm"]: vm["stage"] for vm in daemon.call("ListVms")["vms"]}, dict.fromkeys(odd, "split"))
        # One that is given is understood as it is shown.
        for given, name in ("a\\x41", "aA"), ("a\\x5cx41", "a\\x41"), ("aA", "aA"):
            equal(json.loads(daemon.ctl("status", given, "--json")[1])["vm"]["vm"], name)


def read_more(terminal, ctl):
    """What is shown there next; none of it comes where that has ended."""
    status = None
    while not select.select([terminal], [], [], 0.1)[0]:
        equal(status, None, "it has ended, with status")
        status = ctl.poll()
    return os.read(terminal, 65536)


def on_screen(daemon, keys, columns, rows):
    """
    What top shows on a terminal of that size: for each text the first screen with it in its title, and then the key
    is pressed; the last ends it.
    """
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm", "LC_ALL": "C.UTF-8"}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(theirs)
    screens, out = [], b""
    with subprocess.Popen([CTL, f"--socket={daemon.socket_path}", "top"], env=env, stdin=theirs, stdout=theirs,
                          stderr=subprocess.PIPE, text=True) as ctl:
        for title, key in keys.items():
            screen = []
            # Before that one it may have been drawn by the time alone.
            while title not in "".join(screen[3:4]):
                while b"\x1b[J" not in out:
                    out += read_more(ours, ctl)
                drawn, _, out = out.partition(b"\x1b[J")
                screen = plain(drawn.decode().split("\x1b[H")[-1]).replace("\r\n", "\n").split("\n")
            screens.append(screen)
            os.write(ours, key.encode())
        equal((ctl.wait(), ctl.stderr.read()), (0, ""))
    equal(termios.tcgetattr(theirs), before, "the terminal is as it was")
    os.close(theirs)
    os.close(ours)
    return screens


@test
def top():
    """top fills the terminal, and no more, at 60, 80 and 160 columns; keys sort; in a pipe it prints once"""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Daemon(**STUCK))
        names = [f"guest-{n:02}-{'x' * 40}" for n in range(30)]
        for name in names:
            daemon.register(stack.enter_context(Vmm()), name)
        daemon.migrate(names[7], "scheduled", deadlineUSec=2000000000 * 1000000)
        daemon.wait_for(names[7], lambda vm: vm["stage"] == "splitting")
        for columns in 60, 80, 160:
            screens = on_screen(daemon, {"By activity;": "n", "By name;": "r", "By name, reversed": "q"}, columns, 20)
            for screen in screens:
                true(all(len(line) <= columns for line in screen), screen)
                equal(len(screen), 20)
                true("30 VMs: 1 splitting" in screen[0] and screen[1].startswith("TLBIs: "), screen)
            true(screens[0][5].startswith("guest-07") and " splitting " in screens[0][5], screens[0])
            true(screens[1][5].startswith("guest-00"), screens[1])
            true(screens[2][5].startswith("guest-29"), screens[2])
        status, out, err = daemon.ctl("top")
        equal((status, err, len(out.splitlines())), (0, "", 34))
        equal(out.splitlines()[4].split()[:3], [names[7], "scheduled", "splitting"])


@test
def top_says_why_it_ends():
    """Why top ends is said once its screen is left, which would take it along"""
    env = os.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"}
    for end, reason in (Daemon.stop, "eagersplitd"), (lambda daemon: daemon.kill(signal.SIGSTOP), "has not answered within 5.0s"):
        with Daemon(**STUCK) as daemon:
            ours, theirs = pty.openpty()
            before = termios.tcgetattr(theirs)
            with subprocess.Popen([CTL, f"--socket={daemon.socket_path}", "--timeout=5s", "top"], env=env,
                                  stdin=theirs, stdout=theirs, stderr=theirs) as ctl:
                out = b""
                while b"\x1b[J" not in out:
                    out += read_more(ours, ctl)
                end(daemon)
                status = ctl.wait()
            if end is not Daemon.stop:
                daemon.kill(signal.SIGCONT)
            equal(status, 3)
            equal(termios.tcgetattr(theirs), before, "the terminal is as it was")
            os.close(theirs)
            out += b"".join(read_to_end(ours))
            os.close(ours)
            screen, left, said = out.decode().partition("\x1b[?1049l")
            true(left and "eagersplitd" not in screen, screen)
            true(reason in said, said)


@test
def restart():
    """prepare --wait and watch go on with the daemon that is started anew"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        with start(daemon, "prepare", "guest", "--wait", "--json", stdout=subprocess.PIPE) as prepare, \
                start(daemon, "watch", "guest", "--json", stdout=subprocess.PIPE) as watching:
            for ctl in prepare, watching:
                json.loads(ctl.stdout.readline())
            for number in signal.SIGTERM, signal.SIGKILL:
                daemon.restart(number)
            daemon.configure(**FAST)
            daemon.restart()
            out, err = prepare.communicate()
            equal((prepare.returncode, err), (0, ""))
            equal(json.loads(out.splitlines()[-1])["vm"]["stage"], "split")
            for line in watching.stdout:
                if json.loads(line)["vm"]["stage"] == "split":
                    break
            daemon.call("Unregister", vm="guest")
            equal((watching.wait(), watching.stderr.read().count("\n")), (4, 1))


@contextlib.contextmanager
def deaf(path):
    """What listens there takes one connection, and no more, and never answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(0)
        yield listener


@test
def timeout():
    """A daemon that hangs is given up after --timeout=, whether it takes the connection or not"""
    with tempfile.TemporaryDirectory() as folder, deaf(os.path.join(folder, "sock")) as listener:
        ctl = ["--socket", listener.getsockname(), "--timeout", "200ms"]
        for arguments in ["list"], ["metrics"], [], ["prepare", "guest", "--wait"]:
            status, out, err = run(*ctl, *arguments)
            equal((status, out, err), (3, "", "eagersplitd has not answered within 0.2s.\n"), arguments)
            listener.accept()[0].close()
        status, out, err = run(*ctl, "doctor", "--json")
        check, = (c for c in json.loads(out)["checks"] if c["check"] == "daemon")
        equal((status, err, check["status"], check["found"]), (1, "", "failed", "does not answer"))
        true("hangs" in check["advice"], check)
        listener.accept()[0].close()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
            equal(run(*ctl, "list")[0], 3)


@test
def names_in_refusals():
    """A name in what is refused is shown as a word, whatever the daemon says that it is"""
    name, shown = "a\x1b[31m \u202eb\\", "a\\x1b[31m\\x20\\xe2\\x80\\xaeb\\x5c"
    env = os.environ | {"LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryDirectory() as folder, deaf(os.path.join(folder, "sock")) as listener:
        for arguments, error, parameters, text in (
            (["register", "7"], "VmExists", {"pid": 7}, f'Process 7 is registered already, as "{shown}".\n'),
            (["register", "7", f"--name={name}"], "VmExists", {"pid": 8},
             f'The name "{shown}" is taken, by the VM of process 8.\n'),
            (["unregister", "a"], "NotKept", {"reason": "No space left on device"},
             f'Refused: what is known of "{shown}" can be neither written nor removed: No space left on device.\n'),
            (["watch", "a"], "NoSuchVm", {}, f'No VM "{shown}": "eagersplitctl list" shows those there are.\n'),
        ):
            with subprocess.Popen([CTL, "--socket", listener.getsockname(), *arguments], env=env,
                                  stderr=subprocess.PIPE, text=True) as ctl:
                with listener.accept()[0] as connection:
                    while not connection.recv(4096).endswith(b"\0"):
                        pass
                    connection.sendall(json.dumps({"error": f"org.eagersplit.Manager.{error}",
                                                   "parameters": {"vm": name} | parameters}).encode() + b"\0")
                    _, err = ctl.communicate()
                equal((ctl.returncode, err), (4 if error == "NoSuchVm" else 1, text))


@test
def terminal():
    """On a terminal prepare --wait draws a bar, no wider than the terminal"""
    with Daemon(TlbiRate=4000, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        status, out = on_terminal(daemon, "prepare", "guest", "--wait", NO_COLOR="1")
        equal(status, 0)
        *bars, last = out.rstrip("\n").split("\n")
        bars = [bar.removesuffix("\x1b[K") for bar in "".join(bars).split("\r")[1:]]
        true(len(bars) >= 2, out)
        for bar in bars:
            true(re.match(r"guest  \[#*\.*\] +\d+%  \d+ blocks", bar) and len(bar) < 80, bar)
        true("100%" in bars[-1], bars[-1])
        true(last.startswith("guest: split 2048 blocks (4.0 GiB) in "), last)


@test
def narrow_terminal():
    """Where a long name and 60 columns leave little room, the bar goes, then the TLBIs; nothing is cut"""
    name = "a-name-" + "x" * 60
    with Daemon(TlbiRate=4000, Memory="4G", TlbiUSec=0) as daemon, Vmm() as vmm:
        daemon.register(vmm, name)
        status, out = on_terminal(daemon, "prepare", name, "--wait", columns=60, NO_COLOR="1")
        equal(status, 0)
        bars = [bar.removesuffix("\x1b[K") for bar in out.split("\n")[0].split("\r")[1:]]
        true(len(bars) >= 2, out)
        for bar in bars:
            true(re.fullmatch(r"a-name-\S+ +\d+%  \d+ blocks(, \d+/s)?(, \d+ TLBIs)?(, \S+( \S+)? left)?", bar), bar)
            true(len(bar) < 60, bar)


@test
def summary():
    """Without a command it shows host and VMs; --json gives GetHost and ListVms in one"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, Vmm() as other:
        status, out, err = daemon.ctl()
        equal((status, err), (0, ""))
        true("VMs: 0" in out and "1/s, at most 1 at once" in out, out)
        daemon.register(vmm, "guest")
        daemon.register(other, "other")
        daemon.migrate("guest", "scheduled", deadlineUSec=1)
        lines = daemon.ctl()[1].splitlines()
        true("VMs: 2, 1 splitting, 1 late" in lines[4], lines)
        equal(lines[6].split(), ["VM", "MIGRATION", "STAGE", "MEMORY", "IN", "BLOCKS", "SPLIT", "IN", "DEADLINE"])
        true(re.match(r"guest +scheduled +splitting +8\.0 GiB +\S+ GiB .* has passed$", lines[7]), lines)
        true(re.match(r"other +none +whole +8\.0 GiB +8\.0 GiB +- +-$", lines[8]), lines)
        equal(len(lines), 9, lines)
        both = json.loads(daemon.ctl("--json")[1])
        equal(set(both), {"host", "vms"})
        equal([vm["vm"] for vm in both["vms"]], ["guest", "other"])
        equal(both["host"].keys(), daemon.call("GetHost")["host"].keys())


@test
def fits_the_terminal():
    """Tables fit the terminal, and are whole in a pipe; a name keeps both its ends"""
    name = "openstack-instance-4e2c5d7a-90af-4b1e-00001a"
    with Daemon(**STUCK) as daemon, Vmm() as vmm, Vmm() as other:
        daemon.register(vmm, name)
        daemon.register(other, "b")
        # While nothing changes yet.
        equal(on_terminal(daemon, "list", columns=200, COLUMNS="60"),
              on_terminal(daemon, "list", columns=60))
        daemon.migrate("b", "scheduled")
        whole = daemon.ctl("list")[1]
        true(name in whole and "TLBIS" in whole and "\x1b" not in whole, whole)
        equal(daemon.ctl("list", env=os.environ | {"COLUMNS": "40", "TERM": "xterm"})[1].count(name), 1)
        for command in [], ["list"], ["status", "b"], ["host"]:
            for columns in 60, 80, 120, 200:
                status, out = on_terminal(daemon, *command, columns=columns)
                equal(status, 0)
                for line in plain(out).splitlines():
                    true(len(line) <= columns, (columns, line))
                if command in ([], ["list"]):
                    true("MIGRATION" in out and re.search(r"^opens.*0001a", out, re.M), out)
                    equal(name in out, columns >= 120, (command, columns))


@test
def colours():
    """Colours are for terminals that have them, and for who wants them"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        for command in [], ["list"]:
            coloured = on_terminal(daemon, *command)[1]
            true("\x1b[" in coloured, coloured)
            for environment in {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}:
                equal(on_terminal(daemon, *command, **environment)[1], plain(coloured), environment)
        out = on_terminal(daemon, "list", LC_ALL="C", columns=30)[1]
        true(out.isascii(), out)


@test
def long_names():
    """watch and prepare --wait shorten a name that is too long for the terminal"""
    name = "a" * 60 + "-" + "z" * 60
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, name)
        status, out = on_terminal(daemon, "prepare", name, "--wait")
        equal(status, 0)
        *bars, last = plain(out).rstrip("\n").split("\n")
        for bar in "".join(bars).split("\r"):
            true(len(bar) < 80 and (not bar or re.match("a+\u2026z+ ", bar)), bar)
        true(name in last, last)
        status, out = on_terminal(daemon, "watch", name, first=vmm.kill)
        equal(status, 4)
        true(re.fullmatch(r"(\d\d:\d\d:\d\d  a+\u2026z+  scheduled  split       0 blocks\n)+", plain(out)), out)
        true(all(len(line) <= 80 for line in plain(out).splitlines()), out)


@test
def bar_without_cursor():
    """On a terminal that cannot draw over a line, progress is lines"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        status, out = on_terminal(daemon, "prepare", "guest", "--wait", TERM="dumb")
        equal(status, 0)
        true("\r" not in out and "\x1b" not in out and out.count("\n") >= 2, out)


@test
def plan_by_pauses():
    """plan, where VMs are split by pauses: each goes by VmPauseRate=, and none waits for another"""
    with Daemon(Memory="4G", BlockSize="2M", Method="pause", VmPauseRate=2) as daemon, Vmm() as a, Vmm() as b:
        daemon.register(a, "a")
        daemon.register(b, "b")
        status, out, err = daemon.ctl("plan", "--all", "--deadline=+1s", "--json")
        planned = json.loads(out)
        equal([(vm["blocks"], vm["timeUSec"], vm["late"]) for vm in planned["vms"]], [(2048, 2000000, True)] * 2)
        equal((status, err, planned["blocksAhead"], planned["blocksPerSecond"]), (6, "", 0, 1024))
        out = daemon.ctl("plan", "a")[1]
        true("\nAt 1,024 blocks/s each, by pauses.\n" in out, out)


@test
def plan_of_vms():
    """plan VM... and plan --all say who will be split in time, behind what is under way"""
    with Daemon(TlbiRate=1, TlbiBurst=1, Memory="2G", BlockSize="2M", TlbiUSec=0) as daemon, \
            Vmm() as a, Vmm() as b, Vmm() as c:
        for vmm, name in (a, "a"), (b, "b"), (c, "c"):
            daemon.register(vmm, name)
        # Nothing is known but the budget: 1024 blocks each.
        status, out, err = daemon.ctl("plan", "b", "a", "--deadline=+20min")
        equal((status, err), (6, ""))
        lines = [line.split() for line in out.splitlines()]
        equal(lines[0], ["VM", "BLOCKS", "SPLIT", "IN", "IN", "TIME"])
        equal(lines[1][:5], ["b", "1024", "17min", "4s", "yes,"])
        equal(lines[2][:6], ["a", "1024", "34min", "8s", "no,", "by"])
        true("\nAt 1 blocks/s (one a TLBI), behind 0 blocks.\n" in out, out)
        equal(daemon.ctl("plan", "b", "--deadline=+20min")[0], 0)
        planned = json.loads(daemon.ctl("plan", "--all", "--json")[1])
        equal([(vm["vm"], vm["blocks"], vm["timeUSec"], vm["late"]) for vm in planned["vms"]],
              [("a", 1024, 1024000000, False), ("b", 1024, 2048000000, False), ("c", 1024, 3072000000, False)])
        equal((planned["blocksAhead"], planned["blocksPerSecond"]), (0, 1))
        daemon.migrate("c", "scheduled")
        with daemon.client() as client:
            for vm in client.watch("c"):
                if vm["blocksSplit"]:
                    break
        planned = json.loads(daemon.ctl("plan", "a", "--json")[1])
        true(0 < planned["blocksAhead"] < 1024, planned)
        for columns in 60, 80, 160:
            status, out = on_terminal(daemon, "plan", "--all", "--deadline=+1h", columns=columns)
            true(all(len(line) <= columns for line in plain(out).splitlines()), out)
        equal(daemon.ctl("plan", "nobody")[0], 4)
        equal({vm["migration"] for vm in daemon.call("ListVms")["vms"]}, {"none", "scheduled"})


@test
def doctor():
    """doctor makes each check, says what to do about what failed, and tells by its status"""
    def checks(**arguments):
        status, out, err = run(*(f"--{k}={v}" for k, v in arguments.items()), "doctor", "--json")
        equal(err, "")
        found = {c["check"]: c for c in json.loads(out)["checks"]}
        equal(status, int(any(c["status"] == "failed" for c in found.values())))
        for check in found.values():
            true(check["status"] in ("ok", "warning", "failed", "skipped") and check["found"], check)
            true(check["advice"] or check["status"] != "failed", check)
        return found

    alone = checks(socket="/nonexistent")
    equal(list(alone), ["architecture", "/dev/kvm", "kernel", "FEAT_BBM", "huge pages", "ptrace",
                        "service", "metrics", "socket", "daemon"])
    equal((alone["socket"]["status"], alone["daemon"]["status"]), ("failed", "skipped"))
    equal(alone["architecture"]["found"], os.uname().machine)
    with Daemon(**FAST) as daemon:
        found = checks(socket=daemon.socket_path)
        equal((found["socket"]["status"], found["daemon"]["status"]), ("ok", "warning"))
        true("simulated" in found["daemon"]["advice"], found["daemon"])
        status, out, err = daemon.ctl("doctor")
        equal(err, "")
        lines = out.splitlines()
        equal([line[:7].strip() for line in lines if line and line[0] != " "][:len(found)],
              [c["status"] for c in found.values()])
        status, out = on_terminal(daemon, "doctor", columns=80)
        true(all(len(line) <= 80 for line in plain(out).splitlines()), out)
        # On the bus, where everybody may send it something.
        with Bus(daemon.path("bus"), None) as bus:
            status, out, err = daemon.ctl("doctor", env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus.address})
            equal(err, "")
            bus.left.acquire()


@test
def plan():
    """plan reckons rate, time and page tables without a daemon"""
    status, out, err = run("plan", "--memory=512G", "--block-size=2M", "--deadline=60s")
    equal((status, err), (0, ""))
    for text in "262,144 blocks", "FEAT_BBM level 2", "512, one for 512 blocks", "262,144 where", "9 TLBIs/s", "1.0 GiB in 262,144 tables of 4.0 KiB":
        true(text in out, (text, out))
    status, out, err = run("plan", "--memory=64G", "--batch=1", "--rate=1000")
    equal((status, err), (0, ""))
    true("33s at 1,000 TLBIs/s" in out, out)
    equal(run("plan", "--memory=64G", "--batch=1", "--rate=1K/s")[1], out)
    for batch in "0", "513", "x":
        equal(run("plan", "--memory=64G", f"--batch={batch}")[0], 2)
    true("the default" in run("plan", "--memory=64G")[1], "default")
    true("none a block" in run("plan", "--memory=64G", "--bbm")[1], "bbm")
    status, out, err = run("plan", "--memory=512G", "--block-size=1G", "--rate=1", "--deadline=+60s", "--json")
    equal((status, err), (6, ""))
    equal(json.loads(out), {
        "memory": 512 << 30, "blockSize": 1 << 30, "pageSize": 4096, "blocks": 512, "tlbis": 1024,
        "mostTlbis": 512 * 513, "tables": 512 * 513, "tableBytes": 512 * 513 * 4096, "leastRate": 18, "rate": 1,
        "timeUSec": 1024000000, "late": True})
    status, out, err = run("plan", "--memory=1G", "--deadline=2000-01-01")
    equal((status, out), (1, ""))
    true("has passed" in err, err)


COMPLETION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../completion/eagersplitctl")


def complete(*words):
    """What bash offers for the last of these words, which it has split at "=" and the like, too."""
    script = """
        source "$1" || exit
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _eagersplitctl
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    r = subprocess.run(["bash", "-c", script, "-", COMPLETION, CTL, *words], text=True,
                       capture_output=True, check=True)
    equal(r.stderr, "")
    return r.stdout.split()


@test
def completion():
    """bash completes commands, options, VMs, states"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm, Vmm() as other:
        daemon.register(vmm, "guest-1")
        daemon.register(other, "other")
        there = ["--socket", "=", daemon.socket_path]
        equal(set(complete("")), set(COMMANDS) | {"help"})
        equal(complete("re"), ["register", "reload"])
        equal(complete("help", "re"), ["register", "reload"])
        for command in "status", "unregister", "migration", "prepare", "watch", "cancel", "complete", "history":
            equal(complete(*there, command, ""), ["guest-1", "other"], command)
            equal(complete(*there, "--json", command, "g"), ["guest-1"], command)
        equal(complete(*there, "status", "guest-1", ""), [])
        equal(complete(*there, "cancel", "guest-1", ""), ["guest-1", "other"])
        equal(complete(*there, "list", ""), [])
        equal(complete("migration", "guest-1", "ca"), ["cancelled"])
        equal(complete("--socket", "=", "/nonexistent", "status", ""), [])
        equal(complete("--socket", "=", daemon.folder + "/eager"), [daemon.config])
        for words in ["--socket", daemon.socket_path], ["--timeout", "5s", "--socket", daemon.socket_path]:
            equal(complete(*words, "status", ""), ["guest-1", "other"])
        equal(complete("--socket", daemon.folder + "/eager"), [daemon.config])
        equal(complete("plan", "--block-size", ""), ["2M", "1G", "32M", "512M"])
        equal(complete("plan", "--block-size", "="), ["2M", "1G", "32M", "512M"])
        equal(complete("plan", "--block-size", "=", "5"), ["512M"])
        equal(complete("metrics", "--format=p"), ["--format=prometheus"])
        equal(complete("--j"), ["--json"])
        equal(complete("--color", "n"), ["never"])
        for command, words in COMMANDS.items():
            offered = complete(command, "--")
            for word in words:
                true(not word.startswith("--") or word in offered or word + "=" in offered, (command, word))


@test
def completion_elsewhere():
    """The completions for zsh and fish know each command and option; fish, where it is, completes them"""
    for name in "_eagersplitctl", "eagersplitctl.fish":
        with open(os.path.join(os.path.dirname(COMPLETION), name), encoding="utf-8") as f:
            text = f.read()
        for command, words in COMMANDS.items():
            true(f"'{command}:" in text or f"-a {command} " in text, (name, command))
            for word in words:
                true(word in text or f"-l {word[2:]} " in text, (name, word))
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n", os.path.join(os.path.dirname(COMPLETION), "_eagersplitctl")], check=True)
    if not shutil.which("fish"):
        raise Skip("no fish here")
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest-1")
        env = os.environ | {"PATH": f"{os.path.dirname(CTL)}:{os.environ['PATH']}", "HOME": daemon.folder}
        for line, expected in (("re", ["register", "reload"]), (f"--socket {daemon.socket_path} prepare guest-1 g", ["guest-1"]),
                               (f"--socket={daemon.socket_path} status ", ["guest-1"]), ("migration guest-1 ca", ["cancelled"]),
                               ("plan --block-size ", ["2M", "1G", "32M", "512M"]), ("list g", [])):
            r = subprocess.run(["fish", "-c", f"source {os.path.dirname(COMPLETION)}/eagersplitctl.fish; "
                                              f"complete -C 'eagersplitctl {line}'"], env=env, capture_output=True,
                               text=True, check=True)
            equal(sorted(l.split("\t")[0] for l in r.stdout.splitlines()), sorted(expected), line)


def type_in_bash(folder, *lines):
    """
    What interactive bash, in that folder, has made of each of these command lines, typed to it
    on a terminal: the last of its arguments. All is there before it has read any.
    """
    ours, theirs = pty.openpty()
    env = {"PATH": f"{os.path.dirname(CTL)}:{os.environ['PATH']}", "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": "$ "}
    with subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs,
                          stderr=theirs, env=env, cwd=folder, start_new_session=True):
        os.close(theirs)
        os.write(ours, f"source {os.path.abspath(COMPLETION)}\n".encode())
        for line in lines:
            # To its beginning and end, to have its arguments printed instead.
            os.write(ours, line.encode() + b"\x01set -- \x05\nprintf '\\n<%s>\\n' \"${@: -1}\"\n")
        os.write(ours, b"exit\n")
        out = b"".join(read_to_end(ours))
    os.close(ours)
    return re.findall(r"^<(.*)>\r?$", out.decode(), re.M)


@test
def completion_of_names():
    """Names with characters at which bash splits words are completed as well, as one types them"""
    with Daemon(**STUCK) as daemon, Vmm() as a, Vmm() as b, Vmm() as c:
        for vmm, name in (a, "site:web:1"), (b, "site:db"), (c, "user@host"):
            daemon.register(vmm, name)
        ctl = "eagersplitctl --socket=control.sock "
        equal(type_in_bash(daemon.folder, ctl + "status si\t", ctl + "status site:w\t", ctl + "prepare site:web:\t",
                           ctl + "watch us\t", ctl + "unregister user@\t", ctl + "status user@h\t",
                           ctl + "migration site:db ac\t", "eagersplitctl --socket=control.s\t"),
              ["site:", "site:web:1", "site:web:1", "user@host", "user@host", "user@host", "active",
               "--socket=control.sock"])


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
