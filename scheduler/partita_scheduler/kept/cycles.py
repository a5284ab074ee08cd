"""When kube-scheduler gathered what is in use, for the pod that it asks about: it does that first, and asks us last.

It never says when. But a cycle begins as soon as the one before has ended and its pod is there; both are seen here.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

MOST_SECONDS = 0.5
"""From the beginning of a cycle to its question. After a longer silence, in which kube-scheduler had nothing to do or
looked at pods that fit nowhere, it is not known when it began."""

HELD_SECONDS = 2 * MOST_SECONDS
"""What was freed so long ago is free for everybody: also while nobody asks."""


class Cycles:
    """An estimate that is never earlier than the last one. Thread-safe; nothing here waits for anything."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[str, float] = {}
        """Unbound pods by UID, and when each was last seen to change."""

        self._answered = -math.inf
        self._gathered = -math.inf
        self._lock = threading.Lock()

    def waits(self, pod_uid: str) -> None:
        """The pod was seen to come, or to change: its next cycle has hardly begun before."""
        self._waiting[pod_uid] = self._clock()

    def left(self, pod_uid: str) -> None:
        """The pod is bound or gone."""
        self._waiting.pop(pod_uid, None)

    def asked(self, pod_uid: str) -> None:
        """The first question of a cycle has come. The cycle's other questions are about the same moment."""
        now = self._clock()
        with self._lock:
            begun = max(self._answered, self._waiting.get(pod_uid, -math.inf))
            self._advance(begun if now - begun <= MOST_SECONDS else now)

    def answered(self, *, last: bool) -> None:
        """kube-scheduler has an answer about any pod: the next cycle begins later. `last`: this one asks no more."""
        now = self._clock()
        with self._lock:
            self._answered = now
            if last:
                self._advance(now)

    def has_seen(self, moment: float) -> None:
        """What kube-scheduler asks shows that it knew of what was freed then."""
        with self._lock:
            self._advance(moment)

    @property
    def gathered(self) -> float:
        """What was freed after this moment is still in use to kube-scheduler."""
        return max(self._gathered, self._clock() - HELD_SECONDS)

    def _advance(self, moment: float) -> None:
        self._gathered = max(self._gathered, moment)
