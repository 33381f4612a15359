# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario gets to work with: tests, phases, programs, the emulated host."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time

from host.out import Out

# Where the lab's own programs are, elsewhere than in the emulated host (here.py)
BIN = os.environ.get("LAB_BIN", "/lab/bin")
# How often something that is waited for is named on the console.
WORD_SECONDS = 60


def pauses():
    """Seconds between looks at what is waited for, without end: most of it is there in a moment, and some never."""
    pause = 0.001
    while True:
        yield pause
        pause = min(2 * pause, 0.02)


class Failed(Exception):
    """Something that a scenario needs did not work, so that it cannot go on."""


class Lab:
    """One boot of the emulated host. The plan says cpu, base (kernel), series (of patches) and config."""

    def __init__(self, plan, out=None):
        """out: where records go; the runner, unless it is given."""
        self.plan = plan
        self.cpu = plan["cpu"]
        self.base = plan["base"]
        self.series = plan["series"]
        # What kvm-arm.bbm= is; empty: not given
        self.bbm = plan["bbm"]
        self.debug = plan["config"] == "debug"
        # The host's pages, and what a table of them maps, in bytes
        self.page = resource.getpagesize()
        self.block = self.page * self.page // 8
        # Take the time for many of what is one of a kind otherwise.
        self.long = plan["long"]
        # As many as are asked for of what has rounds; 0: as many as it says itself
        self.rounds = plan["rounds"]
        # The first of them, by which what was found in one of very many is found again
        self.first = plan["first"]
        self.patched = self.series != "none"
        # Blocks are split without break-before-make.
        self.no_break = plan["no_break"]
        self.scenario = ""
        self._out = out or Out()
        self._phase = 0
        self._children = []
        self._splitters = {}

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

    def expect(self, phase, name, host=0, **counts):
        """
        A test made by the runner: TLBIs by kind that the emulator executed in this phase; broadcast: all
        stage-2 ones that all CPUs take part in; wide: of these, the ones of a range or of all of the VM.
        host: which one, of two.
        """
        self._out.send(type="expect", scenario=self.scenario, phase=phase, name=name, host=host, counts=counts)

    def at_most(self, phase, name, host=0, **counts):
        """As expect(), but it may have been fewer."""
        self._out.send(type="expect", scenario=self.scenario, phase=phase, name=name, host=host, counts=counts,
                       at_most=True)

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
        self.set_phase(self._phase)
        self._out.send(type="phase", scenario=self.scenario, phase=self._phase, name=name)
        return self._phase

    def phase_end(self):
        """What comes now belongs to no phase."""
        self.set_phase(0)

    def set_phase(self, number):
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

    def bury(self, child):
        """Kills it, and leaves nothing of it here."""
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                # What it has not read is lost.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._children.remove(child)

    def splitter(self, pid):
        """The splitter of another process's VM that this scenario has: made when first asked for."""
        if pid not in self._splitters:
            self._splitters[pid] = self.new_splitter(pid)
        return self._splitters[pid]

    def new_splitter(self, pid):
        """One more of them."""
        return Splitter(self, pid)

    def drop(self, pid):
        """Closes it, which ends its hold."""
        if pid in self._splitters:
            self._splitters.pop(pid).close()

    def split(self, pid, flags, **options):
        """
        Any of split, recover, hold, release, break, pause, joined by "+", on another process's VM: a dict with what
        came back. max: TLBIs, blocks: blocks, calls: 0 for as many as it takes.
        """
        return self.splitter(pid).ask(flags, **options)

    def capability(self):
        """The value of KVM_CAP_ARM_EAGER_SPLIT: bit 0, splitters; 1, no break-before-make; 2, pauses."""
        return parse_answer(self.must(f"{BIN}/splitcall", "capability"))["mask"]

    def survey(self, pid):
        """KVM_ARM_SPLIT_SURVEY: a dict, with a list of slots in it."""
        return self.splitter(pid).survey()

    # The emulated host.

    def wait_for(self, what, condition):
        """Looks until it holds. There is no limit here: a hang is the runner's to find."""
        next_word = time.monotonic() + WORD_SECONDS
        for pause in pauses():
            value = condition()
            if value:
                return value
            if time.monotonic() > next_word:
                progress(f"lab: {self.scenario}: still waiting for {what}")
                next_word += WORD_SECONDS
            time.sleep(pause)

    def huge_pages(self, mib):
        """Sets the pool of huge pages; the whole of it must be there."""
        path = f"{self._huge_pages_folder()}/nr_hugepages"
        count = (mib << 20) // self.block
        before, there = None, int(read(path))
        # A signal ends it early, and nothing says so.
        while there not in (count, before):
            write(path, count)
            before, there = there, int(read(path))
        if there != count:
            raise Failed(f"{there} of {count} huge pages")

    def vms(self):
        """How many KVM has but for our own: a folder PID-FD each."""
        own = f"{os.getpid()}-"
        return sum("-" in name and not name.startswith(own) for name in os.listdir("/sys/kernel/debug/kvm"))

    def free_huge_pages(self):
        return int(read(f"{self._huge_pages_folder()}/free_hugepages"))

    def _huge_pages_folder(self):
        return f"/sys/kernel/mm/hugepages/hugepages-{self.block >> 10}kB"

    def begin(self, scenario):
        self.scenario = scenario

    def clean_up(self):
        """Between scenarios: nothing of one may be seen by the next."""
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()
        self._children = []
        self._splitters = {}
        self.phase_end()
        self.huge_pages(0)


class Splitter:
    """A process that has a splitter of another one's VM (programs/splitcall.c)."""

    def __init__(self, lab, pid):
        self._lab = lab
        self._process = lab.spawn(f"{BIN}/splitcall", pid, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, bufsize=1)
        answer = parse_answer(self.line())
        if answer["error"]:
            raise Failed(f"no splitter of {pid}: {answer['error']}")
        self.pid = self._process.pid

    def line(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"splitcall is gone ({self._process.wait()})")
        return line

    def tell(self, command, **options):
        """A command whose answer is to be read later, by answer()."""
        self._process.stdin.write(" ".join([command] + [f"{k}={v}" for k, v in options.items()]) + "\n")
        self._process.stdin.flush()

    def answer(self):
        return parse_answer(self.line())

    def ask(self, command, **options):
        self.tell(command, **options)
        return self.answer()

    def survey(self):
        survey = self.ask("survey")
        survey["slot"] = [parse_pairs(self.line().split()) for _ in range(survey.get("slots", 0))]
        return survey

    def poll(self):
        """Whether it has something to tell, and whether it was hung up."""
        answer = self.ask("poll")
        return answer["in"], answer["hup"]

    def kill(self):
        """Without a last word."""
        self._process.kill()
        self._process.wait()

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def bury(self):
        """As kill(), for one of very many."""
        self._lab.bury(self._process)


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
