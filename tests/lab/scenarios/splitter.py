# SPDX-License-Identifier: GPL-2.0-or-later
"""A splitter: its hold ends with it, it tells what happens, and it does not keep the VM."""

import signal

from host.vmm import BLOCK, MIB, Vmm

ORDER = 18
SERIES = ("eager-split", "bbm")
CPUS = {"eager-split": ("neoverse-n1",), "bbm": ("max", "max-bbm")}
SYSTEMD = False
DEBUG = True

SIZE = 16
BLOCKS = SIZE * MIB // BLOCK
# VMs one after the other, each with splitters that outlive it
MANY = 40
LONG_MANY = 200
DEBUG_MANY = 10


def make(lab, mib=SIZE):
    vmm = Vmm(lab)
    vmm.add(mib=mib)
    vmm.work("populate", 1, step=64)
    return vmm


def owned_hold(lab):
    """Held by as many as hold it; each hold ends with its owner's file."""
    vmm = make(lab)
    first, second = lab.new_splitter(vmm.pid), lab.new_splitter(vmm.pid)
    lab.eq(first.ask("foreign")["error"], "EIO", "another process: other ioctls of the VM are refused")
    lab.eq(first.survey()["id"], second.survey()["id"], "two splitters of a VM: its id")
    first.ask("hold")
    first.ask("hold")
    second.ask("hold")
    lab.eq([(s["holders"], s["mine"]) for s in (first.survey(), second.survey())], [(2, 1), (2, 1)],
           "held by both, once each")
    lab.eq(second.ask("recover")["error"], "EBUSY", "held: recovering is refused")
    second.ask("release")
    lab.eq([(s["holders"], s["mine"]) for s in (first.survey(), second.survey())], [(1, 1), (1, 0)],
           "one has let go")
    second.ask("release")
    lab.eq(first.survey()["holders"], 1, "who has no hold does not end another's: holders")
    second.ask("hold")
    first.close()
    lab.wait_for("the hold to end with close()", lambda: second.survey()["holders"] == 1)
    third = lab.new_splitter(vmm.pid)
    second.kill()
    lab.wait_for("the hold to end with SIGKILL", lambda: third.survey()["holders"] == 0)
    lab.eq(third.ask("recover")["error"], None, "no hold is left")
    other = make(lab, mib=2)
    lab.ok(lab.survey(other.pid)["id"] not in (0, third.survey()["id"]), "another VM: another id")
    other.quit()
    vmm.quit()


def told(lab):
    """poll() tells of dirty logging until the next survey, and of the VM's end."""
    vmm = make(lab)
    splitter = lab.new_splitter(vmm.pid)
    lab.eq(splitter.poll(), (0, 0), "poll: nothing to tell")
    for on, what in ((1, "on"), (0, "off")):
        splitter.tell("poll", wait=1)
        vmm.call("log", 1, on=on)
        answer = splitter.answer()
        lab.eq((answer["in"], answer["hup"]), (1, 0), f"poll: dirty logging was switched {what}")
        lab.eq(splitter.poll(), (1, 0), f"poll, {what}: it goes on telling")
        lab.eq(splitter.survey()["slot"][-1]["flags"], on, f"poll, {what}: the survey has it")
        lab.eq(splitter.poll(), (0, 0), f"poll, {what}: told")
    splitter.tell("poll", wait=1)
    vmm.quit()
    answer = splitter.answer()
    lab.eq(answer["hup"], 1, "poll: the VM is gone")
    for command in ("survey", "hold", "release", "split", "recover"):
        lab.eq(splitter.ask(command)["error"], "ENODEV", f"{command}: the VM is gone")
    splitter.close()


def killed(lab):
    """A VMM that is killed while it is split, and many that come and go: nothing of them stays."""
    pages = lab.free_huge_pages()
    many = DEBUG_MANY if lab.debug else LONG_MANY if lab.long else MANY
    for number in range(many):
        vmm = make(lab, mib=2 * (1 + number % 4))
        splitter = lab.new_splitter(vmm.pid)
        splitter.ask("hold")
        splitter.tell("split", max=1)
        if number % 2:
            splitter.answer()
        vmm.process.send_signal(signal.SIGKILL)
        vmm.process.wait()
        lab.wait_for("the huge pages", lambda: lab.free_huge_pages() == pages)
        if not number % 2:
            splitter.answer()
        lab.wait_for("the hang-up", lambda one=splitter: one.poll() == (0, 1))
        splitter.close()
    lab.ok(True, f"{many} VMMs killed, their splitters open: their memory is free")
    lab.wait_for("the VMs to go", lambda: lab.vms() == 0)
    lab.ok(True, f"{many} VMMs killed: KVM has no VM left")


def bad_requests(lab):
    vmm = make(lab)
    end = 1 << 40
    for flags, options, what in (
            ("0", {}, "nothing to do"), ("8", {}, "an unknown flag"), ("split+recover", {}, "both ways"),
            ("recover+break", {}, "a flag that does not belong"), ("split", {"reserved": 1}, "reserved"),
            ("split", {"gpa": 2048}, "an address within a page"), ("split", {"size": 1}, "a size within a page"),
            ("split", {"gpa": end + 4096}, "an address beyond the end"),
            ("split", {"gpa": 4096, "size": end}, "a range beyond the end"),
            ("split", {"gpa": 4096, "size": (1 << 64) - 4096}, "a range that wraps around")):
        lab.eq(lab.split(vmm.pid, flags, **options)["error"], "EINVAL", f"refused: {what}")
    lab.eq(vmm.leaves(), (0, BLOCKS, 0), "refused: no block was split")
    done = lab.split(vmm.pid, "split", max=(1 << 64) - 1, blocks=(1 << 64) - 1)
    lab.eq((done["error"], done["blocks"], done["size"]), (None, BLOCKS, 0), "no limit, by numbers")
    done = lab.split(vmm.pid, "recover", gpa=end)
    lab.eq((done["error"], done["blocks"], done["size"]), (None, 0, 0), "an empty range at the end")
    vmm.quit()


def run(lab):
    lab.huge_pages(SIZE * 2 + 8)
    owned_hold(lab)
    told(lab)
    killed(lab)
    bad_requests(lab)
