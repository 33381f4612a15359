# SPDX-License-Identifier: GPL-2.0-or-later
"""Two emulated hosts with a network of their own: the first runs scenarios, the other one does what those ask it to."""

import tempfile

from runner.boot import broadcasts

SCENARIO = "two-hosts"
# As the Debian image's /etc/hosts has them
NAMES = ("host-a", "host-b")
ADDRESSES = ("10.0.0.1", "10.0.0.2")
# What goes by the network are guests' memories: by frames as large as there are, which cost an emulator least.
MTU = 32768

COLUMNS = {"ahead": "TLBIs spent ahead", "faults": "stage-2 faults", "broadcast": "broadcast TLBIs by address",
           "taken": "to take memory away", "back": "to get the blocks back", "arriving": "stage-2 faults on the target",
           "spent": "broadcast TLBIs there", "blocks": "blocks there", "rounds": "after rounds of the guest"}


class Network:
    """What wires the two to each other: sockets of this machine's, that nobody else gets at."""

    def __init__(self):
        # Where their paths are short enough, whatever the lab's own folder is called.
        self._folder = tempfile.TemporaryDirectory(prefix="lab-")

    def devices(self, number):
        """The network card of a host."""
        own, other = (f"{self._folder.name}/{NAMES[n]}" for n in (number, 1 - number))
        return ["-netdev", f"dgram,id=net,local.type=unix,local.path={own},remote.type=unix,remote.path={other}",
                "-device", f"virtio-net-pci,netdev=net,mac=52:54:00:00:00:0{number + 1},host_mtu={MTU},romfile="]

    def close(self):
        self._folder.cleanup()


def parameters(number):
    """What the host is called, and whether it serves the other one, as kernel, systemd and host/main.py are told."""
    name = NAMES[number]
    return f"ip={ADDRESSES[number]}:::255.255.255.0:{name}:eth0:off systemd.hostname={name} " \
           f"systemd.machine_id={number + 1:032x} lab.serves={number}"


def table(boot):
    """After its run: the scenario's rows as Markdown."""
    lines = ["| migrated | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for columns, _ in boot.rows(SCENARIO):
        cells = [_cell(boot, columns.get(key, "-")) for key in COLUMNS]
        lines.append(f"| {columns['way']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(boot, value):
    """One that was counted in phases of a host is {"host": N, "phases": [...], "kinds": [...]}; none: all broadcasts."""
    if not isinstance(value, dict):
        return str(value)
    counts = boot.counts(value["host"])
    total = 0
    for phase in value["phases"]:
        one = counts.get(phase, {})
        total += sum(one.get(kind, 0) for kind in value["kinds"]) if value["kinds"] else broadcasts(one)
    return str(total)
