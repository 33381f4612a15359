#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may do what over the control socket."""

import grp
import os
import traceback

from harness import FAST, Daemon, Vmm
from tap import Skip, equal, main, test, true

CHANGES = "Register", "Unregister", "SetMigrationState", "Reload"
DENIED = "org.varlink.service.PermissionDenied"
USER, GROUP, OTHER = 65534, 64321, 64322


def run_as(function, uid=USER, gid=USER, groups=()):
    """Runs it in a process of another user, whose id it gives, once it has succeeded."""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            function()
            os._exit(0)
        except BaseException:  # whatever it is, it ends here
            traceback.print_exc()
        finally:
            os._exit(1)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    return pid


def open_to_all(daemon):
    os.chmod(daemon.folder, 0o755)
    os.chmod(daemon.socket_path, 0o666)


def look(daemon):
    daemon.call("GetHost")
    daemon.call("ListVms")
    daemon.call("GetVm", vm="guest")
    daemon.call("org.eagersplit.Metrics.GetMetrics")
    daemon.call("org.varlink.service.GetInfo")
    with daemon.client() as client:
        next(client.watch("guest"))


def look_and_try_to_change(daemon):
    look(daemon)
    for method in CHANGES:
        # Before anything is said of the parameters.
        equal(daemon.error(method), (DENIED, {}), method)


def change(daemon):
    look(daemon)
    daemon.migrate("guest", "scheduled")
    daemon.wait_for_stage("guest", "split")
    daemon.migrate("guest", "completed")
    daemon.call("Reload")


def denials(daemon):
    metrics = daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]
    return {r["error"]: r["count"] for r in metrics["refusals"]}.get(DENIED, 0)


@test
def others():
    """Others may look but not change anything, where the socket lets them in"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        equal(os.stat(daemon.socket_path).st_mode & 0o777, 0o660)
        open_to_all(daemon)
        pid = run_as(lambda: look_and_try_to_change(daemon))
        for method in CHANGES:
            line = f"org.eagersplit.Manager.{method} refused: process {pid} (uid {USER})"
            equal(daemon.whole_log().count(line), 1, line)
        equal(denials(daemon), len(CHANGES))
        equal(daemon.call("GetVm", vm="guest")["vm"]["migration"], "none")


# A daemon of USER, which the folder belongs to and the program can be executed by.
AS_USER = ["sh", "-c", f"""
folder=${{2#--config=}} folder=${{folder%/*}}
cp "$1" "$folder/daemon"
shift
chown -R {USER} "$folder"
exec setpriv --reuid={USER} --clear-groups "$folder/daemon" "$@"
""", "sh"]


@test
def user_of_the_daemon():
    """Whom the daemon runs as may change something, for it could anyway; other users may not"""
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Daemon(wrapper=AS_USER, **FAST) as daemon:
        open_to_all(daemon)
        run_as(lambda: daemon.call("Reload"))
        run_as(lambda: equal(daemon.error("Reload"), (DENIED, {})), uid=USER - 1)


@test
def group_of_the_socket():
    """Members of the socket's group may look, others do not get in"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        os.chmod(daemon.folder, 0o755)

        def not_let_in():
            try:
                daemon.client()
                raise AssertionError("it got in")
            except PermissionError:
                pass

        run_as(not_let_in)
        os.chown(daemon.socket_path, 0, GROUP)
        run_as(not_let_in)
        run_as(lambda: look_and_try_to_change(daemon), gid=GROUP)
        run_as(lambda: look_and_try_to_change(daemon), groups=[OTHER, GROUP])


@test
def group_that_may_change():
    """Members of Group= may change something: by group id or supplementary groups, however many"""
    with Daemon(Group=GROUP, **FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        open_to_all(daemon)
        run_as(lambda: change(daemon), gid=GROUP)
        run_as(lambda: change(daemon), groups=[OTHER, GROUP])
        run_as(lambda: change(daemon), groups=[*range(10000, 10500), GROUP])
        equal(denials(daemon), 0)
        run_as(lambda: look_and_try_to_change(daemon), gid=OTHER, groups=range(10000, 10500))
        equal(denials(daemon), len(CHANGES))


@test
def reload_changes_the_group():
    """Reload changes who may, also for connections that are there; a bad group changes nothing"""
    with Daemon(Group=GROUP, **FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        open_to_all(daemon)

        def lock_oneself_out():
            with daemon.client() as client:
                daemon.configure(Group="no such group", **FAST)
                equal(daemon.error("Reload")[0], "InvalidConfiguration")
                client.call("SetMigrationState", vm="guest", migration="scheduled")
                daemon.configure(Group=OTHER, **FAST)
                client.call("Reload")
                equal(daemon.error("Reload"), (DENIED, {}))

        os.chmod(daemon.config, 0o666)
        run_as(lock_oneself_out, gid=GROUP)
        run_as(lambda: change(daemon), gid=OTHER)


@test
def names():
    """Group= takes a name"""
    # Debian's nogroup is called nobody elsewhere.
    with Daemon(Group=grp.getgrgid(65534).gr_name, **FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        open_to_all(daemon)
        run_as(lambda: change(daemon), gid=65534)
        run_as(lambda: look_and_try_to_change(daemon), gid=OTHER)


@test
def refusals_do_not_flood_the_log():
    """A thousand refusals are counted each, and do not fill the log"""
    with Daemon(**FAST) as daemon:
        open_to_all(daemon)

        def try_again_and_again():
            with daemon.client() as client:
                for _ in range(1000):
                    client.send("Reload")
                for _ in range(1000):
                    equal(client.receive(), {"error": DENIED, "parameters": {}})

        run_as(try_again_and_again)
        equal(denials(daemon), 1000)
        lines = daemon.whole_log().count("refused: process")
        true(0 < lines < 1000, f"{lines} lines")


if __name__ == "__main__":
    main()
