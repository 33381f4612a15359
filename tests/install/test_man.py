#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages: well formed, and complete about what the programs and files know."""

import glob
import os
import re
import shutil
import subprocess

from tap import Skip, equal, main, test, true

BUILD = os.environ.get("BUILDDIR", ".")
SOURCE = os.environ.get("SRCDIR", ".")
# scdoc sets an empty paragraph before each list and after each heading, which renders as nothing.
SCDOC = "skipping paragraph macro: PP"


def pages():
    """The pages by name: made by this build, or carried by the tarball."""
    found = {}
    for folder in BUILD, SOURCE:
        for path in glob.glob(f"{folder}/man/*.[1-8]"):
            found.setdefault(os.path.basename(path), path)
    sources = {os.path.basename(p).removesuffix(".in").removesuffix(".scd")
               for p in glob.glob(f"{SOURCE}/man/*.scd") + glob.glob(f"{SOURCE}/man/*.scd.in")}
    equal(set(found), sources, "pages made")
    return found


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def text_of(page):
    """A page's text without its markup."""
    return re.sub(r"\\f.|\\&|\\c|\\(?=[-.'])", "", read(pages()[page]))


def run(*argv):
    if not shutil.which(argv[0]):
        raise Skip(f"no {argv[0]} here")
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def missing(page, words):
    text = text_of(page)
    return [w for w in words if not re.search(rf"(?<![\w-]){re.escape(w)}(?![\w-])", text)]


@test
def mandoc():
    """mandoc -T lint finds nothing"""
    for name, path in pages().items():
        r = run("mandoc", "-T", "lint", "-W", "warning", path)
        said = [line for line in r.stdout.splitlines() if SCDOC not in line]
        equal((said, r.stderr), ([], ""), name)


@test
def groff():
    """groff formats them with all warnings on and none given"""
    for name, path in pages().items():
        r = run("groff", "-man", "-Tutf8", "-ww", "-z", path)
        equal((r.stdout + r.stderr, r.returncode), ("", 0), name)


@test
def options_of_the_daemon():
    """eagersplitd(8) has each option that --help has"""
    text = subprocess.run([os.environ.get("EAGERSPLITD", "./eagersplitd"), "--help"],
                          capture_output=True, text=True, check=True).stdout
    options = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.M)
    true("--config" in options, text)
    equal(missing("eagersplitd.8", options), [])


@test
def commands_of_the_client():
    """eagersplitctl(1) has each option and command that --help has"""
    def words_of(*arguments):
        text = subprocess.run([os.environ.get("EAGERSPLITCTL", "./eagersplitctl"), *arguments],
                              capture_output=True, text=True, check=True).stdout
        return re.findall(r"^ {1,4}(--[a-z-]+|[a-z]+)\b", text, re.M)

    words = words_of("--help")
    true("--socket" in words and "prepare" in words, words)
    for command in [word for word in words if not word.startswith("-") and word != "help"]:
        words += words_of("help", command)
    true("--wait" in words and "--memory" in words, words)
    equal(missing("eagersplitctl.1", words), [])


@test
def settings():
    """eagersplitd.conf(5) has each setting of eagersplitd.conf, in the same sections"""
    section = None
    words = []
    for line in read(SOURCE, "conf", "eagersplitd.conf").splitlines():
        if match := re.match(r"\[(\w+)\]$", line):
            section = match[1]
            words.append(f"[{section}]")
        elif match := re.match(r"#(\w+)=", line):
            true(section, line)
            words.append(match[1])
    true("TlbiRate" in words, words)
    equal(missing("eagersplitd.conf.5", words), [])


@test
def interface():
    """org.eagersplit.Manager(7) says something of each method, error and type, and each page has its interface"""
    for name, one, told in ("org.eagersplit.Manager", "Register", True), ("org.eagersplit.Metrics", "GetMetrics", False):
        words = re.findall(r"^(?:method|error|type) (\w+)", read(SOURCE, "daemon", f"{name}.varlink"), re.M)
        true(one in words, words)
        headings, definition = text_of(f"{name}.7").split("INTERFACE DEFINITION")
        equal([w for w in words if told and w not in headings], [], name)
        equal([w for w in words if w not in definition], [], name)
        true(f"interface {name}" in definition, "the interface itself")


if __name__ == "__main__":
    main()
