"""Nodes by number, and for each a number for all that its answers depend on: equal nodes share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import msgspec
import numpy as np

from partita_scheduler.allocator.in_use import NOTHING, PoolId, PoolUse
from partita_scheduler.allocator.nodes import NodePools, node_pools
from partita_scheduler.allocator.numbers import Numbers
from partita_scheduler.cluster.groups import Groups
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.decision import BEST_SCORE

UNKNOWN = -1


class Names:
    """The names in one order of numbers: what is made from them once, until a node comes or goes."""

    def __init__(self, names: Iterable[str]) -> None:
        # Written and read at once, so that they lie side by side: a look-up is mostly waiting for memory.
        self.names = msgspec.json.decode(msgspec.json.encode(list(names)), type=tuple[str, ...])
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self._latest: tuple[Sequence[str], np.ndarray] = ((), np.empty(0, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.names)

    def find(self, names: Sequence[str]) -> np.ndarray:
        """The numbers of these nodes, UNKNOWN for strangers; at once for the list that was asked about last."""
        latest, numbers = self._latest
        if latest is not names:
            try:
                numbers = np.fromiter(map(self.numbers.__getitem__, names), dtype=np.int32, count=len(names))
            except KeyError:
                found = (self.numbers.get(name, UNKNOWN) for name in names)
                numbers = np.fromiter(found, dtype=np.int32, count=len(names))
            if isinstance(names, tuple):  # a list might be changed meanwhile
                self._latest = (names, numbers)
        return numbers

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
        """HostPriority in JSON by number, as rows of bytes of one length, with room for the score in SCORE_AT.

        Blanks between tokens are JSON, and one copy of rows is faster than thousands of strings.
        """
        rows = [b'{"Score":  ,"Host":' + msgspec.json.encode(name) + b"}" for name in self.names]
        width = max(map(len, rows), default=0) + 1
        table = b"".join(row.ljust(width - 1) + b"," for row in rows)
        return np.frombuffer(table, dtype=np.uint8).reshape(len(rows), width)


SCORE_AT = slice(9, 11)
DIGITS = np.array([list(b"%2d" % score) for score in range(BEST_SCORE + 1)], dtype=np.uint8)
"""Scores as two characters."""


class Fleet:
    """What every node offers and holds. Not thread-safe."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.offered: list[NodePools | None] = []
        self.devices: list[int] = []
        """Equal for nodes with equal devices in equal use. 0 where nothing is known of the node."""

        self.contents: list[int] = []
        """The same for those that have as much CPU left too."""

        self._names: list[str] = []
        self._settled: Names | None = Names(())
        self._offers: tuple[NodePools | None, ...] | None = None
        self._known = Numbers()
        self._having: Groups[int] = Groups()
        """Nodes by their pools."""

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
            self.devices.append(0)
            self.contents.append(0)
            self._settled = self._offers = None
        return found

    def using(self, pools: Iterable[PoolId]) -> set[int]:
        """The nodes that have one of these pools."""
        return set(self._having.of(pools))

    @property
    def far(self) -> frozenset[int]:
        """Nodes whose pools have slices elsewhere: any slice may change them."""
        return frozenset(self._far)

    @property
    def offers(self) -> tuple[NodePools | None, ...]:
        """What each node offers, by number. Nobody changes it."""
        if self._offers is None:
            self._offers = tuple(self.offered)
        return self._offers

    def look(self, number: int, view: ClusterView, uses: Mapping[PoolId, PoolUse]) -> bool:
        """See what the node offers and holds now; whether that is another content than before."""
        node = view.nodes.get(self._names[number])
        offered = node_pools(view, node) if node is not None else None
        self._offer(number, offered)
        devices = content = 0
        if offered is not None:
            devices = self._known.of((offered.shape, *(uses.get(pool.id, NOTHING).key for pool in offered.pools)))
            cpu = view.cpu_left_milli.get(self._names[number]) if offered.pools else None
            content = self._known.of((devices, cpu))
        changed = content != self.contents[number]
        self.devices[number], self.contents[number] = devices, content
        return changed

    def _offer(self, number: int, offered: NodePools | None) -> None:
        old = self.offered[number]
        if old is offered:
            return
        self._having.remove(number, *(pool.id for pool in old.pools) if old else ())
        self._having.add(number, *(pool.id for pool in offered.pools) if offered else ())
        self.offered[number] = offered
        self._offers = None
        self._far.discard(number)
        if offered is not None and offered.everything is not None:
            self._far.add(number)
