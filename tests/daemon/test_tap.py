#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests' own frame: a test that is stuck is a failure that says which it was, and one in a thread is one."""

import os
import subprocess
import sys

from tap import equal, main, test, true

STUCK = """
import time
from tap import main, test

@test
def stuck():
    "It waits for what does not come"
    while True:
        time.sleep(3600)

@test
def next_one():
    "The next one"

main()
"""

IN_A_THREAD = """
import threading
from tap import Skip, equal, main, test

def fails():
    thread = threading.Thread(target=equal, args=(1, 2, "what a thread saw"))
    thread.start()
    thread.join()

@test
def one():
    "It fails in a thread"
    fails()

@test
def skipped():
    "It says that it is skipped"
    fails()
    raise Skip("why")

@test
def next_one():
    "The next one"

main()
"""


def run(program, **environment):
    """The status and the output of tests that are meant to fail."""
    folder = os.path.dirname(os.path.abspath(__file__))
    r = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False,
                       env=os.environ | {"PYTHONPATH": folder} | environment)
    return r.returncode, r.stdout


@test
def stuck():
    """A test that is stuck is ended, and named; the others are run"""
    # For the other one, too.
    status, out = run(STUCK, TEST_SECONDS="5")
    equal(status, 1)
    true("not ok 1 - It waits for what does not come\nok 2 - The next one\n" in out, out)
    true("nothing happened for 5 s" in out, out)


@test
def in_a_thread():
    """What fails in a thread fails the test, and no other"""
    status, out = run(IN_A_THREAD)
    equal(status, 1)
    equal([line for line in out.splitlines() if not line.startswith("#")],
          ["1..3", "not ok 1 - It fails in a thread", "not ok 2 - It says that it is skipped", "ok 3 - The next one"])
    equal(out.count("# AssertionError: what a thread saw: got 1, expected 2\n"), 2)


if __name__ == "__main__":
    main()
