#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./configure adds by itself against those who break the programs' memory, read from their ELF files."""

import os
import re
import shlex
import subprocess
import tempfile

from tap import Skip, equal, main, test, true

PROGRAMS = [os.environ["EAGERSPLITD"], os.environ["EAGERSPLITCTL"],
            os.path.join(os.path.dirname(os.environ["EAGERSPLITD"]), "eagersplitd-fetch")]


def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, program], capture_output=True, text=True,
                          check=True).stdout


def each_program(option, mark, what):
    if not os.environ.get("HARDENING", "").strip():
        raise Skip("configured without hardening, as for the sanitizers")
    for program in PROGRAMS:
        true(mark in readelf(program, option), f"{os.path.basename(program)} has no {what}")


@test
def relocations_are_read_only():
    """All relocations are made at start, and read-only after that."""
    each_program("--segments", "GNU_RELRO", "RELRO")
    each_program("--dynamic", "BIND_NOW", "BIND_NOW")


@test
def addresses_are_random():
    """The programs lie at random addresses."""
    each_program("--dynamic", "PIE", "PIE")


@test
def stack_is_watched():
    """Functions with buffers on the stack see that those have run over."""
    each_program("--symbols", "__stack_chk_fail", "stack protector")
    for program in PROGRAMS:
        stack = next(line for line in readelf(program, "--segments").splitlines() if "GNU_STACK" in line)
        true("RWE" not in stack, f"{os.path.basename(program)} has an executable stack")


@test
def buffers_are_checked():
    """The C library checks the sizes of the buffers it is given."""
    if "_FORTIFY_SOURCE" not in os.environ.get("HARDENING", ""):
        raise Skip("built without optimization, which FORTIFY needs, or CPPFLAGS or CFLAGS say of it what they like")
    each_program("--symbols", "__snprintf_chk", "FORTIFY")


@test
def fortify_of_others_wins():
    """What CPPFLAGS or CFLAGS say of FORTIFY is left to them."""
    source = os.path.abspath(os.environ["SRCDIR"])
    if os.path.exists(os.path.join(source, "config.status")):
        raise Skip("built among the sources: ./configure runs nowhere else then")
    as_built = shlex.split(subprocess.run(["./config.status", "--config"], cwd=os.environ["BUILDDIR"], text=True,
                                          capture_output=True, check=True).stdout)
    for said in "CPPFLAGS=-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=1", "CFLAGS=-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=1":
        with tempfile.TemporaryDirectory(prefix="eagersplitd-configure-") as folder:
            r = subprocess.run([os.path.join(source, "configure"), "-q", "--no-create", *as_built, f"--srcdir={source}",
                                said], cwd=folder,
                               capture_output=True, text=True, check=False)
            equal(r.returncode, 0, r.stdout + r.stderr)
            with open(os.path.join(folder, "config.status"), encoding="utf-8") as f:
                flags, = re.findall(r'^S\["HARDEN_CFLAGS"\]="(.*)"$', f.read(), re.M)
            true("_FORTIFY_SOURCE" not in flags, f"{said}, and HARDEN_CFLAGS={flags}")


if __name__ == "__main__":
    main()
