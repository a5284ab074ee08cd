"""Nodes by number, and for each a number for all that its answers depend on: equal nodes share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

import msgspec
import numpy as np

from partita_scheduler.allocator.in_use import NOTHING, PoolId, PoolUse
from partita_scheduler.allocator.nodes import NodePools, node_pools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.policy import BEST_SCORE
from partita_scheduler.view import ClusterView

UNKNOWN = -1


class Names:
    """The names in one order of numbers: what is made from them once, until a node comes or goes."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def by_name(self) -> np.ndarray:
        """Each number's place in the order of names."""
        places = np.empty(len(self.names), dtype=np.int64)
        places[np.array(sorted(range(len(self.names)), key=self.names.__getitem__), dtype=np.int64)] = np.arange(
            len(self.names)
        )
        return places

    @cached_property
    def rendered(self) -> np.ndarray:
        """HostPriority in JSON by number and score."""
        found = np.empty((len(self.names), BEST_SCORE + 1), dtype=object)
        for number, name in enumerate(self.names):
            head = b'{"Host":' + msgspec.json.encode(name) + b',"Score":'
            found[number] = [head + b"%d}" % score for score in range(BEST_SCORE + 1)]
        return found


class Fleet:
    """What every node offers and holds. Not thread-safe."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.offered: list[NodePools | None] = []
        self.contents: list[int] = []
        """Equal for nodes with equal devices in equal use. 0 where nothing is known of the node."""

        self._names: list[str] = []
        self._settled: Names | None = Names(())
        self._known = Numbers()
        self._nodes_of: dict[PoolId, set[int]] = {}
        self._far: set[int] = set()

    @property
    def names(self) -> Names:
        """All names by number. A node that is gone keeps its number: it may come back."""
        if self._settled is None:
            self._settled = Names(self._names)
        return self._settled

    def name(self, number: int) -> str:
        return self._names[number]

    def number(self, name: str) -> int:
        """The node's number, a new one for a new name."""
        found = self.numbers.get(name)
        if found is None:
            found = self.numbers[name] = len(self._names)
            self._names.append(name)
            self.offered.append(None)
            self.contents.append(0)
            self._settled = None
        return found

    def using(self, pools: Iterable[PoolId]) -> set[int]:
        """The nodes that have one of these pools."""
        return {number for pool in pools for number in self._nodes_of.get(pool, ())}

    @property
    def far(self) -> frozenset[int]:
        """Nodes whose pools have slices elsewhere: any slice may change them."""
        return frozenset(self._far)

    def look(self, number: int, view: ClusterView, uses: Mapping[PoolId, PoolUse]) -> bool:
        """See what the node offers and holds now; whether that is another content than before."""
        node = view.nodes.get(self._names[number])
        offered = node_pools(view, node) if node is not None else None
        self._offer(number, offered)
        content = 0
        if offered is not None:
            alike = (offered.shape, *(uses.get(pool.id, NOTHING).key for pool in offered.pools))
            content = self._known.of(alike)
        changed = content != self.contents[number]
        self.contents[number] = content
        return changed

    def _offer(self, number: int, offered: NodePools | None) -> None:
        old = self.offered[number]
        if old is offered:
            return
        for pool in old.pools if old else ():
            self._nodes_of.get(pool.id, set()).discard(number)
        for pool in offered.pools if offered else ():
            self._nodes_of.setdefault(pool.id, set()).add(number)
        self.offered[number] = offered
        self._far.discard(number)
        if offered is not None and offered.everything is not None:
            self._far.add(number)
