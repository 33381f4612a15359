# SPDX-License-Identifier: GPL-2.0-or-later
"""TAP, one line a test, as they come; the plan is the last line. Boots that run at once share one."""

import sys
import threading


class Tap:
    def __init__(self, stream=sys.stdout):
        self._stream = stream
        self._lock = threading.RLock()
        self._count = 0
        self.failed = 0

    def _line(self, text):
        self._stream.write(text + "\n")
        self._stream.flush()

    def test(self, good, name, why=""):
        with self._lock:
            self._count += 1
            self.failed += not good
            self._line(f"{'ok' if good else 'not ok'} {self._count} - {name}")
            if not good:
                self.note(why)

    def skip(self, name, why):
        with self._lock:
            self._count += 1
            self._line(f"ok {self._count} - {name} # SKIP {why}")

    def note(self, text):
        with self._lock:
            for line in str(text).splitlines():
                self._line(f"# {line}")

    def finish(self):
        self._line(f"1..{self._count}")
        return 1 if self.failed else 0
