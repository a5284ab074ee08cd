"""Whatever happens to settings, hardware, slices and the driver: an allocated device stays published as it was, and
nothing that overlaps it can be allocated beside it.

The scheduler here decides by what it saw some time ago, as kube-scheduler does, but not longer ago than the driver
waits; and its decisions reach the API a while later.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from partita_driver.runtime import Threads
from partita_driver.slices.pool import EVERYTHING, PoolInputs
from partita_driver.slices.publisher import Publisher
from partita_plugins.model.offer import Offer, OfferedDevice, offered_devices
from partita_plugins.wire.device_names import format_name, parse_name
from partita_plugins.wire.resource import Device
from tests.driver.edge.worlds import ALL_SHAPES, Pooled, eventually, fault_on, pooled, slotted, without_gpu
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


class Clock(Threads):
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.monotonic = lambda: self.now


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


class Withdrawal(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.world: Pooled = self.stack.enter_context(pooled(directory, NODE, Offer(whole=True)))
        self.clock = Clock()
        self.offer, self.lost, self.faulty = Offer(whole=True), set[int](), set[int]()
        self.decided: dict[str, Device] = {}
        """All that the scheduler has given away, with what it was then."""

        self.prepared: set[str] = set()
        self.pools: list[Seen] = []
        self.view = 0
        self.begin()

    def teardown(self) -> None:
        self.publisher._watch.stop()
        self.stack.close()

    def begin(self) -> None:
        self.publisher: Publisher = self.world.publisher_of(WAIT_SECONDS, self.clock)
        self.publisher._watch.start()
        self.publish()

    @rule()
    def publish(self) -> None:
        """One successful round, and what must hold after it."""
        node = NODE
        for slot in sorted(self.lost):
            node = without_gpu(node, slot)
        self.world.inputs = PoolInputs(
            node_name=NODE_NAME,
            node=node,
            offer=self.offer,
            faults=tuple(fault_on(NODE, slot) for slot in sorted(self.faulty)),
            allocated=frozenset(self.prepared),
        )
        before = len(self.world.pools)
        assert eventually(lambda: self.publisher.step() is not None and len(self.world.pools) > before)
        slices = self.world.slices()
        assert {entry.spec.pool.resource_slice_count for entry in slices} == {len(slices)}
        assert len({entry.spec.pool.generation for entry in slices}) == 1
        totals = {
            (one.name, name): int(value.value)
            for entry in slices
            for one in entry.spec.shared_counters
            for name, value in one.counters.items()
        }
        devices = {device.name: device for entry in slices for device in entry.spec.devices}
        self.pools.append(Seen(devices, totals, self.clock.now))
        self.check(self.pools[-1])

    def check(self, pool: Seen) -> None:
        for name, given in self.decided.items():
            if name not in pool.devices:
                # Nothing can be said of it without its hardware, once the slices are gone and the driver began anew.
                assert self.lost & {slot for slot, _ in parts(name)}, f"{name} is allocated and not published"
            else:
                assert pool.devices[name].consumes_counters == given.consumes_counters
            for other, device in pool.devices.items():
                if other != name and parts(other) & parts(name):
                    one, two = consumed(given), consumed(device)
                    both = {key: one.get(key, 0) + two.get(key, 0) for key in one.keys() | two.keys()}
                    assert any(value > pool.totals[key] for key, value in both.items()), f"{name} and {other} fit"

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
            name = data.draw(st.sampled_from(open_))
            self.decided[name] = seen.devices[name]

    @rule()
    def decisions_reach_the_api(self) -> None:
        self.world.claims |= self.decided.keys()

    @rule(seconds=st.sampled_from([1.0, WAIT_SECONDS / 2, WAIT_SECONDS]))
    def wait(self, seconds: float) -> None:
        """Nothing stays on its way for as long as the driver waits."""
        self.decisions_reach_the_api()
        self.clock.now += seconds
        while self.view + 1 < len(self.pools) and self.clock.now - self.pools[self.view + 1].at >= WAIT_SECONDS:
            self.view += 1

    @precondition(lambda self: self.world.claims)
    @rule(data=st.data())
    def prepare(self, data: st.DataObject) -> None:
        self.prepared.add(data.draw(st.sampled_from(sorted(self.world.claims))))

    @precondition(lambda self: self.world.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.claims)))
        self.world.claims.discard(name)
        self.prepared.discard(name)
        del self.decided[name]

    @rule(every=st.booleans(), restarts=st.booleans())
    def wipe_slices(self, *, every: bool, restarts: bool) -> None:
        """As a kubelet does at its start; the driver may be down meanwhile, and remember nothing."""
        doomed = self.world.slices() if every else self.world.slices()[-1:]
        if restarts:
            self.publisher._watch.stop()
        for entry in doomed:
            self.world.server.delete("ResourceSlice", entry.metadata.name)
        if restarts:
            self.decisions_reach_the_api()
            self.begin()
            return
        uids = {entry.metadata.uid for entry in doomed}
        mirror = self.publisher._mirror
        assert eventually(lambda: not uids & {one.metadata.uid for one in mirror.snapshot().values()})
        self.publish()

    @rule()
    def restart(self) -> None:
        self.publisher._watch.stop()
        self.begin()


TestWithdrawal = Withdrawal.TestCase
TestWithdrawal.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
