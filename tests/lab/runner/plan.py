# SPDX-License-Identifier: GPL-2.0-or-later
"""Which scenarios there are, and which boots they share."""

import importlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
# The kernels that there are patches for. Scenarios are for all of them unless they say so (BASES).
BASES = ("linux-6.1", "linux-6.12", "linux-7.2")
# In the order in which the boots are run.
SERIES = ("none", "eager-split", "bbm", "vmid")
# Those that have FEAT_BBM level 2 made use of, unless kvm-arm.bbm= says otherwise.
BBM_SERIES = ("bbm", "vmid")
# Of the other bases: without patches, and with all that there are.
OTHER_SERIES = ("none", "all")
CPUS = ("neoverse-n1", "max", "cortex-a72")
# Of other bases, too: upstream takes only CPUs that it knows to do without break-before-make.
OTHER_CPUS = (*CPUS, "ampere1")
# What the kernel parameter kvm-arm.bbm= may be.
BBM = ("auto", "off")
# In a scenario's CPUS: max on the series bbm, which uses what it has; "max" is that with kvm-arm.bbm=off. Of other
# bases, which know no such parameter: ampere1, where the patches make use of it.
MAX_BBM = "max-bbm"
NO_BREAK_BASES = ("linux-6.12", "linux-7.2")
# The kernel's configurations that a scenario may ask for besides (CONFIGS).
LAB = "lab"
CONFIGS = (LAB, "preempt", "net")
# Those that boot QEMU's guests, too; the guests of others have lab's.
OF_GUESTS = (LAB, "net")
# Those that are run by name only.
OTHER_CONFIGS = ("debug", "16k", "64k")
DEBUG_VARIANTS = (("neoverse-n1", ""), ("max", ""), ("cortex-a72", ""))
# The one that boots once for each patch, which is no part of any other boot.
EACH = "each"
# The one that has to fail, on a kernel that was broken on purpose.
REMOVED = "removed"
# The one that boots twice, from a disk of its own; what the daemon does on the kernel that was installed.
PACKAGES = "packages"
ON_PACKAGES = ("prepare-qemu", "service")
# What --demo shows, which is no scenario: it has its own boot.
DEMO = "demo"


@dataclass
class Boot:
    """One boot: series of patches, configuration of the kernel, CPU, and what is run.

    bbm: what kvm-arm.bbm= is set to, which takes one of BBM_SERIES; empty: not given. counted:
    the host's clock counts instructions, of so many CPUs; 0: it is a clock, and they are two. hosts: emulated at
    once, on a network of their own. mode: what kvm-arm.mode= is set to; empty: not given.
    """

    series: str
    config: str
    cpu: str
    scenarios: list = field(default_factory=list)
    systemd: bool = False
    bbm: str = ""
    base: str = BASES[0]
    counted: int = 0
    hosts: int = 1
    mode: str = ""

    @property
    def variant(self):
        """The CPU by the name that scenarios have for it."""
        if self.base == BASES[0]:
            no_break = self.cpu == "max" and self.series in BBM_SERIES and self.bbm != "off"
        else:
            no_break = (self.cpu, self.series) == ("ampere1", "all") and self.base in NO_BREAK_BASES
        return MAX_BBM if no_break else self.cpu

    @property
    def parameters(self):
        """What this boot adds to the kernel's command line."""
        given = (("kvm-arm.bbm", self.bbm), ("kvm-arm.mode", self.mode))
        return " ".join(f"{name}={value}" for name, value in given if value)

    @property
    def nodes(self):
        """That the emulated host has; the other kernels would know of one all the same."""
        return 2 if self.config in ("preempt", "debug") and self.counted != 1 else 1

    @property
    def label(self):
        base = "" if self.base == BASES[0] else self.base
        kernel = {"none": "stock", "eager-split": ""}.get(self.series, self.series)
        config = "" if self.config == LAB else self.config
        bbm = f"bbm={self.bbm}" if self.bbm else ""
        mode = f"mode={self.mode}" if self.mode else ""
        systemd = "systemd" if self.systemd else ""
        counted = f"{self.counted} counted" if self.counted else ""
        hosts = f"{self.hosts} hosts" if self.hosts > 1 else ""
        return " ".join(word for word in (self.cpu, base, kernel, config, bbm, mode, systemd, counted, hosts) if word)


def names():
    """All scenarios, in the order that their modules ask for."""
    stems = [path.stem for path in SCENARIOS.glob("[a-z]*.py")]
    return [s.replace("_", "-") for s in sorted(stems, key=lambda s: (_module(s).ORDER, s))]


def _module(name):
    return importlib.import_module("scenarios." + name.replace("-", "_"))


def last_series(base):
    """That with all patches of a base."""
    return SERIES[-1] if base == BASES[0] else OTHER_SERIES[-1]


def parts(name):
    """What a scenario needs besides the lab's own programs: daemon, package, selftests, guest (a kernel for QEMU's)."""
    return ("daemon", "guest") if name == DEMO else getattr(_module(name), "PARTS", ())


def is_long(name):
    """Whether it is run by name, and with --long, only."""
    return getattr(_module(name), "LONG", False)


def _cpus(module, boot):
    """Those that the scenario asks for; of other bases, what it asks for on any patched kernel of the first."""
    if not isinstance(module.CPUS, dict):
        return module.CPUS
    if boot.series != "all":
        return module.CPUS.get(boot.series, ())
    return {cpu for series, cpus in module.CPUS.items() if series != "none" for cpu in cpus}


def _wanted(module, boot, cpu, series, config):
    asked = getattr(module, "COUNTED", 0), getattr(module, "HOSTS", 1), getattr(module, "KVM_MODE", "")
    if (boot.counted, boot.hosts, boot.mode) != asked:
        return False
    if boot.config in CONFIGS and boot.config not in getattr(module, "CONFIGS", (LAB,)) and \
            (boot.config == LAB or boot.config != config):
        return False
    if boot.base not in getattr(module, "BASES", BASES):
        return False
    # What runs on one patched kernel runs on the others, for whoever asks for that.
    patched = boot.series != "none" and module.SERIES != ("none",)
    asked_for = patched and module.SERIES and (boot.series == series or boot.base != BASES[0])
    if boot.series not in module.SERIES and not asked_for:
        return False
    cpus = _cpus(module, boot)
    if boot.config == "debug":
        if boot.variant == "neoverse-n1" or boot.cpu == cpu:
            return bool(module.DEBUG)
        wanted = module.DEBUG if boot.variant == MAX_BBM else module.DEBUG == "only"
        return bool(wanted) and boot.variant in cpus
    if module.DEBUG == "only":
        return False
    return boot.variant in cpus or boot.cpu == cpu


def _variants(cpu, series, bbm, base):
    """The CPUs with what kvm-arm.bbm= is on each: (cpu, bbm)."""
    cpus = (cpu,) if cpu else CPUS if base == BASES[0] else OTHER_CPUS
    if bbm or series not in BBM_SERIES:
        return [(one, bbm) for one in cpus]
    return [(one, "") for one in cpus] + [("max", "off")] * ("max" in cpus)


def _of_each(scenarios, what, otherwise):
    """What they ask for by that name, each once."""
    return sorted({getattr(_module(name), what, otherwise) for name in scenarios})


def boots(scenarios, config=None, cpu=None, series=None, bbm="", base=BASES[0]):
    """
    The boots for these scenarios. config, cpu, series: only on that, whatever the scenarios ask for. bbm, base:
    as in Boot.
    """
    planned = []
    all_series = SERIES if base == BASES[0] else OTHER_SERIES
    if config == "debug":
        # All that there is, at once.
        series = series or last_series(base)
    kinds = itertools.product((config,) if config else CONFIGS, (series,) if series else all_series, (False, True),
                              _of_each(scenarios, "COUNTED", 0), _of_each(scenarios, "HOSTS", 1),
                              _of_each(scenarios, "KVM_MODE", ""))
    for one_config, one_series, systemd, counted, hosts, mode in kinds:
        for one_cpu, one_bbm in _variants(cpu, one_series, bbm, base):
            if config == "debug" and not cpu and (one_cpu, one_bbm) not in DEBUG_VARIANTS:
                continue
            boot = Boot(one_series, one_config, one_cpu, bbm=one_bbm, systemd=systemd, base=base, counted=counted,
                        hosts=hosts, mode=mode)
            boot.scenarios = [name for name in scenarios if name not in (EACH, REMOVED, PACKAGES) and
                              _module(name).SYSTEMD == systemd and _wanted(_module(name), boot, cpu, series, config)]
            if boot.scenarios:
                planned.append(boot)
    # Those with most to do first, so that none is left to run alone at the end.
    return sorted(planned, key=lambda boot: -len(boot.scenarios))
