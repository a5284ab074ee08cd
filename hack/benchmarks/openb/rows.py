"""What was worked out for each node and one kind of pod; only nodes that have changed are worked out again."""

from __future__ import annotations

import numpy as np
from hack.benchmarks.openb.cluster import Bools, Cluster, Ints


class Rows:
    """One row a node."""

    def __init__(self, cluster: Cluster, columns: int) -> None:
        self._cluster = cluster
        self._seen = -1
        self.fits = np.zeros(len(cluster.left), dtype=bool)
        self.gpus: Bools = np.zeros(cluster.left.shape, dtype=bool)
        """Those that the pod would get."""

        self.figures = np.zeros((len(cluster.left), columns))

    def stale(self) -> Ints:
        """Nodes that have changed since the last call, all of them at the first one."""
        seen, changed = self._seen, self._cluster.changed
        self._seen = len(changed)
        everyone = len(self._cluster.left)
        if seen < 0 or len(changed) - seen >= everyone:
            return np.arange(everyone)
        return np.array(sorted(set(changed[seen:])), dtype=np.int64)
