#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration, and reading it again."""

import os
import signal
import subprocess

from harness import DAEMON, FAST, STUCK, Daemon, NotifySocket, Vmm, configuration
from tap import equal, main, test, true


def budget(daemon):
    host = daemon.call("GetHost")["host"]
    return host["tlbiRate"], host["tlbiBurst"]


def reload_by_signal(daemon):
    daemon.kill(signal.SIGHUP)
    daemon.notify.wait_for("RELOADING", "1")
    daemon.notify.wait_for("READY", "1")


@test
def defaults():
    """An empty file gives the defaults of the documentation"""
    with Daemon(arguments=["--backend=sim"]) as daemon:
        daemon.write_config("")
        equal(daemon.call("Reload"), {})
        equal(budget(daemon), (1000, 20))


@test
def drop_ins():
    """Drop-ins are read after the file, in order of their names; only *.conf"""
    with Daemon(TlbiRate=1, TlbiBurst=2) as daemon:
        folder = daemon.config + ".d"
        os.mkdir(folder)
        for name, text in (
            ("50-b.conf", "[Budget]\nTlbiRate=50\n"),
            ("10-a.conf", "[Budget]\nTlbiRate=10\nTlbiBurst=11\n"),
            ("90-c.conf.bak", "[Budget]\nTlbiRate=90\n"),
        ):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        daemon.call("Reload")
        equal(budget(daemon), (50, 11))


@test
def sighup():
    """SIGHUP reads the configuration again, and tells the service manager"""
    with Daemon(TlbiRate=100) as daemon:
        daemon.configure(TlbiRate=200)
        reload_by_signal(daemon)
        equal(budget(daemon)[0], 200)


@test
def bad_line():
    """A bad line is refused by file and line, and nothing at all changes"""
    cases = [
        ("TlbiRate=-1", "TlbiRate"),
        ("TlbiRate=many", "TlbiRate"),
        ("TlbiRate=99999999999999999999", "TlbiRate"),
        ("TlbiBurst=0", "TlbiBurst"),
        ("[Split]\nBackend=magic", "Backend"),
        ("[Split]\nBbm=perhaps", "Bbm"),
        ("[Sim]\nMemory=lots", "Memory"),
        ("[Sim]\nBlockSize=3M", "BlockSize"),
        ("[Sim]\nBbmLevel=1", "BbmLevel"),
        ("no assignment", ""),
        ("[Unfinished", ""),
    ]
    with Daemon(TlbiRate=100, TlbiBurst=10) as daemon:
        for text, name in cases:
            daemon.write_config(f"[Budget]\nTlbiBurst=77\n{text}\n")
            line = 3 + text.count("\n")
            error, parameters = daemon.error("Reload")
            equal(error, "InvalidConfiguration", text)
            true(parameters["reason"].startswith(f"{daemon.config}:{line}: "), parameters["reason"])
            true(name in parameters["reason"], parameters["reason"])
            equal(budget(daemon), (100, 10), text)


@test
def bad_line_by_signal():
    """A bad line on SIGHUP is logged, changes nothing, and the daemon stays ready"""
    with Daemon(TlbiRate=100) as daemon:
        daemon.write_config("[Budget]\nTlbiRate=x\n")
        reload_by_signal(daemon)
        daemon.wait_for_log(f"{daemon.config}:2: ")
        equal(budget(daemon)[0], 100)


@test
def bad_drop_in():
    """A bad line in a drop-in names the drop-in"""
    with Daemon(TlbiRate=100) as daemon:
        os.mkdir(daemon.config + ".d")
        path = os.path.join(daemon.config + ".d", "x.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write("# fine\n\n[Budget]\nTlbiRate=\n")
        reason = daemon.error("Reload")[1]["reason"]
        true(reason.startswith(f"{path}:4: "), reason)


@test
def no_file():
    """A configuration that is a fifo, a device, a folder or endless is refused, and waited for by nobody"""
    def make_endless(path):
        with open(path, "wb") as f:
            f.truncate(1 << 40)

    kinds = {
        "not a regular file": [os.mkfifo, lambda path: os.symlink("/dev/zero", path)],
        "Is a directory": [os.mkdir],
        "larger than 1 MiB": [make_endless],
    }
    with Daemon(TlbiRate=100) as daemon:
        os.mkdir(daemon.config + ".d")
        drop_in = os.path.join(daemon.config + ".d", "x.conf")
        for reason, ways in kinds.items():
            for make in ways:
                make(drop_in)
                equal(daemon.error("Reload"), ("InvalidConfiguration", {"reason": f"{drop_in}: {reason}"}))
                equal(budget(daemon)[0], 100)
                (os.rmdir if os.path.isdir(drop_in) else os.unlink)(drop_in)
        os.unlink(daemon.config)
        os.mkfifo(daemon.config)
        # At the start, too.
        r = subprocess.run([DAEMON, f"--config={daemon.config}", f"--socket={daemon.path('other')}"],
                           capture_output=True, text=True, check=False)
        equal((r.returncode, r.stderr), (1, f"eagersplitd: {daemon.config}: not a regular file\n"))


@test
def unknown_settings():
    """An unknown setting is warned about with file and line, and the rest is taken"""
    with Daemon(TlbiRate=100) as daemon:
        daemon.write_config("[Budget]\nTlbiRate=0\n")
        daemon.call("Reload")
        daemon.wait_for_log("reloaded: TLBIs 1% of the time, burst")
        daemon.write_config("[Budget]\nTlbiRat=7\nTlbiRate=300\n[Nonsense]\nX=1\n")
        daemon.call("Reload")
        equal(budget(daemon)[0], 300)
        for line in 2, 4:
            daemon.wait_for_log(f"{daemon.config}:{line}: ")


def check_config(*arguments):
    r = subprocess.run([DAEMON, "--check-config", *arguments], capture_output=True, text=True,
                       check=False)
    equal(r.stderr, "")
    return r.returncode, r.stdout


@test
def check():
    """--check-config prints all that is wrong, fails on errors, not on warnings"""
    with Daemon(**FAST) as daemon:
        equal(check_config(f"--config={daemon.config}"), (0, ""))
        os.mkdir(daemon.config + ".d")
        drop_in = os.path.join(daemon.config + ".d", "x.conf")
        with open(drop_in, "w", encoding="utf-8") as f:
            f.write("[Budget]\nTlbiRat=7\n")
        warning = f"warning: {drop_in}:2: unknown setting TlbiRat= in section [Budget], ignored\n"
        equal(check_config(f"--config={daemon.config}"), (0, warning))
        daemon.write_config("[Budget]\nTlbiBurst=0\n[Weather]\nRain=1\nnothing\n")
        equal(check_config(f"--config={daemon.config}"), (
            1, f"{daemon.config}:2: TlbiBurst=0: not between 1 and 1000000000\n"
               f"warning: {daemon.config}:3: unknown section [Weather], ignored\n"
               f"{daemon.config}:5: neither [Section] nor Setting=value\n" + warning))
        missing = daemon.path("missing")
        equal(check_config(f"--config={missing}"), (1, f"{missing}: No such file or directory\n"))
        # It looks, and touches nothing: the daemon is as it was.
        true("host" in daemon.call("GetHost"), "the daemon serves")


@test
def burst_that_caps_the_rate():
    """A burst that is small for the rate is warned of, and follows it unless set"""
    with Daemon(TlbiRate=1000000) as daemon:
        equal(budget(daemon), (1000000, 20000))
        equal(check_config(f"--config={daemon.config}"), (0, ""))
        daemon.configure(TlbiRate=1000000, TlbiBurst=16)
        equal(check_config(f"--config={daemon.config}"), (
            0, f"warning: {daemon.config}: TlbiBurst=16 caps TlbiRate=1000000, which takes 125000 calls a second with it: "
               "auto is 20000\n"))
        daemon.configure(TlbiRate=1000, TlbiBurst=1)
        equal(check_config(f"--config={daemon.config}"), (0, ""))


@test
def units():
    """Rates and times may have units"""
    with Daemon(TlbiRate="2K/s", TlbiUSec="1ms", Memory="8GiB") as daemon, Vmm() as vmm:
        equal(budget(daemon)[0], 2000)
        equal(daemon.register(vmm, "guest")["bytes"], 8 << 30)


@test
def bad_at_start():
    """A daemon does not start on a bad file, and says where it is bad"""
    with Daemon(**FAST) as daemon:
        path = daemon.path("bad.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write("[Split]\nBackend=sim\n[Budget]\nTlbiRate=x\n")
        notify = NotifySocket(daemon.path("notify2.sock"))
        r = subprocess.run([DAEMON, f"--config={path}", f"--socket={daemon.path('two.sock')}"],
                           env=dict(os.environ, NOTIFY_SOCKET=notify.path), capture_output=True,
                           text=True, check=False)
        notify.close()
        true(r.returncode != 0, "it started")
        true(f"{path}:4: " in r.stderr, r.stderr)


@test
def missing_file():
    """A file that was asked for must be there"""
    with Daemon(**FAST) as daemon:
        path = daemon.path("nothing.conf")
        r = subprocess.run([DAEMON, f"--config={path}", f"--socket={daemon.path('two.sock')}"],
                           capture_output=True, text=True, check=False)
        true(r.returncode != 0, "it started")
        true(path in r.stderr, r.stderr)


@test
def rate_takes_effect():
    """A new rate reaches VMs that are being split"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.configure(**(STUCK | {"TlbiRate": 0}))
        daemon.call("Reload")
        equal(daemon.wait_for_stage("guest", "split")["blocks"], 0)


@test
def socket_in_use():
    """A second daemon does not take the socket of the first; one left behind is replaced"""
    with Daemon(**FAST) as daemon:
        folder = daemon.path("folder")
        os.mkdir(folder)
        r = subprocess.run([DAEMON, f"--config={daemon.config}", f"--socket={daemon.socket_path}"],
                           env=dict(os.environ, RUNTIME_DIRECTORY=folder), capture_output=True, text=True,
                           check=False)
        true(r.returncode != 0, "it started")
        true(daemon.socket_path in r.stderr, r.stderr)
        true("host" in daemon.call("GetHost"), "the first serves")
    with Daemon(**FAST) as daemon:
        daemon.kill(signal.SIGKILL)
        daemon.notify.wait_for("EXITED", str(-signal.SIGKILL))
        true(os.path.exists(daemon.socket_path), "left behind")
        daemon.start()
        daemon.notify.wait_for("READY", "1")
        true("host" in daemon.call("GetHost"), "the second serves")


if __name__ == "__main__":
    main()
