"""The pods that a cluster has seen, and the workload that they let expect."""

from __future__ import annotations

from collections import Counter

from partita_plugins.contracts import PodShape, Workload

FIRST = 64
"""Pods before anything is learned; then anew whenever their number has doubled, or grown by MOST_BETWEEN."""

MOST_BETWEEN = 8192
KEPT = 65_536
"""Pods that count fully; when there are more, all counts are halved, so that what is long ago fades."""

MAX_SHAPES = 2_000
"""The rarest are forgotten: users may ask for anything."""


class History:
    """Counts pods by shape. Not thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[PodShape] = Counter()
        self._seen, self._next = 0, FIRST
        self.workload = Workload()
        """As last learned: the same value, until it is learned anew."""

    def saw(self, shape: PodShape) -> None:
        """One pod more."""
        self._counts[shape] += 1
        self._seen += 1
        if self._seen >= self._next:
            self._next = self._seen + min(self._seen, MOST_BETWEEN)
            self._forget()
            self.workload = Workload(tuple(sorted(self._counts.items(), key=repr)))

    def _forget(self) -> None:
        if self._counts.total() > KEPT:
            self._counts = Counter({shape: count // 2 for shape, count in self._counts.items() if count > 1})
        if len(self._counts) > MAX_SHAPES:
            self._counts = Counter(dict(self._counts.most_common(MAX_SHAPES)))
