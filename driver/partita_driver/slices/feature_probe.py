"""Which fields of a slice the API server keeps, asked with dry runs: nothing is stored, and nobody sees it.

With a feature gate off the API server takes a slice and drops the gate's fields without a word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields

import msgspec
import structlog

from partita_driver.runtime import Runtime
from partita_driver.slices.contents import ALL_FEATURES, Features, SliceContent, content_of, dropped, slice_name
from partita_driver.slices.plan import Owner, slice_of
from partita_plugins.errors import PartitaError
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import RESOURCE_SLICES
from partita_plugins.wire import FAULT_TAINT_KEY, VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION
from partita_plugins.wire.objects import Taint
from partita_plugins.wire.offer import shared_capacity
from partita_plugins.wire.resource_slice import CounterConsumption, CounterSet, CounterValue, Device, ResourceSlice

log = structlog.get_logger(__name__)

PROBE_SECONDS = 600.0
"""Between questions whether the API server keeps what it dropped: a gate was switched on, or the server replaced."""

PROBE_INDEX = 99
"""Of a slice that no pool is large enough to have."""

DROPPED_ADVICE: Mapping[str, str] = {
    "counters": "DRAPartitionableDevices is off in the API server: devices that overlap are not published",
    "taints": "DRADeviceTaints is off in the API server: faulty devices are taken out of the slices instead",
    "shares": "DRAConsumableCapacity is off in the API server: shared GPUs are not published",
    "conditions": "DRADeviceBindingConditions is off in the API server: devices are validated in Prepare, not before "
    "the bind",
}
"""What follows from a feature that is missing."""


class KeptFields:
    """What the API server keeps: all, until a write shows otherwise; from then on it is asked from time to time."""

    def __init__(
        self,
        api: KubeApi,
        on_features: Callable[[Owner, Features, Features], None],
        probe_seconds: float,
        runtime: Runtime,
    ) -> None:
        """`on_features` hears what was kept before and is now: at a change, and at each look that still misses some."""
        self.features = self._told = ALL_FEATURES
        self._api, self._on_features = api, on_features
        self._probe_seconds, self._due, self._runtime = probe_seconds, math.inf, runtime

    @property
    def due_seconds(self) -> float:
        """Until it is time to ask."""
        return max(0.0, self._due - self._runtime.monotonic())

    def look(self, owner: Owner) -> Features:
        """What is kept, asked anew if it is time."""
        if self.due_seconds == 0:
            try:
                self.features = kept_now(self._api, owner)
            except PartitaError as error:
                log.warning("what the API server keeps of slices is not known", error=str(error))
            self._tell(owner)
        return self.features

    def learn(self, kept: Features) -> None:
        """Take in what a write has shown."""
        self.features = both(self.features, kept)

    def tell(self, owner: Owner) -> None:
        """Tell what writes have shown since the last time."""
        if self.features != self._told:
            self._tell(owner)

    def _tell(self, owner: Owner) -> None:
        missing = self.features != ALL_FEATURES
        self._due = self._runtime.monotonic() + self._probe_seconds if missing else math.inf
        self._on_features(owner, self._told, self.features)
        self._told = self.features


def kept_now(api: KubeApi, owner: Owner) -> Features:
    """What the API server keeps now. Raises ApiError or Unavailable."""
    kept = ALL_FEATURES
    for content in _contents(owner.node_name):
        sent = slice_of(content, owner, count=1, generation=1)
        raw = api.create(RESOURCE_SLICES, sent, dry_run=True)
        stored = content_of(content.name, msgspec.json.decode(raw, type=ResourceSlice).spec)
        kept = both(kept, dropped(content, stored))
    return kept


def both(one: Features, other: Features) -> Features:
    """What two looks agree is kept."""
    return Features(**{field.name: getattr(one, field.name) and getattr(other, field.name) for field in fields(one)})


def _contents(node_name: str) -> tuple[SliceContent, ...]:
    one = {"probe": CounterValue(value="1")}
    device = Device(
        name="probe",
        capacity=shared_capacity(1024, clients=2),
        consumes_counters=[CounterConsumption(counter_set="probe", counters=one)],
        taints=[Taint(key=FAULT_TAINT_KEY, effect="NoSchedule")],
        allow_multiple_allocations=True,
        binding_conditions=[VALIDATED_CONDITION],
        binding_failure_conditions=[VALIDATION_FAILED_CONDITION],
    )
    name = slice_name(node_name, PROBE_INDEX)
    return (
        SliceContent(name=name, counters=(CounterSet(name="probe", counters=one),)),
        SliceContent(name=name, devices=(device,)),
    )
