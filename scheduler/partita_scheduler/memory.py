"""Garbage collection that kube-scheduler does not notice.

A view of 500 nodes is a few hundred thousand objects, and a collection of all of them held an answer up for 200 to
350 ms. The view is freed by reference counts; cycles come from errors and requests only, are young and few. So
collection runs beside the answers, each second, and looks at what is new; where that is a great deal it is what the API
server listed, and is set aside unseen. Everything is looked at once an hour, or when much was set aside.
"""

from __future__ import annotations

import gc
import threading

STEP_SECONDS = 1.0
STEPS_PER_FULL = 3600
MOST_AT_ONCE = 50_000
"""Objects that one step looks at: about 10 ms."""

MOST_UNSEEN = 8_000_000
"""Objects set aside unseen, until all are looked at: what 5,000 nodes list is a tenth of it."""


class Collector:
    """Takes collection over from the interpreter: `step()` once, or `run()` until stopped."""

    def __init__(self) -> None:
        self._steps = self._unseen = 0

    def run(self, stopping: threading.Event) -> None:
        gc.disable()
        try:
            while not stopping.wait(STEP_SECONDS):
                self.step()
        finally:
            gc.unfreeze()
            gc.enable()

    def step(self) -> int:
        """Collect what is new, then set the survivors aside; the number of objects freed."""
        self._steps += 1
        new = gc.get_count()[0]
        if self._steps >= STEPS_PER_FULL or self._unseen + new > MOST_UNSEEN:
            self._steps = self._unseen = 0
            gc.unfreeze()
        elif new > MOST_AT_ONCE:
            self._unseen += new
            gc.freeze()
            return 0
        freed = gc.collect()
        gc.freeze()
        return freed
