# SPDX-License-Identifier: GPL-2.0-or-later
"""The way out of the emulated host: a disk that is written like a pipe.

Each record is a line of JSON, padded with NULs to whole sectors; the runner reads the disk's file as
it grows (runner/boot.py). The kernel's log has the serial console for itself that way.
"""

import json
import os

DISK = "/dev/vdc"
SECTOR = 512


class Out:
    def __init__(self, disk=DISK):
        self._fd = os.open(disk, os.O_WRONLY | os.O_SYNC | os.O_CLOEXEC)

    def send(self, **record):
        data = json.dumps(record).encode() + b"\n"
        os.write(self._fd, data + b"\0" * (-len(data) % SECTOR))
