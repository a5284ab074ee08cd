"""What came of predictions: counted, logged, and the last of them remembered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
import structlog

from partita_scheduler.assumed.predictions import Prediction
from partita_scheduler.metrics import Metrics

log = structlog.get_logger(__name__)

MAX_REMEMBERED = 500


class Record:
    """Oldest first. Not thread-safe."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: deque[Prediction] = deque(maxlen=MAX_REMEMBERED)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._last)

    def settled(self, found: Prediction) -> None:
        """Its allocation has been seen."""
        self._metrics.prediction.labels(found.result).inc()
        self._metrics.choice.labels("first" if found.actual_node == found.node else "other").inc()
        self._metrics.allocation_seconds.labels(found.result).observe(found.seconds)
        report = log.warning if found.result == "mismatch" else log.info
        report(
            "allocation seen",
            result=found.result,
            pod=found.pod,
            claim=found.claim,
            chosen_node=found.node,
            node=found.actual_node,
            predicted=found.predicted,
            actual=found.actual,
            seconds=found.seconds,
        )
        self._last.append(found)

    def forgotten(self, one: Prediction) -> None:
        """Nobody waits for its allocation any more."""
        self._last.append(msgspec.structs.replace(one, result="forgotten"))
