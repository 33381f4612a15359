# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot is made of: kernel images, Debian image, programs, and the disk for one run."""

import compileall
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from runner import processes

LAB = Path(__file__).resolve().parent.parent
TOP = LAB.parent.parent
# What kernel/scripts/source ends with where Debian does not have that kernel any more
NOT_TO_BE_HAD = 77
BUILD = Path(os.environ.get("LAB_BUILD", TOP / "build" / "lab"))

# What a command may take: a kernel on a slow machine, which has waited for another one to be built
HOURS = 3


class BuildError(Exception):
    """A part could not be made; the message has the end of what was said."""


def _run(argv, **options):
    with processes.start(argv, signal.SIGTERM, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=HOURS * 3600)
        except subprocess.TimeoutExpired:
            raise BuildError(f"{' '.join(map(str, argv))}: not done after {HOURS} hours") from None
        finally:
            processes.end(process)
    processes.go_on()
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def run(*argv, cwd=TOP):
    """Runs a command; returns its standard output, shows nothing where it succeeds."""
    result = _run([str(a) for a in argv], cwd=cwd)
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).splitlines()[-40:])
        raise BuildError(f"{' '.join(map(str, argv))}: status {result.returncode}\n{tail}")
    return result.stdout.strip()


def kernel_source(base):
    """Sees to it that the source of a kernel base is there; returns why not, where there is none any more."""
    result = _run([TOP / "kernel" / "scripts" / "source", "get"], env={**os.environ, "BASE": base})
    if result.returncode not in (0, NOT_TO_BE_HAD):
        raise BuildError(f"the source of {base}: status {result.returncode}\n{result.stderr}")
    return result.stderr.strip() if result.returncode else ""


def kernel(series, config, base):
    """The path of a kernel image, built if it is not in the cache."""
    which = (f"BASE={base}", f"SERIES={series}", f"CONFIG={config}")
    run("make", "-s", "-C", "kernel", "image", *which)
    return Path(run("make", "-s", "-C", "kernel", "print-image", *which).splitlines()[-1])


def kernels_of_each_patch(series, base):
    """Of the series with one patch more each time: the paths of the images, in order."""
    which = (f"BASE={base}", f"SERIES={series}")
    run("make", "-s", "-C", "kernel", "each", *which)
    return [Path(path) for path in run("make", "-s", "-C", "kernel", "print-each", *which).splitlines()]


def packages(series, base):
    """The folder with the Debian packages of a kernel for the lab."""
    which = (f"BASE={base}", f"SERIES={series}", "CONFIG=lab")
    run("make", "-s", "-C", "kernel", "debs", *which)
    return Path(run("make", "-s", "-C", "kernel", "print-debs", *which).splitlines()[-1])


def own_root(folder, suite):
    """A copy of the Debian image, for boots that change it."""
    disk = folder / "root.ext4"
    run("cp", "--reflink=auto", "--sparse=always", root_image(suite), disk)
    return disk


def installed_kernel(root, folder):
    """A copy of the one kernel in /boot of a disk."""
    names = [word for word in run("debugfs", "-R", "ls -p /boot", root).split("/") if word.startswith("vmlinuz-")]
    if len(names) != 1:
        raise BuildError(f"in /boot of {root}: {' '.join(names) or 'no kernel'}")
    kernel_file = folder / "vmlinuz"
    run("debugfs", "-R", f"dump /boot/{names[0]} {kernel_file}", root)
    return kernel_file


def image_without(image, function, folder):
    """A copy of a kernel image in which a function does nothing and returns 1."""
    symbols = {}
    for line in image.with_name("System.map").read_text().splitlines():
        address, _, name = line.split()
        symbols[name] = int(address, 16)
    offset = symbols[function] - symbols["_text"]
    code = bytearray(image.read_bytes())
    # mov w0, #1; ret
    code[offset:offset + 8] = (0x52800020).to_bytes(4, "little") + (0xd65f03c0).to_bytes(4, "little")
    broken = folder / "Image"
    broken.write_bytes(code)
    return broken


def selftests(base):
    """The folder with the kernel's own KVM selftests, static; those of the last series fit them all."""
    which = (f"BASE={base}", "SERIES=all")
    run("make", "-s", "-C", "kernel", "selftests", *which)
    return Path(run("make", "-s", "-C", "kernel", "print-selftests", *which).splitlines()[-1])


def root_image(suite, kind=""):
    """kind: libvirt, where that is to be in it."""
    words = [word for word in (kind, suite) if word not in ("", "bookworm")]
    return Path(run(LAB / "image.sh", "-".join(words) or "root"))


def _make_programs(out, *arguments):
    uapi = BUILD / "uapi"
    out.mkdir(parents=True, exist_ok=True)
    uapi.mkdir(parents=True, exist_ok=True)
    run("make", "-s", "-C", "kernel", "uapi", f"DESTDIR={uapi}")
    header = next(uapi.rglob("kvm_eager_split.h"))
    run("make", "-s", "-C", LAB, f"O={out}", f"UAPI={header.parent.parent}", *arguments)
    return out


def programs():
    """The folder with the lab's own programs."""
    return _make_programs(BUILD / "programs", f"SYSROOT={run(LAB / 'sysroot')}")


def programs_here():
    """The same of what an arm64 host needs that is not emulated, by its own compiler."""
    out = BUILD / "here"
    return _make_programs(out, "SYSROOT=/", "CC_ARM64=cc", "OBJCOPY_ARM64=objcopy", out / "vmm", out / "splitcall")


def package():
    """The daemon's arm64 package."""
    folder = Path(run("build-aux/packages", "build", "arm64").splitlines()[-1])
    file, = folder.glob("eagersplitd_*_arm64.deb")
    return file


def daemon():
    """The folder that it is unpacked to."""
    tree = BUILD / "daemon"
    shutil.rmtree(tree, ignore_errors=True)
    run("dpkg-deb", "-x", package(), tree)
    return tree


def _copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def run_disk(folder, plan, parts):
    """
    The disk that is mounted at /lab in the emulated host: everything that changes between runs, so
    that the Debian image need not. parts: {path in the disk: file or folder here}.
    """
    tree, disk = folder / "tree", folder / "run.ext4"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    _copy(LAB / "host" / "start", tree / "start")
    for name in ("host", "scenarios"):
        _copy(LAB / name, tree / name)
    for target, source in parts.items():
        _copy(source, tree / target)
    # For the emulated host's Python, which takes long to do so itself.
    compileall.compile_dir(tree, quiet=2, stripdir=tree, prependdir="/lab",
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    (tree / "plan.json").write_text(json.dumps(plan))
    megabytes = sum(f.stat().st_size for f in tree.rglob("*") if f.is_file()) // 1000000 + 24
    disk.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0",
        "-d", tree, disk, f"{megabytes}M")
    shutil.rmtree(tree)
    return disk


def shout(text):
    """What is being done, for whoever waits; TAP has standard output for itself."""
    print(text, file=sys.stderr, flush=True)
