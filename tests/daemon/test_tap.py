#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests' own frame: a test that is stuck is a failure that says which it was."""

import os
import subprocess
import sys

from tap import equal, main, test, true

PROGRAM = """
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


@test
def stuck():
    """A test that is stuck is ended, and named; the others are run"""
    r = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False,
                       env=os.environ | {"TEST_SECONDS": "1", "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))})
    equal(r.returncode, 1)
    true("not ok 1 - It waits for what does not come\nok 2 - The next one\n" in r.stdout, r.stdout)
    true("nothing happened for 1 s" in r.stdout, r.stdout)


if __name__ == "__main__":
    main()
