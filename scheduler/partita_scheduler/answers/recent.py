"""What was answered lately: the decisions, for people who ask; and how often a pod was given a node."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeVar

from partita_scheduler.found import Among
from partita_scheduler.policy.decision import Decision

MAX_DECISIONS = 64
MAX_TRIES = 20_000
"""Each some 300 bytes: kube-scheduler may come back to a pod after five minutes, with tens of others each second."""

MOST_TRIES = 2
"""What failed twice on a node is nothing that we see: a volume that cannot be made there, a driver that is silent."""

K = TypeVar("K")
V = TypeVar("V")


class Recent:
    """Of the latest pods. Thread-safe."""

    def __init__(self) -> None:
        self._decisions: OrderedDict[str, Among] = OrderedDict()
        self._tries: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def decided(self, key: str, among: Among) -> None:
        """About the pod "namespace/name"."""
        with self._lock:
            _put_last(self._decisions, key, among, most=MAX_DECISIONS)

    def last_decision(self, key: str) -> Decision | None:
        """About "namespace/name", as long as it is remembered."""
        with self._lock:
            found = self._decisions.get(key)
        return None if found is None else found.decision()

    def tried_enough(self, pod_uid: str, node: str) -> bool:
        """Count a try; whether the pod had the node often enough before. It did not start there, or nobody would ask
        about it again."""
        with self._lock:
            before = self._tries.get((pod_uid, node), 0)
            _put_last(self._tries, (pod_uid, node), before + 1, most=MAX_TRIES)
        return before >= MOST_TRIES


def _put_last(found: OrderedDict[K, V], key: K, value: V, *, most: int) -> None:
    found[key] = value
    found.move_to_end(key)
    while len(found) > most:
        found.popitem(last=False)
