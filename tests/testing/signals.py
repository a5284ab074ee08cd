"""Signals as the system may give them: to any thread of a process."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path


def send_beside_main(pid: int, number: signal.Signals) -> None:
    """Give a signal to the oldest thread that is not the main one."""
    threads = {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()}
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.tgkill(pid, min(threads - {pid}), int(number)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
