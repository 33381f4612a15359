# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario gets to work with: tests, phases, programs, the emulated host."""

import os
import signal
import subprocess
import sys
import time

from host.out import Out

BIN = "/lab/bin"
# How often something that is waited for is named on the console.
WORD_SECONDS = 60


class Failed(Exception):
    """Something that a scenario needs did not work, so that it cannot go on."""


class Lab:
    """One boot of the emulated host. The plan says cpu, base (kernel), series (of patches) and config."""

    def __init__(self, plan):
        self.plan = plan
        self.cpu = plan["cpu"]
        self.base = plan["base"]
        self.series = plan["series"]
        # What kvm-arm.bbm= is; empty: not given
        self.bbm = plan["bbm"]
        self.debug = plan["config"] == "debug"
        # Take the time for many of what is one of a kind otherwise.
        self.long = plan["long"]
        self.patched = self.series != "none"
        # Blocks are split without break-before-make.
        self.no_break = self.cpu == "max" and self.bbm == "on"
        self.scenario = ""
        self._out = Out()
        self._phase = 0
        self._children = []

    # Tests: one line of TAP each.

    def ok(self, good, name, why=""):
        """A test. why: shown where it failed."""
        self._out.send(type="test", scenario=self.scenario, name=name, ok=bool(good),
                       why="" if good else str(why))
        return bool(good)

    def eq(self, got, want, name):
        return self.ok(got == want, f"{name}: {want}" if type(want) is int else name,
                       f"got {got!r}, wanted {want!r}")

    def skip(self, name, why):
        self._out.send(type="test", scenario=self.scenario, name=name, ok=True, skip=why)

    def note(self, text):
        self._out.send(type="note", scenario=self.scenario, text=text)

    def expect(self, phase, name, **counts):
        """A test made by the runner: TLBIs by kind that the emulator executed in this phase."""
        self._out.send(type="expect", scenario=self.scenario, phase=phase, name=name, counts=counts)

    def at_most(self, phase, name, **counts):
        """As expect(), but it may have been fewer."""
        self._out.send(type="expect", scenario=self.scenario, phase=phase, name=name, counts=counts, at_most=True)

    def row(self, phase, **columns):
        """A line of the table of results; the runner adds what the emulator counted in that phase."""
        self._out.send(type="row", scenario=self.scenario, phase=phase, columns=columns)

    def finish(self):
        self._out.send(type="end")

    # Phases: TLBIs are counted by them.

    def phase(self, name):
        """Starts a phase and returns its number."""
        self._phase += 1
        if self._phase > 255:
            raise Failed("no phase numbers left")
        self._set_phase(self._phase)
        self._out.send(type="phase", scenario=self.scenario, phase=self._phase, name=name)
        return self._phase

    def phase_end(self):
        """What comes now belongs to no phase."""
        self._set_phase(0)

    def _set_phase(self, number):
        subprocess.run([f"{BIN}/phase", str(number)], check=True)

    # Programs.

    def run(self, *argv, **kwargs):
        """Runs a program to its end; status and what it said are in the result."""
        return subprocess.run([str(a) for a in argv], text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)

    def must(self, *argv, **kwargs):
        """Runs a program that a scenario cannot go on without; returns what it said."""
        result = self.run(*argv, **kwargs)
        if result.returncode:
            raise Failed(f"{' '.join(map(str, argv))}: status {result.returncode}: {result.stdout}")
        return result.stdout

    def spawn(self, *argv, **kwargs):
        """Starts a program that is killed at the scenario's end at the latest."""
        child = subprocess.Popen([str(a) for a in argv], **kwargs)
        self._children.append(child)
        return child

    def split(self, pid, flags, **options):
        """One or more KVM_ARM_SPLIT on another process's VM: a dict with what came back."""
        argv = [f"{BIN}/splitcall", pid, flags] + [f"{k}={v}" for k, v in options.items()]
        return parse_answer(self.must(*argv))

    def capability(self):
        """The value of KVM_CAP_ARM_EAGER_SPLIT: bit 0, the ioctls; bit 1, no break-before-make."""
        return parse_answer(self.must(f"{BIN}/splitcall", 0, "capability"))["mask"]

    def survey(self, pid):
        """KVM_ARM_SURVEY: a dict, with a list of slots in it."""
        lines = self.must(f"{BIN}/splitcall", pid, "survey").splitlines()
        survey = parse_answer(lines[0])
        survey["slot"] = [parse_pairs(line.split()) for line in lines[1:]]
        return survey

    # The emulated host.

    def wait_for(self, what, condition):
        """Looks until it holds. There is no limit here: a hang is the runner's to find."""
        next_word = time.monotonic() + WORD_SECONDS
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > next_word:
                progress(f"lab: {self.scenario}: still waiting for {what}")
                next_word += WORD_SECONDS
            time.sleep(0.02)

    def huge_pages(self, mib, size="2048kB"):
        """Sets the pool of huge pages; the whole of it must be there."""
        path = f"/sys/kernel/mm/hugepages/hugepages-{size}/nr_hugepages"
        count = mib * 1024 // int(size[:-2])
        write(path, count)
        if int(read(path)) != count:
            raise Failed(f"{read(path).strip()} of {count} huge pages")

    def free_huge_pages(self, size="2048kB"):
        return int(read(f"/sys/kernel/mm/hugepages/hugepages-{size}/free_hugepages"))

    def begin(self, scenario):
        self.scenario = scenario

    def clean_up(self):
        """Between scenarios: nothing of one may be seen by the next."""
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()
        self._children = []
        self.phase_end()
        self.huge_pages(0)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, value):
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(value))


def parse_pairs(words):
    """["a=1", "b=0x10", "c=text"] as a dict, with numbers as such."""
    pairs = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            pairs[key] = int(value, 0)
        except ValueError:
            pairs[key] = value
    return pairs


def parse_answer(line):
    """An "ok ..." or "error WHAT: ..." line; the latter has an "error" in its dict."""
    kind, _, rest = line.strip().partition(" ")
    if kind == "ok":
        return {"error": None, **parse_pairs(rest.split())}
    if kind == "error":
        what, _, rest = rest.partition(":")
        pairs = [w for w in rest.split() if "=" in w]
        return {"error": what, "text": rest.strip(), **parse_pairs(pairs)}
    raise Failed(f"answer not understood: {line!r}")


def progress(text):
    """On the console, for whoever looks at why a boot hangs."""
    print(text, file=sys.stderr, flush=True)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")
