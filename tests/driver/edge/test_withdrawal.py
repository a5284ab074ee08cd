"""Whatever happens to settings, hardware, slices and the driver: an allocated device stays published as it was, and
nothing that overlaps it can be allocated beside it.

The scheduler here decides by what it saw some time ago, as kube-scheduler does, but not longer ago than the driver
waits; and its decisions reach the API a while later. What was decided on slices that nobody remembers is published
again with the first pool after that wait; until then the driver cannot know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from partita_driver.slices.described import EVERYTHING
from partita_driver.slices.pool import PoolInputs, devices_to_offer
from partita_plugins.kube.errors import Unavailable
from partita_plugins.model.offer import Offer, OfferedDevice, SlottedHardware, offered_devices
from partita_plugins.wire.device_names import format_name, parse_name
from partita_plugins.wire.resource_slice import Device
from tests.driver.edge.in_memory import InMemory
from tests.driver.edge.worlds import ALL_SHAPES, fault_on, slotted, without_gpu
from tests.driver.edge.worlds import NODE as NODE_NAME

NODE = slotted("gb200-tray")
SPANS: dict[str, OfferedDevice] = {format_name(one, NODE.gpus): one for one in offered_devices(NODE, EVERYTHING)}
WAIT_SECONDS = 100.0

OFFERS = st.builds(
    Offer,
    whole=st.booleans(),
    mig_shapes=st.sets(st.sampled_from(sorted(ALL_SHAPES)), max_size=2).map(frozenset),
    shared=st.booleans(),
    group_sizes=st.sets(st.sampled_from([2, 4]), max_size=1).map(frozenset),
)


TROUBLES = st.tuples(st.sampled_from(["no answer", "wiped", "half wiped"]), st.integers(1, 8), st.booleans())
"""What happens, before or after which request of a round, and whether the watch tells of it at once."""


@dataclass(frozen=True)
class Seen:
    """A complete pool as the scheduler sees it, and when it appeared."""

    devices: Mapping[str, Device]
    totals: Mapping[tuple[str, str], int]
    at: float


def consumed(device: Device) -> dict[tuple[str, str], int]:
    return {(c.counter_set, name): int(v.value) for c in device.consumes_counters for name, v in c.counters.items()}


def parts(name: str) -> set[tuple[int, int]]:
    """GPUs and memory slices under a device; groups of a node that lost a GPU are not among SPANS."""
    span = SPANS.get(name)
    slots = span.slots if span else parse_name(name).slots
    place = span.placement if span else None
    return {(slot, unit) for slot in slots for unit in (range(place.start, place.end) if place else range(8))}


@lru_cache
def node_without(lost: frozenset[int]) -> SlottedHardware:
    node = NODE
    for slot in sorted(lost):
        node = without_gpu(node, slot)
    return node


class Withdrawal(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.offer, self.lost, self.faulty = EVERYTHING, set[int](), set[int]()
        self.decided: dict[str, Device] = {}
        """All that the scheduler has given away, with what it was then."""

        self.prepared: set[str] = set()
        self.pools: list[Seen] = []
        """All complete pools that there ever were: the scheduler may have seen each."""

        self.view = 0
        self.begun, self.begun_at = 0, 0.0
        """The first pool that this driver process may have written, and when the first was as it wanted."""

        self.unremembered: set[str] = set()
        """Allocated devices that were in no slice when the driver began: it may not know what they consume."""

        self.late: set[str] = set()
        """Of these, whose claim was not in the API when the driver began."""

        self.world = InMemory(self.inputs(), wait_seconds=WAIT_SECONDS, on_change=self.look)
        self.publish()

    @property
    def now(self) -> float:
        return self.world.clock.now

    def inputs(self) -> PoolInputs:
        return PoolInputs(
            node_name=NODE_NAME,
            node=node_without(frozenset(self.lost)),
            offer=self.offer,
            faults=tuple(fault_on(NODE, slot) for slot in sorted(self.faulty)),
            allocated=frozenset(self.prepared),
        )

    def look(self) -> None:
        """After every change of a slice: what the scheduler sees, if it is complete."""
        slices = self.world.store.slices.values()
        newest = max((entry.spec.pool.generation for entry in slices), default=0)
        kept = [entry for entry in slices if entry.spec.pool.generation == newest]
        if not kept or len(kept) != kept[0].spec.pool.resource_slice_count:
            return
        sets = [one for entry in kept for one in entry.spec.shared_counters]
        totals = {(one.name, name): int(value.value) for one in sets for name, value in one.counters.items()}
        devices = [device for entry in kept for device in entry.spec.devices]
        pool = Seen({device.name: device for device in devices}, totals, self.now)
        assert len(pool.devices) == len(devices)
        assert all(consumed(device).keys() <= totals.keys() for device in devices)
        self.pools.append(pool)
        self.check(pool)

    def check(self, pool: Seen) -> None:
        self.unremembered -= pool.devices.keys()
        for name, given in self.decided.items():
            others = [one for other, one in pool.devices.items() if other != name and parts(other) & parts(name)]
            if name in pool.devices:
                one = consumed(given)
                assert pool.devices[name].consumes_counters == given.consumes_counters
                for other in others:
                    two = consumed(other)
                    both = {key: one.get(key, 0) + two.get(key, 0) for key in one.keys() | two.keys()}
                    assert any(value > pool.totals[key] for key, value in both.items()), f"{name}, {other.name} fit"
            elif name not in self.late:
                gone = name in self.unremembered and self.lost & {slot for slot, _ in parts(name)}
                assert gone, f"{name} is allocated and not published"
                assert all(other.taints for other in others), f"what is left of {name} can be allocated"

    @rule()
    def publish(self) -> None:
        """One successful round."""
        if self.now - self.begun_at >= WAIT_SECONDS:
            self.late.clear()
        self.world.inputs = self.inputs()
        self.world.publish()
        slices = self.world.store.slices
        assert {entry.spec.pool.resource_slice_count for entry in slices.values()} == {len(slices)}
        assert len({entry.spec.pool.generation for entry in slices.values()}) == 1
        self.check(self.pools[-1])

    @rule(trouble=TROUBLES)
    def publish_in_trouble(self, trouble: tuple[str, int, bool]) -> None:
        """One round in which a request fails or somebody wipes slices; then a successful one."""
        what, left, told = trouble

        def disturb() -> None:
            nonlocal left
            left -= 1
            if left:
                return
            if what == "no answer":
                raise Unavailable("no answer")
            self.world.wipe(every=what == "wiped")
            if told:
                self.world.watch.deliver()

        self.world.inputs = self.inputs()
        self.world.api.disturb = disturb
        self.world.publisher.step()
        self.world.api.disturb = lambda: None
        self.wait(1.0)
        self.publish()

    @rule(offer=OFFERS)
    def change_settings(self, offer: Offer) -> None:
        self.offer = offer

    @rule(slot=st.integers(0, 3))
    def lose_or_find_a_gpu(self, slot: int) -> None:
        self.lost ^= {slot}

    @rule(slot=st.integers(0, 3))
    def break_or_mend_a_gpu(self, slot: int) -> None:
        self.faulty ^= {slot}

    @rule(data=st.data())
    def look_again(self, data: st.DataObject) -> None:
        self.view = data.draw(st.integers(self.view, len(self.pools) - 1))

    @rule(data=st.data())
    def allocate(self, data: st.DataObject) -> None:
        """Decide as the allocator does: free, not tainted, and the counters have room."""
        seen = self.pools[self.view]
        used: dict[tuple[str, str], int] = {}
        for name in self.decided:
            for key, value in consumed(seen.devices[name]).items() if name in seen.devices else ():
                used[key] = used.get(key, 0) + value
        open_ = [
            name
            for name, device in seen.devices.items()
            if name not in self.decided
            and not device.taints
            and all(used.get(key, 0) + value <= seen.totals[key] for key, value in consumed(device).items())
        ]
        if open_:
            groups = [name for name in open_ if name.startswith("group-")] or open_
            name = data.draw(st.sampled_from(open_) | st.sampled_from(groups))
            self.decided[name] = seen.devices[name]
            if self.view < self.begun and name not in self.pools[-1].devices:
                self.late.add(name)
                self.unremembered.add(name)

    @rule()
    def decisions_reach_the_api(self) -> None:
        self.world.claims |= self.decided.keys()

    @rule(seconds=st.sampled_from([1.0, WAIT_SECONDS / 2, WAIT_SECONDS]))
    def wait(self, seconds: float) -> None:
        """Nothing stays on its way for as long as the driver waits."""
        self.decisions_reach_the_api()
        self.world.clock.now += seconds
        while self.view + 1 < len(self.pools) and self.now - self.pools[self.view + 1].at >= WAIT_SECONDS:
            self.view += 1

    @precondition(lambda self: self.world.claims)
    @rule(data=st.data())
    def prepare(self, data: st.DataObject) -> None:
        self.prepared.add(data.draw(st.sampled_from(sorted(self.world.claims))))

    @precondition(lambda self: self.world.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.let_go({data.draw(st.sampled_from(sorted(self.world.claims)))})

    def let_go(self, names: set[str]) -> None:
        for known in (self.world.claims, self.prepared, self.late, self.unremembered):
            known.difference_update(names)
        self.decided = {name: device for name, device in self.decided.items() if name not in names}

    @rule(every=st.booleans(), restarts=st.booleans(), offer=st.none() | OFFERS, lost=st.none() | st.integers(0, 3))
    def wipe_slices(self, *, every: bool, restarts: bool, offer: Offer | None, lost: int | None) -> None:
        """As a kubelet does at its start; the driver may be down meanwhile, and remember nothing."""
        self.world.wipe(every=every)
        self.offer = offer or self.offer
        self.lost |= set() if lost is None else {lost}
        if restarts:
            self.restart()
        else:
            self.publish()

    @rule(offer=OFFERS, lost=st.none() | st.integers(0, 3), data=st.data())
    def decide_late(self, offer: Offer, lost: int | None, data: st.DataObject) -> None:
        """On slices that are gone, after the new driver has listed what claims hold."""
        self.wipe_slices(every=True, restarts=True, offer=offer, lost=lost)
        self.allocate(data)
        self.wait(WAIT_SECONDS)
        self.publish()

    @rule()
    def restart(self) -> None:
        self.unremembered = set(self.decided) - self.world.devices().keys()
        self.late = self.unremembered - self.world.claims
        self.world.begin()
        self.begun, self.begun_at = len(self.pools), self.now
        self.publish()

    @rule()
    def restart_while_claims_cannot_be_listed(self) -> None:
        """What was not published before cannot be until they are; what was stays, with its taints."""

        def fail() -> None:
            raise Unavailable("no answer")

        self.unremembered = set(self.decided) - self.world.devices().keys()
        self.late = set(self.unremembered)
        self.world.begin()
        self.begun = len(self.pools)
        self.world.inputs, self.world.on_list = self.inputs(), fail
        self.world.watch.deliver()
        self.world.publisher.step()
        self.world.on_list = lambda: None
        self.wait(1.0)
        self.late = self.unremembered - self.world.claims
        self.begun_at = self.now
        self.publish()

    @rule()
    def rest(self) -> None:
        """Nothing is claimed any more, and time passes: what is published is what is offered."""
        self.decisions_reach_the_api()
        self.let_go(set(self.decided))
        self.view = len(self.pools) - 1
        for _ in range(4):
            self.publish()
            self.wait(WAIT_SECONDS)
        self.publish()
        offered = {format_name(device, self.world.inputs.node.gpus) for device in devices_to_offer(self.world.inputs)}
        assert self.pools[-1].devices.keys() == offered


TestWithdrawal = Withdrawal.TestCase
TestWithdrawal.settings = settings(max_examples=50, stateful_step_count=30)
