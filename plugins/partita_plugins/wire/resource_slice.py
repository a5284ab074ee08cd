"""ResourceSlice of resource.k8s.io/v1 (field names and limits: facts of Kubernetes 1.36 and 1.37)."""

from __future__ import annotations

from typing import Any

import msgspec

from partita_plugins.wire.objects import ObjectMeta, Struct, Taint

MAX_DEVICES_PER_SLICE = 64
"""128 in general, 64 where any device has taints or consumes counters, which ours do."""

MAX_COUNTER_SETS_PER_SLICE = 8


class AttributeValue(Struct, frozen=True, kw_only=True):
    """Exactly one of the four."""

    bool_: bool | None = msgspec.field(default=None, name="bool")
    int_: int | None = msgspec.field(default=None, name="int")
    string: str | None = None
    version: str | None = None

    @property
    def value(self) -> bool | int | str | None:
        for candidate in (self.bool_, self.int_, self.string):
            if candidate is not None:
                return candidate
        return self.version


class ValidRange(Struct, frozen=True, kw_only=True):
    min: str
    max: str | None = None
    step: str | None = None


class RequestPolicy(Struct, frozen=True, kw_only=True):
    default: str | None = None
    valid_values: list[str] = []
    valid_range: ValidRange | None = None


class Capacity(Struct, frozen=True, kw_only=True):
    value: str
    request_policy: RequestPolicy | None = None


class CounterValue(Struct, frozen=True, kw_only=True):
    value: str


class CounterConsumption(Struct, frozen=True, kw_only=True):
    counter_set: str
    counters: dict[str, CounterValue]
    compatibility_groups: list[str] = []
    """From 1.37 on, by the gate DRADeviceCompatibilityGroups, which is off by default (KEP-5963)."""


class CounterSet(Struct, frozen=True, kw_only=True):
    name: str
    counters: dict[str, CounterValue]


class Device(Struct, frozen=True, kw_only=True):
    name: str
    attributes: dict[str, AttributeValue] = {}
    capacity: dict[str, Capacity] = {}
    consumes_counters: list[CounterConsumption] = []
    taints: list[Taint] = []
    allow_multiple_allocations: bool | None = None
    binding_conditions: list[str] = []
    binding_failure_conditions: list[str] = []
    binds_to_node: bool | None = None
    node_name: str | None = None
    node_selector: dict[str, Any] | None = None
    all_nodes: bool | None = None


class Pool(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """All three are required by the API server, so a count of 1 is written too."""

    name: str
    generation: int = 1
    resource_slice_count: int = 1


class ResourceSliceSpec(Struct, frozen=True, kw_only=True):
    driver: str
    pool: Pool
    node_name: str | None = None
    node_selector: dict[str, Any] | None = None
    all_nodes: bool | None = None
    per_device_node_selection: bool | None = None
    devices: list[Device] = []
    shared_counters: list[CounterSet] = []


class ResourceSlice(Struct, frozen=True, kw_only=True, omit_defaults=False):
    api_version: str = "resource.k8s.io/v1"
    kind: str = "ResourceSlice"
    metadata: ObjectMeta = ObjectMeta()
    spec: ResourceSliceSpec
