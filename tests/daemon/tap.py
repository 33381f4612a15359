# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that print TAP: functions marked with @test, run in the order they are written."""

import os
import signal
import sys
import threading
import traceback

# A test that gets stuck fails, late enough for the slowest machine; TEST_SECONDS is another limit.
STUCK_SECONDS = int(os.environ.get("TEST_SECONDS", "300"))
# And so does what it leaves behind, such as a daemon that does not stop.
STUCK_AGAIN_SECONDS = 30

_tests = []
# What has failed in threads, of which nobody hears otherwise
_failures = []


class Skip(Exception):
    """Raised by a test that cannot run here; its text says why."""


def test(function):
    _tests.append(function)
    return function


def _stuck(signum, frame):
    raise TimeoutError(f"nothing happened for {STUCK_SECONDS} s")


def alive():
    """Something has happened: the test has all of its time again."""
    signal.setitimer(signal.ITIMER_REAL, STUCK_SECONDS, STUCK_AGAIN_SECONDS)


def _thread_failed(failure):
    _failures.extend(traceback.format_exception(failure.exc_type, failure.exc_value, failure.exc_traceback))


def _say(text):
    for line in text.splitlines():
        print(f"# {line}")


def _run(number, function):
    name = (function.__doc__ or function.__name__).strip().splitlines()[0].rstrip(".")
    alive()
    good, skipped = True, ""
    try:
        function()
    except Skip as skip:
        skipped = f" # SKIP {skip}"
    except Exception:
        good = False
        _say(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if _failures:
        good = False
        _say("".join(_failures))
        _failures.clear()
    print(f"ok {number} - {name}{skipped}" if good else f"not ok {number} - {name}", flush=True)
    return good


def main():
    """Runs the tests, or those whose function names are given as arguments."""
    signal.signal(signal.SIGALRM, _stuck)
    threading.excepthook = _thread_failed
    chosen = [t for t in _tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    results = [_run(n, t) for n, t in enumerate(chosen, 1)]
    sys.exit(0 if all(results) else 1)


def equal(got, expected, what=""):
    if got != expected:
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)
