# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts with libvirt and the daemon's package: a guest is migrated from one to the other and back.

Announced by virsh-migrate-split, by nobody, called off, failed, by post-copy, with huge pages and with transparent
ones, and while memory is taken from the guest. What it costs the target to have the guest's memory in blocks is
counted, too. The figures are printed as a table.
"""

from host.lab import Failed
from host.pair import Domain, Pair

ORDER = 95
SERIES = ("bbm",)
CPUS = ("neoverse-n1",)
SYSTEMD = True
DEBUG = False
LONG = True
PARTS = ("package", "guest")
CONFIGS = ("net",)
HOSTS = 2

MIB = 128
BALLOON = 32
# What UEFI leaves a guest less of
FIRMWARE = 64
HUGE = "<hugepages/>"
# QEMU asks for transparent ones.
TRANSPARENT = "<nosharepages/>"
RATE, BURST = 400, 8
# In blocks, whatever the guest's kernel has touched besides.
WORKED_ON = MIB * 3 // 4 // 2
SPLIT = "/usr/share/doc/eagersplitd/examples/virsh-migrate-split"
# TLBIs that a vCPU's fault takes to break a block
IN_FAULTS = ("ipas2e1is", "ipas2le1is", "ripas2e1is", "ripas2le1is")


class Case:
    """One migration of a guest: what is counted on both hosts, phase by phase."""

    def __init__(self, lab, guest, name):
        self.lab = lab
        self.guest = guest
        self.name = name
        self.source, self.target = guest.source, guest.target
        self.host = guest.where
        # By its process: what it is called is a test of its own.
        self.vm_id = str(self.source.pid(guest.name))
        self.before = self.vm()
        self.blocks = self.source.leaves(guest.name)[0]
        lab.ok(self.blocks >= WORKED_ON, f"{name}: the guest is mapped by blocks", self.blocks)
        self.row = {"way": name}

    def ok(self, good, name, why=""):
        self.lab.ok(good, f"{self.name}: {name}", why)

    def eq(self, got, want, name):
        self.lab.eq(got, want, f"{self.name}: {name}")

    def phase(self, name):
        return self.guest.pair.phase(f"{self.name}: {name}")

    def vm(self):
        return self.source.vm(self.vm_id)

    def script(self, *options):
        """Starts virsh-migrate-split, and waits until all is split."""
        guest = self.guest
        phase = self.phase("preparing")
        job = guest.by(SPLIT, "-c", "qemu:///system", guest.name, guest.uri, "--persistent", "--undefinesource",
                       *options)
        vm = self.wait_vm(job, "it is split", lambda vm: vm["stage"] == "split")
        # A block that comes alone, as the guest goes on, is invalidated by its address.
        self.lab.at_most(phase, f"{self.name}: no broadcast TLBI while it is prepared but the daemon's", host=self.host,
                         broadcast=vm["tlbis"] - self.before["tlbis"])
        return job

    def wait_vm(self, job, what, good):
        """Until the daemon says so of the VM, while the job goes on."""
        def check():
            ended = self.source.job(job)
            if ended:
                raise Failed(f"{self.name}: ended before {what}: {ended}")
            vm = self.vm()
            return vm if good(vm) else None
        return self.lab.wait_for(f"{self.name}: {what}", check)

    def on_its_way(self, job):
        """Until memory is, slowly, and the guest has gone over all of its own. Returns the phase."""
        self.source.count_faults(self.guest.name)
        phase = self.phase("migrating")
        self.row["broadcast"] = {"host": self.host, "phases": [phase], "kinds": IN_FAULTS}
        vm = self.wait_vm(job, "its pages are logged, and all is split", lambda vm: vm["stage"] == "split" and
                          vm["migration"] == "active" and any(slot["dirtyLogging"] for slot in vm["memslots"]))
        self.row["ahead"] = vm["tlbis"] - self.before["tlbis"]
        self.guest.wait_rounds()
        self.eq([self.vm()["blocks"], self.source.leaves(self.guest.name)[0]], [0, 0],
                "no block is left while memory is on its way")
        return phase

    def arrives(self, job, phase, go_on=None):
        """To its end, at full speed unless go_on does it, and until the guest is mapped by blocks where it is then."""
        guest, lab = self.guest, self.lab
        self.target.count_faults(guest.name)
        (go_on or guest.full_speed)()
        self.eq(guest.ended(job)[0], 0, "libvirt has migrated it")
        self.row["faults"] = self.source.faults(guest.name)
        arrived = self.phase("arrived")
        guest.arrived()
        begun = guest.rounds()[-1][0]
        guest.wait_rounds()
        blocks, tables = self.target.wait_blocks(guest.name, WORKED_ON)
        rounds = guest.rounds()[-1][0] - begun
        guest.pair.phase_end()
        self.row.update(arriving=self.target.faults(guest.name), blocks=blocks, rounds=rounds,
                        spent={"host": 1 - self.host, "phases": [phase, arrived], "kinds": ()})
        lab.note(f"{self.name}: {blocks} blocks and {tables} tables on the target")
        self.eq(self.target.held(guest.name), 0, "nobody holds it on the target")
        guest.intact(f"{self.name}: the guest runs on there, its memory is intact before, meanwhile and after")

    def told(self, prepared):
        """
        What the source's daemon has kept of it. libvirt ends QEMU before virsh returns, so that the VM is gone when
        virsh-migrate-split says how it ended; of one that nobody has announced, nobody says so.
        """
        last = self.source.history()[-1]
        self.lab.note(f"{self.name}: the daemon's history: {last}")
        self.eq([last["prepared"], last["outcome"]], [prepared, "completed" if prepared == "ahead" else "gone"],
                "the daemon's history says how it was prepared, and how it ended")

    def done(self):
        self.lab.row(0, **self.row)


def named(lab, guest):
    """By the name that libvirt gave it, and by that which it gave to systemd-machined."""
    found = guest.source.found(guest.name)
    number = guest.source.virsh("domid", guest.name).strip()
    machine = f"qemu-{number}-{guest.name}"
    lab.ok(machine in guest.source.must("machinectl", "list", "--no-legend"),
           "names: libvirt has registered the guest with systemd-machined")
    lab.eq([guest.source.known_as(name) for name in (machine, guest.name)], [found["pid"]] * 2,
           "names: the daemon knows it by that name, and by libvirt's")
    lab.note(f"the daemon calls it {found['vm']}")


def announced(lab, guest, name):
    case = Case(lab, guest, name)
    job = case.script()
    phase = case.on_its_way(job)
    lab.expect(phase, f"{name}: no broadcast TLBI in vCPU faults while it migrates", host=case.host,
               **dict.fromkeys(IN_FAULTS, 0))
    case.arrives(job, phase)
    case.told("ahead")
    case.done()


def unannounced(lab, guest, name):
    """The daemon sees that dirty logging begins."""
    case = Case(lab, guest, name)
    job = guest.migrate()
    phase = case.on_its_way(job)
    case.arrives(job, phase)
    case.told("found")
    case.done()


def stays(case, job, call_off, outcome):
    """It does not happen: what was split comes back."""
    guest, lab = case.guest, case.lab
    phase = case.phase("calling off")
    call_off()
    status, output = guest.ended(job)
    case.ok(status, "libvirt has not migrated it", output)
    case.source.wait_stage(case.vm_id, "whole")
    guest.pair.phase_end()
    case.row.update(faults=case.source.faults(guest.name), back={"host": case.host, "phases": [phase], "kinds": ()})
    # One that a fault split, before the daemon came, has a table that is not full: that goes in the next fault on it.
    blocks, _ = case.source.wait_blocks(guest.name, case.blocks * 99 // 100)
    lab.note(f"{case.name}: {blocks} of {case.blocks} blocks are back")
    lab.at_most(phase, f"{case.name}: at most a TLBI a block, counted by the emulator", host=case.host,
                wide=case.blocks)
    case.eq([case.vm()["migration"], case.source.held(guest.name)], [outcome, 0],
            "the daemon knows, and nobody holds it")
    lab.wait_for("the target to have nothing left of it", lambda: not case.target.pid(guest.name))
    guest.intact(f"{case.name}: the guest runs on where it was, its memory is intact")
    case.done()


def aborted(lab, guest):
    case = Case(lab, guest, "announced, virsh domjobabort")
    job = case.script()
    case.on_its_way(job)
    stays(case, job, lambda: case.source.virsh("domjobabort", guest.name), "failed")


def failed(lab, guest):
    """The source's libvirt speaks with the target's itself, and sees that it is gone."""
    case = Case(lab, guest, "unannounced, the target's libvirtd killed")
    job = guest.migrate("--p2p")
    case.on_its_way(job)
    stays(case, job, lambda: case.target.kill_service("libvirtd.service"), "cancelled")


def post_copy(lab, guest, name):
    case = Case(lab, guest, name)
    job = case.script("--postcopy")
    phase = case.on_its_way(job)
    case.arrives(job, phase, lambda: case.source.virsh("migrate-postcopy", guest.name))
    case.told("ahead")
    case.done()


def with_huge_pages(lab, pair):
    guest = Domain(lab, pair, "guest", MIB, HUGE)
    guest.start()
    guest.intact("huge pages: before, memory is intact")
    named(lab, guest)
    announced(lab, guest, "announced by virsh-migrate-split")
    named(lab, guest)
    unannounced(lab, guest, "unannounced, virsh migrate")
    aborted(lab, guest)
    failed(lab, guest)
    post_copy(lab, guest, "announced, post-copy")
    guest.stop()


def with_transparent_pages(lab, pair):
    """Post-copy comes by single pages, and what makes huge ones of those is khugepaged."""
    guest = Domain(lab, pair, "transparent", MIB, TRANSPARENT)
    guest.start()
    guest.intact("transparent huge pages: before, memory is intact")
    announced(lab, guest, "THP, announced")
    unannounced(lab, guest, "THP, unannounced")
    guest.target.hurry_collapsing()
    post_copy(lab, guest, "THP, announced, post-copy")
    guest.stop()


def balloon(lab, guest, mib):
    """Waits until it leaves the guest so much."""
    lab.wait_for(f"a balloon that leaves {mib} MiB",
                 lambda: guest.source.qmp(guest.name, "query-balloon")["return"]["actual"] == mib << 20)


def ballooned(lab, pair):
    """While it migrates the guest gives memory back, as QEMU is told: libvirt changes no guest that it migrates."""
    guest = Domain(lab, pair, "ballooned", MIB + BALLOON, HUGE, work=MIB * 3 // 4)
    guest.start()
    case = Case(lab, guest, "announced, a balloon inflated meanwhile")
    job = case.script()
    phase = case.on_its_way(job)
    taking = case.phase("inflating")
    guest.source.qmp(guest.name, "balloon", value=MIB << 20)
    balloon(lab, guest, MIB)
    case.row["taken"] = {"host": case.host, "phases": [taking], "kinds": ()}
    case.arrives(job, case.phase("migrating, inflated"))
    lab.expect(phase, f"{case.name}: no broadcast TLBI in vCPU faults before", host=case.host,
               **dict.fromkeys(IN_FAULTS, 0))
    case.told("ahead")
    guest.source.virsh("setmem", guest.name, f"{MIB + BALLOON}M", "--live")
    balloon(lab, guest, MIB + BALLOON)
    guest.intact(f"{case.name}: and once it is deflated on the target")
    case.done()
    guest.stop()


def unplugged(lab, pair):
    """A DIMM is taken away when its memslot is split: later, QEMU takes none."""
    guest = Domain(lab, pair, "plugged", MIB + FIRMWARE, HUGE, work=MIB * 3 // 4, plugs=MIB)
    guest.start()
    memory, dimm = guest.source.slots(guest.name)
    case = Case(lab, guest, "announced, a DIMM unplugged when split")
    case.ok(dimm["blocks"] >= WORKED_ON, "the guest works on what is in the DIMM", dimm)
    guest.source.must("eagersplitctl", "prepare", case.vm_id, "--wait")
    case.eq(guest.source.leaves(guest.name)[0], 0, "no block is left, nor in the DIMM")
    taking = case.phase("unplugging")
    guest.unplug()
    lab.wait_for("the DIMM to be gone",
                 lambda: [slot["gpa"] for slot in guest.source.slots(guest.name)] == [memory["gpa"]])
    guest.pair.phase_end()
    case.row["taken"] = {"host": case.host, "phases": [taking], "kinds": ()}
    job = case.script()
    phase = case.on_its_way(job)
    lab.expect(phase, f"{case.name}: no broadcast TLBI in vCPU faults while it migrates", host=case.host,
               **dict.fromkeys(IN_FAULTS, 0))
    case.arrives(job, phase)
    case.told("ahead")
    case.done()
    guest.stop()


def run(lab):
    with Pair(lab, 4 * MIB, rate=RATE, burst=BURST) as pair:
        lab.eq([line.endswith(": install ok installed") for line in pair.installed], [True, True],
               "the daemon's package is installed on both")
        with_huge_pages(lab, pair)
        with_transparent_pages(lab, pair)
        ballooned(lab, pair)
        unplugged(lab, pair)
