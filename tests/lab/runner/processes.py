# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run starts: it ends with the run, however that ends."""

import contextlib
import os
import signal
import subprocess
import threading

# What may be left undone at SIGTERM, such as half of a file.
SECONDS = 60

_lock = threading.Lock()
_running = set()
_ending = threading.Event()


def go_on():
    """Raises KeyboardInterrupt once the run has been interrupted, which only its main thread hears of by itself."""
    if _ending.is_set():
        raise KeyboardInterrupt


def start(argv, number, **options):
    """
    Popen(), in a process group of its own; nothing any more where the run has been interrupted. It gets the signal
    when the thread that starts it is gone, as when the run is killed: so that is who waits until it has ended.
    """
    with _lock:
        go_on()
        process = subprocess.Popen(["setpriv", f"--pdeathsig={number.name}", *argv],
                                   start_new_session=True, **options)
        _running.add(process)
    return process


def _signal(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def end(process, number=signal.SIGTERM):
    """With its group, unless it has ended; and waits for it."""
    if process.poll() is None:
        _signal(process, number)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    with _lock:
        _running.discard(process)


def end_all():
    """The run has been interrupted: what other threads wait for has them end, too."""
    with _lock:
        _ending.set()
        for process in _running:
            if process.returncode is None:
                _signal(process, signal.SIGTERM)
