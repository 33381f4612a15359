# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that a debug kernel injects by calling a function failed (CONFIG_FAIL_FUNCTION)."""

import os

from host.lab import read, write

INJECTION = "/sys/kernel/debug/fail_function"
# More than there will be: two CPUs at once may take the last one, and it is counted once.
TIMES = 1000000


def can_inject(function):
    path = f"{INJECTION}/injectable"
    return os.path.exists(path) and any(line.split()[0] == function for line in read(path).splitlines())


class Injection:
    """Half of the calls of a function fail, from start() to stop(), which returns how many did."""

    def __init__(self, function, threads=()):
        """threads: of these only; of all where none are given."""
        self._function = function
        self._threads = threads

    def start(self):
        write(f"{INJECTION}/inject", self._function)
        for thread in self._threads:
            write(f"/proc/{thread}/make-it-fail", 1)
        # Nothing about each in the log.
        for name, value in (("interval", 1), ("verbose", 0), ("times", TIMES),
                            ("task-filter", "Y" if self._threads else "N"), ("probability", 50)):
            write(f"{INJECTION}/{name}", value)

    def pause(self):
        """As stop(), but that the function stays chosen."""
        write(f"{INJECTION}/probability", 0)
        return TIMES - int(read(f"{INJECTION}/times"))

    def stop(self):
        injected = self.pause()
        write(f"{INJECTION}/inject", "\n")
        # Else they would have those of the next ones, too.
        for thread in self._threads:
            write(f"/proc/{thread}/make-it-fail", 0)
        return injected
