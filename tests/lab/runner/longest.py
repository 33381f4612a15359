# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the scenario `longest-fault` as a table: what a migration costs the guest's vCPUs, at worst."""

SCENARIO = "longest-fault"
HEAD = ["the guest", "vCPUs", "migrated", "stage-2 faults", "all of them, in 1000 instructions", "the longest",
        "the longest wait for `mmu_lock`"]


def table(rows):
    """As Markdown. rows: columns of each migration, of all boots; each cell has the least and the most of a kind."""
    kinds = {}
    for row in rows:
        kinds.setdefault((row["load"], row["vcpus"], row["way"]), []).append(row)
    lines = ["| " + " | ".join(HEAD) + " |", "|---|--:|---|--:|--:|--:|--:|"]
    for (load, vcpus, way), runs in sorted(kinds.items(), key=lambda item: (item[0][:2], "ahead" in item[0][2])):
        cells = [_range([run[column] for run in runs]) for column in ("faults", "took", "longest", "stall")]
        lines.append(f"| {load} | {vcpus} | {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _range(values):
    if None in values:
        return "not counted"
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
