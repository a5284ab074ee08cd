"""The cluster as the watches have told it so far, and what each change makes stale. Not thread-safe."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from partita_plugins.contracts import Workload
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.resource_claim import Allocation, DeviceClass, ResourceClaim
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_scheduler.allocator.in_use import Holdings, PoolId, PoolUse, extended_owners, is_pending
from partita_scheduler.cluster.groups import Groups
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView, Node
from partita_scheduler.policy.extended import marks
from partita_scheduler.scoring.ranking import Scoring

ClaimKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Freed:
    """What a claim no longer has, and when that was seen."""

    at: float
    holder: tuple[str, int]
    pools: frozenset[PoolId]


class Cluster:
    """Nodes, classes, claims and assumptions as they are now, and what is in use. Each change tells what it touches.

    What a claim no longer has stays in use until it is let go.
    """

    def __init__(
        self,
        slices: Callable[[], Mapping[str, tuple[ResourceSlice, ...]]],
        server_minor: Callable[[], int],
        scoring: Scoring,
        cpu_left_milli: Callable[[Node], int | None],
    ) -> None:
        self._slices, self._server_minor, self._scoring = slices, server_minor, scoring
        self._cpu_left_milli = cpu_left_milli
        self._cpu: dict[str, int] = {}
        self.workload = Workload()
        self.nodes: dict[str, Node] = {}
        self.avoided: dict[str, Sequence[Taint]] = {}
        """PreferNoSchedule taints by node, of those that have any."""

        self.classes: Mapping[str, DeviceClass] = {}
        self.marks = marks(())
        self._claims: dict[ClaimKey, ResourceClaim] = {}
        self._came: dict[ClaimKey, float] = {}
        """When each claim was first seen."""

        self._assumed: dict[str, AssumedAllocation] = {}
        self._awaiting: Groups[str] = Groups()
        """Assumptions by the claim, and by the pod, whose allocation ends them."""

        self._holdings = Holdings()
        self.freed: deque[Freed] = deque()
        """Still in use, first freed first."""

        self._frees = 0
        self._owners: dict[str, int] = {}
        """Pods to how many allocated claims there are for their extended resources."""

    @property
    def uses(self) -> Mapping[PoolId, PoolUse]:
        """What claims and assumptions hold."""
        return self._holdings.uses

    def view(self) -> ClusterView:
        """The cluster now. Unlike a snapshot it changes with the next change: not to be kept."""
        return ClusterView(
            nodes=self.nodes,
            slices=self._slices(),
            classes=self.classes,
            claims=self._claims,
            assumed=self._assumed,
            cpu_left_milli=self._cpu,
            workload=self.workload,
            scoring=self._scoring,
            server_minor=self._server_minor(),
        )

    def node(self, old: Node | None, new: Node | None) -> bool:
        """Take the node in; whether it may offer other devices or resources now."""
        if new is not None:
            self.nodes[new.metadata.name] = new
        elif old is not None:
            self.nodes.pop(old.metadata.name, None)
        either = new or old
        if either is not None:
            self._avoid(either.metadata.name)
        cpu = self.cpu(either.metadata.name) if either is not None else False
        if old is None or new is None or cpu:
            return True
        return old.metadata.labels != new.metadata.labels or old.status.allocatable != new.status.allocatable

    def _avoid(self, name: str) -> None:
        node = self.nodes.get(name)
        taints = [taint for taint in node.spec.taints if taint.effect == "PreferNoSchedule"] if node else []
        if taints:
            self.avoided[name] = taints
        else:
            self.avoided.pop(name, None)

    def cpu_changed(self, name: str) -> bool:
        """Whether a node has other CPU left than was seen, in steps. Any thread may ask."""
        return self._left_milli(name) != self._cpu.get(name)

    def cpu(self, name: str) -> bool:
        """See what CPU a node has left; whether that is another level than before."""
        before = self._cpu.get(name)
        # Who changes it after we look, and before what we saw is here, may find no change and tell nobody.
        while (left := self._left_milli(name)) != self._cpu.get(name):
            if left is None:
                self._cpu.pop(name, None)
            else:
                self._cpu[name] = left
        return self._cpu.get(name) != before

    def _left_milli(self, name: str) -> int | None:
        node = self.nodes.get(name)
        return self._cpu_left_milli(node) if node is not None else None

    def device_class(self, old: DeviceClass | None, new: DeviceClass | None) -> None:
        """Take the class in. The classes are another object then: what is made from them is kept by it."""
        classes = dict(self.classes)
        if new is not None:
            classes[new.metadata.name] = new
        elif old is not None:
            classes.pop(old.metadata.name, None)
        self.classes, self.marks = classes, marks(classes.values())

    def claim(self, old: ResourceClaim | None, new: ResourceClaim | None, at: float) -> set[PoolId]:
        """Take the claim in, which was seen to change at this moment; the pools whose use it may change."""
        either = new or old
        if either is None:
            return set()
        key = (either.metadata.namespace, either.metadata.name)
        known = self._claims.get(key)
        if new is None:
            self._claims.pop(key, None)
            self._came.pop(key, None)
        else:
            self._claims[key] = new
            if known is None or known.metadata.uid != new.metadata.uid:
                self._came[key] = at
        owners = self._own(known, -1) | self._own(new, 1)
        had, has = (one.status.allocation if one else None for one in (known, new))
        touched: set[PoolId] = set()
        if had != has:
            self._keep(had, at)
            changed = self._holdings.hold(key, has)
            touched = changed if has else touched  # what it had is in use as before
        return touched | self._settle(self._awaiting.of((key, *owners)))

    def _keep(self, had: Allocation | None, at: float) -> None:
        holder = ("freed", self._frees)
        if had and (pools := self._holdings.hold(holder, had)):
            self._frees += 1
            self.freed.append(Freed(at, holder, frozenset(pools)))

    def came(self, claims: Iterable[ResourceClaim]) -> float:
        """When the last of these claims was first seen."""
        keys = ((one.metadata.namespace, one.metadata.name) for one in claims)
        return max((self._came[key] for key in keys if key in self._came), default=-math.inf)

    def let_go(self, until: float) -> set[PoolId]:
        """What was freed up to this moment is free; the pools whose use it may change."""
        touched: set[PoolId] = set()
        while self.freed and self.freed[0].at <= until:
            touched |= self._holdings.hold(self.freed.popleft().holder, None)
        return touched

    def _own(self, claim: ResourceClaim | None, step: int) -> set[str]:
        owners = set(extended_owners(claim)) if claim is not None and claim.status.allocation else set()
        for uid in owners:
            count = self._owners.get(uid, 0) + step
            if count:
                self._owners[uid] = count
            else:
                self._owners.pop(uid, None)
        return owners

    def assumption(self, key: str, assumed: AssumedAllocation | None) -> set[PoolId]:
        """Take an assumption in, or forget it; the pools whose use it may change."""
        before = self._assumed.pop(key, None)
        if before is not None:
            self._awaiting.remove(key, before.claim, before.pod_uid)
        if assumed is not None:
            self._assumed[key] = assumed
            self._awaiting.add(key, assumed.claim, assumed.pod_uid)
        return self._settle([key])

    def _settle(self, keys: Iterable[str]) -> set[PoolId]:
        """An assumption counts until the API has its allocation."""
        touched: set[PoolId] = set()
        view = ClusterView(claims=self._claims)
        for key in keys:
            assumed = self._assumed.get(key)
            counts = assumed is not None and is_pending(view, assumed, self._owners)
            touched |= self._holdings.hold(("assumed", key), assumed.allocation if assumed and counts else None)
        return touched
