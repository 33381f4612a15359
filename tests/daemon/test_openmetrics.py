#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""eagersplitctl metrics: read by the parsers of Prometheus' own library."""

import glob
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

from harness import FAST, STUCK, Daemon, Vmm
from tap import Skip, equal, main, test, true

DASHBOARD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/grafana/eagersplitd.json")


def parsers():
    """Modules that read OpenMetrics, and Prometheus' older format."""
    # Debian's package is there for Debian's Python only; it is pure Python, so any will do.
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        from prometheus_client import parser
        from prometheus_client.openmetrics import parser as openmetrics
    except ImportError:
        raise Skip("needs python3-prometheus-client") from None
    return openmetrics, parser


def families(text, parser):
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def value(found, name, sample=None, **labels):
    """The value of a family's only sample with that name and those labels."""
    values = [s.value for s in found[name].samples if s.name == (sample or name) and labels.items() <= s.labels.items()]
    equal(len(values), 1, (name, sample, labels))
    return values[0]


def export(daemon, *arguments):
    status, out, err = daemon.ctl("metrics", *arguments)
    equal((status, err), (0, ""))
    return out


@test
def strict():
    """The text is OpenMetrics, and says what the daemon says"""
    openmetrics, _ = parsers()
    with Daemon(**FAST) as daemon, Vmm() as vmm, Vmm() as other:
        daemon.register(vmm, "guest")
        daemon.register(other, "other")
        daemon.migrate("guest", "scheduled", deadlineUSec=2000000000 * 1000000)
        daemon.wait_for_stage("guest", "split")
        daemon.error("GetVm", vm="nobody")
        text = export(daemon)
        true(text.endswith("\n# EOF\n"), text[-80:])
        found = families(text, openmetrics)
        host = daemon.call("GetHost")["host"]
        equal(value(found, "eagersplitd_tlbi_seconds", "eagersplitd_tlbi_seconds_total"), host["tlbiUSecTotal"] / 1e6)
        equal(value(found, "eagersplitd_budget_load_ratio"), host["tlbiLoadPpm"] / 1e6)
        true(value(found, "eagersplitd_hold_seconds", "eagersplitd_hold_seconds_count") > 0, "holds")
        for name, family in found.items():
            true(name.startswith("eagersplitd_") and family.documentation, name)
        for name, unit in ("eagersplitd_call_duration_seconds", "seconds"), ("eagersplitd_vm_memory_bytes", "bytes"):
            equal(found[name].unit, unit)

        host = daemon.call("GetHost")["host"]
        equal(value(found, "eagersplitd_build", "eagersplitd_build_info", backend="sim", version=host["version"]), 1)
        equal(value(found, "eagersplitd_supported"), 1)
        equal(value(found, "eagersplitd_budget_burst"), host["tlbiBurst"])
        equal(value(found, "eagersplitd_tlbis", "eagersplitd_tlbis_total", kind="split"), host["tlbisTotal"])
        equal(value(found, "eagersplitd_blocks_split", "eagersplitd_blocks_split_total"), 512)
        equal(value(found, "eagersplitd_vms"), 2)
        equal(value(found, "eagersplitd_vm_tlbis", "eagersplitd_vm_tlbis_total", vm="guest"), 512)
        equal(value(found, "eagersplitd_vm_blocks", vm="guest"), 0)
        equal(value(found, "eagersplitd_vm_block_bytes", vm="other"), 1 << 30)
        equal(value(found, "eagersplitd_vm_deadline_time_seconds", vm="guest"), 2000000000)
        equal(value(found, "eagersplitd_vm", "eagersplitd_vm_info", vm="other", pid=str(other.pid)), 1)
        for family, label, states in (("eagersplitd_vm_stage", "stage", {"guest": "split", "other": "whole"}),
                                      ("eagersplitd_vm_migration", "migration", {"guest": "scheduled", "other": "none"})):
            equal({s.labels["vm"]: s.labels[label] for s in found[family].samples if s.value}, states)
        refused = "org.eagersplit.Manager.NoSuchVm"
        equal(value(found, "eagersplitd_refusals", "eagersplitd_refusals_total", error=refused), 1)
        method = "org.eagersplit.Manager.GetVm"
        equal(value(found, "eagersplitd_method_errors", "eagersplitd_method_errors_total", method=method), 1)


@test
def histograms():
    """Latencies are histograms whose buckets add up"""
    openmetrics, _ = parsers()
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        name = "eagersplitd_call_duration_seconds"
        found = families(export(daemon), openmetrics)
        calls = {c["operation"]: c for c in daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]["calls"]}
        equal(set(calls), {"hold", "release", "survey", "split", "recover"})
        for operation, call in calls.items():
            buckets = [s for s in found[name].samples if s.name == name + "_bucket" and s.labels["operation"] == operation]
            equal([s.value for s in buckets], [b["count"] for b in call["buckets"]] + [call["count"]], operation)
            equal([float(s.labels["le"]) for s in buckets], [b["leUSec"] / 1e6 for b in call["buckets"]] + [float("inf")])
            equal(value(found, name, name + "_sum", operation=operation), call["sumUSec"] / 1e6)
        true(calls["split"]["count"] > 0 and calls["survey"]["count"] > 0, calls)


@test
def older_format():
    """--format=prometheus is Prometheus' text format: the same samples"""
    openmetrics, prometheus = parsers()
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        new = families(export(daemon), openmetrics)
        text = export(daemon, "--format=prometheus")
        true("# EOF" not in text and "# UNIT" not in text, text)
        old = families(text, prometheus)
        equal(sorted({s.name for f in old.values() for s in f.samples}),
              sorted({s.name for f in new.values() for s in f.samples}))
        types = {"info": "gauge"}
        equal({name + "_info" * (f.type == "info"): types.get(f.type, f.type) for name, f in new.items()},
              {name: f.type for name, f in old.items()})


@test
def as_json():
    """--json prints what GetMetrics answers"""
    with Daemon(**STUCK) as daemon:
        equal(set(json.loads(export(daemon, "--json"))["metrics"]),
              set(daemon.call("org.eagersplit.Metrics.GetMetrics")["metrics"]))


@test
def output_file():
    """--output replaces the file as a whole, or leaves all as it was"""
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        folder = daemon.path("collector")
        path = os.path.join(folder, "eagersplitd.prom")
        status, out, err = daemon.ctl("metrics", f"--output={path}")
        equal((status, out), (1, ""))
        true(path in err and "No such file" in err, err)
        os.mkdir(folder)
        equal(export(daemon, f"--output={path}"), "")
        with open(path, encoding="utf-8") as old:
            daemon.register(vmm, "guest")
            equal(export(daemon, f"--output={path}"), "")
            # The old file has been left alone: whoever was reading it reads on.
            true('vm="guest"' not in old.read(), "the old file")
        with open(path, encoding="utf-8") as new:
            text = new.read()
        true('vm="guest"' in text and text.endswith("\n"), text)
        mask = os.umask(0)
        os.umask(mask)
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o666 & ~mask)
        os.mkdir(path + ".d")
        equal(daemon.ctl("metrics", f"--output={path}.d")[0], 1)
        true("\neagersplitd_up 1\n" in text, text)
        equal(sorted(glob.glob(folder + "/*")), [path, path + ".d"])


@test
def output_format():
    """What ends in .prom is in the format that node_exporter reads, unless another one is asked for"""
    openmetrics, prometheus = parsers()
    with Daemon(**STUCK) as daemon:
        for name, arguments, ends in (("a.prom", [], False), ("a.txt", [], True), ("prom", [], True),
                                      ("b.prom", ["--format=openmetrics"], True), ("c", ["--format=prometheus"], False)):
            path = daemon.path(name)
            equal(export(daemon, f"--output={path}", *arguments), "")
            with open(path, encoding="utf-8") as f:
                text = f.read()
            equal(text.endswith("# EOF\n"), ends, name)
            found = families(text, openmetrics if ends else prometheus)
            equal(value(found, "eagersplitd_up"), 1, name)
            true(abs(value(found, "eagersplitd_written_time_seconds") - time.time()) < 3600, name)


@test
def output_without_a_daemon():
    """Once the daemon is gone, or hangs, its file says that it is not up, and nothing else"""
    _, prometheus = parsers()
    with Daemon(**STUCK) as daemon:
        path = daemon.path("eagersplitd.prom")

        def look():
            with open(path, encoding="utf-8") as f:
                found = families(f.read(), prometheus)
            equal(sorted(found), ["eagersplitd_up", "eagersplitd_written_time_seconds"])
            equal(value(found, "eagersplitd_up"), 0)
            os.unlink(path)

        export(daemon, f"--output={path}")
        daemon.kill(signal.SIGSTOP)
        equal(daemon.ctl("metrics", "--timeout=100ms", f"--output={path}")[:2], (3, ""))
        daemon.kill(signal.SIGCONT)
        look()
        daemon.stop()
        daemon.wait_until_refused()
        status, out, err = daemon.ctl("metrics", f"--output={path}")
        equal((status, out), (3, ""))
        true("not running" in err, err)
        look()


def walk_panels(panels):
    for panel in panels:
        yield panel
        yield from walk_panels(panel.get("panels", []))


@test
def dashboard():
    """The Grafana dashboard asks for metrics and labels that are exported, and no panel lies on another"""
    openmetrics, _ = parsers()
    with open(DASHBOARD, encoding="utf-8") as f:
        board = json.load(f)
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled", deadlineUSec=2000000000 * 1000000)
        daemon.error("GetVm", vm="nobody")
        samples = {}
        for family in families(export(daemon), openmetrics).values():
            for s in family.samples:
                samples.setdefault(s.name, set()).update(s.labels)
    panels = list(walk_panels(board["panels"]))
    expressions = [t["expr"] for p in panels for t in p.get("targets", [])]
    queries = [v["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    true(len(expressions) > 10, expressions)
    # Those that Prometheus adds to what it scrapes.
    known = {"job", "instance", "le"}
    for text in expressions + [q["query"] if isinstance(q, dict) else q for q in queries]:
        names = re.findall(r"\beagersplitd_\w+", text)
        true(names, text)
        for name in names:
            true(name in samples, f"{name} is not exported: {text}")
        for label in re.findall(r"[{,]\s*(\w+)\s*(?:=~?|!=|!~)", text):
            true(label in known or any(label in samples[name] for name in names), (label, text))
    equal(len({p["id"] for p in panels}), len(panels), "ids")
    cells = {}
    for panel in panels:
        g = panel["gridPos"]
        true(g["x"] + g["w"] <= 24, panel["title"])
        for x in range(g["x"], g["x"] + g["w"]):
            for y in range(g["y"], g["y"] + g["h"]):
                true((x, y) not in cells, (panel["title"], cells.get((x, y))))
                cells[x, y] = panel["title"]


@test
def alerts():
    """The alerting rules ask for metrics that are exported; promtool, where there is one, tests them"""
    conf = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../conf/prometheus/eagersplitd.rules.yml")
    tests = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../prometheus/eagersplitd.test.yml")
    with open(conf, encoding="utf-8") as f:
        rules = f.read()
    with open(tests, encoding="utf-8") as f:
        tested = f.read()
    with Daemon(**STUCK) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        text = export(daemon)
        for name in re.findall(r"\beagersplitd_\w+", rules):
            true(re.search(rf"^{name}[ {{]", text, re.M), name)
        for alert in re.findall(r"alert: (\w+)", rules):
            true(tested.count(f"alertname: {alert}") > 2, alert)
        promtool = shutil.which("promtool")
        if not promtool:
            raise Skip("no promtool here")
        shutil.copy(conf, daemon.folder)
        shutil.copy(tests, daemon.folder)
        for arguments in ["check", "rules", os.path.basename(conf)], ["test", "rules", os.path.basename(tests)]:
            r = subprocess.run([promtool, *arguments], cwd=daemon.folder, capture_output=True, text=True, check=False)
            equal(r.returncode, 0, r.stdout + r.stderr)
        r = subprocess.run([promtool, "check", "metrics"], input=export(daemon, "--format=prometheus"),
                           capture_output=True, text=True, check=False)
        equal((r.returncode, r.stdout, r.stderr), (0, "", ""))


if __name__ == "__main__":
    main()
