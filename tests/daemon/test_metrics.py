#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""org.eagersplit.Metrics: figures for monitoring."""

import time

from harness import FAST, STUCK, Daemon, Vmm
from tap import equal, main, test, true

GET = "org.eagersplit.Metrics.GetMetrics"
MANAGER = "org.eagersplit.Manager"


def metrics(daemon):
    return daemon.call(GET)["metrics"]


def by(key, value, objects):
    return {o[key]: o[value] for o in objects}


def calls(figures):
    return {c["operation"]: c for c in figures["calls"]}


@test
def at_start():
    """A daemon that has done nothing yet has all figures, at 0"""
    with Daemon(**FAST) as daemon:
        # A thread reads the history to begin with.
        while (figures := metrics(daemon))["queue"]["running"] or figures["queue"]["queued"]:
            pass
        true(0 < figures["startedUSec"] <= time.time() * 1e6, figures["startedUSec"])
        for name in ("vms", "vmsRegistered", "blocksSplit", "blocksRecovered", "reloads",
                     "reloadsFailed"):
            equal(figures[name], 0, name)
        equal(by("kind", "count", figures["tlbis"]), {"split": 0, "flush": 0, "recover": 0})
        equal(set(calls(figures)), {"hold", "release", "survey", "split", "recover"})
        for call in figures["calls"]:
            equal((call["count"], call["failed"], call["sumUSec"]), (0, 0, 0), call["operation"])
        equal(figures["refusals"], [])
        equal({k: v for k, v in figures["queue"].items() if k != "threads"},
              {"running": 0, "queued": 0, "tlbisGranted": 0, "vmsWaiting": 0, "vmsRetrying": 0})


@test
def a_migration():
    """A migration there and back is counted: TLBIs by kind, blocks, calls and how long they took"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        split = metrics(daemon)
        equal(by("kind", "count", split["tlbis"]), {"split": 512, "flush": 0, "recover": 0})
        equal((split["vms"], split["vmsRegistered"], split["blocksSplit"]), (1, 1, 512))
        daemon.migrate("guest", "cancelled")
        daemon.wait_for_stage("guest", "whole")
        recovered = metrics(daemon)
        tlbis = by("kind", "count", recovered["tlbis"])
        equal(tlbis["split"], 512)
        true(tlbis["recover"] > 0, tlbis)
        equal(recovered["blocksRecovered"], 512)
        true(0 < split["holds"]["count"] < recovered["holds"]["count"], recovered["holds"])
        equal(sum(tlbis.values()), daemon.call("GetHost")["host"]["tlbisTotal"])
        for name, call in calls(recovered).items():
            true(call["count"] > 0, name)
            counts = [b["count"] for b in call["buckets"]]
            equal(counts, sorted(counts), "each bucket has the ones before it")
            true(counts[-1] <= call["count"], name)
            equal([b["leUSec"] for b in call["buckets"]],
                  [b["leUSec"] for b in calls(split)[name]["buckets"]], "the limits stay")


@test
def how_long_calls_took():
    """The time that calls took is in microseconds: no less than the TLBIs took, nor more than there was"""
    start = time.monotonic()
    with Daemon(TlbiRate=0, Memory="1G", TlbiUSec=100) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        call = calls(metrics(daemon))["split"]
        # One VM, so one call at a time.
        true(512 * 100 <= call["sumUSec"] <= (time.monotonic() - start) * 1e6, call)
        below = [bucket["count"] for bucket in call["buckets"] if bucket["leUSec"] <= 50]
        equal(below[-1], 0, "calls that took no longer than half a TLBI")


@test
def without_break_before_make():
    """What FEAT_BBM level 2 still costs is told from what break-before-make costs"""
    with Daemon(BbmLevel=2, **FAST) as daemon, Vmm() as vmm:
        daemon.register(vmm, "guest")
        daemon.migrate("guest", "scheduled")
        daemon.wait_for_stage("guest", "split")
        figures = metrics(daemon)
        total = daemon.call("GetHost")["host"]["tlbisTotal"]
        true(total > 0, "one ends each call")
        equal(by("kind", "count", figures["tlbis"]), {"split": 0, "flush": total, "recover": 0})


@test
def waiting_for_the_budget():
    """VMs that wait for the budget are counted"""
    with Daemon(**STUCK) as daemon, Vmm() as a, Vmm() as b:
        for vmm, name in (a, "a"), (b, "b"):
            daemon.register(vmm, name)
            daemon.migrate(name, "scheduled")
        # The one token has been spent; there is another in a second, which one of them takes.
        while (queue := metrics(daemon)["queue"])["vmsWaiting"] != 2:
            true(queue["tlbisGranted"] <= 1, queue)
        equal(queue["vmsRetrying"], 0)


@test
def calls_and_refusals():
    """Calls, errors and refusals are counted by method and by name"""
    with Daemon(**FAST) as daemon, Vmm() as vmm:
        for _ in range(3):
            daemon.call("ListVms")
        daemon.error("GetVm", vm="nobody")
        daemon.error("GetVm")
        daemon.error("Nonsense")
        daemon.error("org.example.Other.Do")
        daemon.error("Watch")
        daemon.register(vmm, "guest")
        figures = metrics(daemon)
        methods = {m["method"]: (m["calls"], m["errors"]) for m in figures["methods"]}
        equal(methods[f"{MANAGER}.ListVms"], (3, 0))
        equal(methods[f"{MANAGER}.GetVm"], (2, 2))
        equal(methods[f"{MANAGER}.Watch"], (1, 1))
        equal(methods[f"{MANAGER}.Register"], (1, 0))
        equal(methods[f"{MANAGER}.Reload"], (0, 0))
        equal(methods[GET], (1, 0))
        equal(methods["org.varlink.service.GetInfo"], (0, 0))
        equal(by("error", "count", figures["refusals"]), {
            f"{MANAGER}.NoSuchVm": 1,
            "org.varlink.service.InvalidParameter": 1,
            "org.varlink.service.MethodNotFound": 1,
            "org.varlink.service.InterfaceNotFound": 1,
            "org.varlink.service.ExpectedMore": 1,
        })


@test
def connections():
    """Connections are counted: there now, accepted, refused, dropped"""
    with Daemon(**FAST) as daemon, daemon.client() as client:
        with daemon.client() as bad:
            bad.send_raw(b"nonsense\0")
            bad.receive()
            equal(bad.receive(), None)
        others = [daemon.client() for _ in range(100)]
        refused = sum(c.receive() is None for c in others[70:])
        for other in others:
            other.close()
        counts = client.call(GET)["metrics"]["connections"]
        equal(counts["dropped"], 1)
        true(counts["refused"] >= refused == 30, counts)
        equal(counts["accepted"] + counts["refused"], 102)
        while client.call(GET)["metrics"]["connections"]["current"] != 1:
            pass


@test
def reloads():
    """Reloads are counted, those that failed too"""
    with Daemon(**FAST) as daemon:
        daemon.call("Reload")
        daemon.write_config("[Budget]\nTlbiRate=x\n")
        daemon.error("Reload")
        daemon.error("Reload")
        figures = metrics(daemon)
        equal((figures["reloads"], figures["reloadsFailed"]), (1, 2))


if __name__ == "__main__":
    main()
