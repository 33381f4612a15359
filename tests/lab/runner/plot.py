# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws counts as bars: the picture in README.md, an SVG for light and dark backgrounds."""

from statistics import median
from xml.sax.saxutils import escape

from runner.boot import broadcasts

# What is counted for the one half, and on which kernel; the other half is of migrations.
GIB, GIB_BASE = "gib", "linux-6.12"
WIDTH, MARGIN, GAP = 820, 16, 36
BAR, ROW, HEAD = 16, 40, 58
# Of a dark text on a light ground, and the other way round where the viewer prefers that.
STYLE = """
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.note, .label { fill: #59636e }
.note { font-size: 12px }
.theirs { fill: #8c959f }
.ours { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note, .label { fill: #9198a1 }
.theirs { fill: #6e7681 }
.ours { fill: #3fb950 }
}
"""


def figures(migrations, gib):
    """
    What is to be drawn: (title, note, [(name, count, whether it is ours)]) for each group of bars.
    migrations: {way: its stage-2 faults, a list}; gib: {whether patched: {name: TLBIs}}.
    """
    first = [(way, median(counts), "prepared" in way.split(",")[0]) for way, counts in migrations.items()]
    runs = max(map(len, migrations.values()))
    of_many = f"; median of {runs} migrations" if runs > 1 else ""
    yield ("Stage-2 faults while a guest migrates", f"128 MiB in blocks of 2 MiB, mostly read{of_many}", first)
    theirs = f"{GIB_BASE.replace('linux-', 'Linux ')}, eager splitting"
    yield ("Broadcast TLBIs for 1 GiB of blocks", "512 blocks of 2 MiB", [
        (f"{theirs}: when logging begins", gib[False]["split"], False),
        ("ours: ahead, from a budget", gib[True]["split"], True),
        (f"{theirs}: back to blocks, in vCPU faults", gib[False]["recovered"], False),
        ("ours: back to blocks", gib[True]["recovered"], True)])


def gib_counts(rows):
    """{name: TLBIs} of the rows of the scenario gib."""
    return {columns["name"]: broadcasts(counts) for columns, counts in rows}


def _bars(x, width, title, note, bars):
    """One group, as lines of SVG."""
    most = max(count for _, count, _ in bars)
    yield f'<text class="title" x="{x}" y="24">{escape(title)}</text>'
    yield f'<text class="note" x="{x}" y="42">{escape(note)}</text>'
    for number, (name, count, ours) in enumerate(bars):
        y = HEAD + number * ROW
        # Room for the number behind the longest; what is not nothing is to be seen.
        length = max(1.5, (width - 60) * count / most) if count else 0
        yield f'<text class="label" x="{x}" y="{y + 12}">{escape(name)}</text>'
        yield (f'<rect class="{"ours" if ours else "theirs"}" x="{x}" y="{y + 17}" width="{length:.1f}" '
               f'height="{BAR}" rx="1.5"/>')
        yield f'<text x="{x + length + 6:.1f}" y="{y + 30}">{count:,.0f}</text>'


def svg(groups):
    """The picture, as text."""
    groups = list(groups)
    width = (WIDTH - 2 * MARGIN - GAP * (len(groups) - 1)) // len(groups)
    height = HEAD + max(len(bars) for _, _, bars in groups) * ROW + MARGIN
    said = "; ".join(f"{title}: " + ", ".join(f"{name} {count:.0f}" for name, count, _ in bars)
                     for title, _, bars in groups)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
             f'height="{height}" role="img">', f"<title>{escape(said)}</title>", f"<style>{STYLE}</style>"]
    for number, group in enumerate(groups):
        lines += _bars(MARGIN + number * (width + GAP), width, *group)
    return "\n".join([*lines, "</svg>", ""])
