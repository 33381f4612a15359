# SPDX-License-Identifier: GPL-2.0-or-later
"""What migrations took, on one kernel and the other: rows of the scenario `migration`, compared and shown."""

from statistics import median

from runner.boot import broadcasts

SCENARIO = "migration"
# What the names of ways begin with
STOCK, PREPARED = "Linux ", "prepared ahead"
# And what those of QEMU's own splitting have in them
EAGER = "eager-split-size"
# A guest that reads mostly takes at most one in so many of stock's faults.
GAIN = 10
GAINS = "reads mostly"
COLUMNS = {"faults": "stage-2 faults", "exits": "vCPU exits", "broadcast": "broadcast TLBIs by address",
           "all": "all broadcast TLBIs", "ahead": "TLBIs spent ahead", "pages": "pages transferred",
           "iterations": "iterations"}
# Stage-2 TLBIs of one address, for all CPUs: no vCPU's fault makes another kind, and nobody else this one, but for
# a kernel that splits eagerly by a TLBI a block.
IN_FAULTS = ("ipas2e1is", "ipas2le1is", "ripas2e1is", "ripas2le1is")


class Migrations:
    """The figures of each migration, by CPU, load of the guest and way."""

    def __init__(self):
        self._figures = {}

    def take(self, cpu, rows):
        """rows: [(columns, {kind of TLBI: count})], as Boot.rows() has them."""
        for columns, counts in rows:
            key = (cpu, columns["load"], columns["way"])
            broadcast = sum(counts.get(kind, 0) for kind in IN_FAULTS)
            self._figures.setdefault(key, []).append({**columns, "broadcast": broadcast, "all": broadcasts(counts)})

    def compare(self, tap):
        """Tests: the worst that was prepared ahead against the best that was not."""
        for cpu, load, way in sorted(self._figures):
            if load != GAINS or not way.startswith(PREPARED):
                continue
            name = f"{cpu} migration: {way}, {load}: at most a tenth of stock's stage-2 faults"
            stock = self._stock(cpu, load)
            if not stock:
                tap.skip(name, "the stock kernel is not part of this run")
                continue
            worst = max(one["faults"] for one in self._figures[cpu, load, way])
            best = min(one["faults"] for one in stock)
            tap.test(worst * GAIN <= best, f"{name} ({worst} of {best})")

    def faults(self, cpu, load=GAINS):
        """{way: the stage-2 faults of each migration} on this CPU, stock first."""
        return {way: [one["faults"] for one in runs] for (on, what, way), runs in
                sorted(self._figures.items(), key=_order) if (on, what) == (cpu, load)}

    def _stock(self, cpu, load):
        for key, runs in self._figures.items():
            if key[:2] == (cpu, load) and key[2].startswith(STOCK) and EAGER not in key[2]:
                return runs
        return None

    def table(self):
        """As Markdown: medians, and the range where there is one."""
        lines = ["| CPU | the guest | migrated | " + " | ".join(COLUMNS.values()) + " |",
                 "|---|---|---|" + "--:|" * len(COLUMNS)]
        for (cpu, load, way), runs in sorted(self._figures.items(), key=_order):
            cells = [_cell([one[column] for one in runs]) for column in COLUMNS]
            lines.append(f"| {cpu} | {load} | {way} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def _order(item):
    (cpu, load, way), _ = item
    return cpu != "neoverse-n1", load, way.startswith(PREPARED), not way.startswith(STOCK), way


def _cell(values):
    low, high = min(values), max(values)
    middle = median(values)
    text = f"{middle:g}" if middle != int(middle) else str(int(middle))
    return text if low == high else f"{text} ({low}–{high})"
