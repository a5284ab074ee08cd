"""Told to end by a signal, whichever of the process's threads the system gives it to."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def when_told_to_end(act: Callable[[], object]) -> None:
    """Call `act` at every SIGTERM and SIGINT, in a thread of its own. Must be called from the main thread.

    Python runs a handler in the main thread between two of its steps. One that waits for a lock is woken only if the
    system gives the signal to that very thread; given to another, it is never heard of. What does hear of it is the
    wake-up descriptor, which the interpreter's C handler writes to at once, in whatever thread.
    """
    heard, told = socket.socketpair()
    told.settimeout(0.0)  # does not block: a C handler writes to it
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: None)

    def wait() -> None:
        with told:  # for ever: closed, its number could be that of a file
            while True:
                if heard.recv(1)[0] in SIGNALS:
                    act()

    threading.Thread(target=wait, name="told-to-end", daemon=True).start()
