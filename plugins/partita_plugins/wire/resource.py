"""resource.k8s.io/v1 as far as Partita reads or writes it (field names and limits: facts of Kubernetes 1.36 and 1.37).

Unknown fields are ignored on reading, so a newer API server does no harm; omitted fields are not written.
"""

from __future__ import annotations

from typing import Any

import msgspec

MAX_DEVICES_PER_SLICE = 64
"""128 in general, 64 where any device has taints or consumes counters, which ours do."""

MAX_COUNTER_SETS_PER_SLICE = 8


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of all API values: frozen, camelCase, defaults left out."""


class OwnerReference(Struct, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Struct, frozen=True, kw_only=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []


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


class CounterSet(Struct, frozen=True, kw_only=True):
    name: str
    counters: dict[str, CounterValue]


class Taint(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Written whole: the API server wants the effect named."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"
    time_added: str | msgspec.UnsetType | None = msgspec.UNSET
    """Left to the API server where unset."""


class Toleration(Struct, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


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


class CelSelector(Struct, frozen=True, kw_only=True):
    expression: str


class DeviceSelector(Struct, frozen=True, kw_only=True):
    cel: CelSelector | None = None


class OpaqueConfig(Struct, frozen=True, kw_only=True):
    driver: str
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class DeviceConfig(Struct, frozen=True, kw_only=True):
    """A config entry of a claim, a class (no requests) or an allocation (with its source)."""

    requests: list[str] = []
    opaque: OpaqueConfig | None = None
    source: str = ""


class DeviceClassSpec(Struct, frozen=True, kw_only=True):
    selectors: list[DeviceSelector] = []
    config: list[DeviceConfig] = []
    extended_resource_name: str | None = None


class DeviceClass(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DeviceClassSpec = DeviceClassSpec()


class CapacityRequirements(Struct, frozen=True, kw_only=True):
    requests: dict[str, str] = {}


class ExactRequest(Struct, frozen=True, kw_only=True):
    """`exactly`, and each alternative of `firstAvailable` (which then has a name of its own)."""

    name: str = ""
    device_class_name: str = ""
    selectors: list[DeviceSelector] = []
    allocation_mode: str = "ExactCount"
    count: int = 1
    admin_access: bool | None = None
    tolerations: list[Toleration] = []
    capacity: CapacityRequirements | None = None


class DeviceRequest(Struct, frozen=True, kw_only=True):
    name: str
    exactly: ExactRequest | None = None
    first_available: list[ExactRequest] = []


class DeviceConstraint(Struct, frozen=True, kw_only=True):
    requests: list[str] = []
    match_attribute: str | None = None
    distinct_attribute: str | None = None


class DeviceClaim(Struct, frozen=True, kw_only=True):
    requests: list[DeviceRequest] | None = None
    """The API server writes null for a claim without any: kube-scheduler makes such claims."""

    constraints: list[DeviceConstraint] = []
    config: list[DeviceConfig] = []


class ResourceClaimSpec(Struct, frozen=True, kw_only=True):
    devices: DeviceClaim = DeviceClaim()


class AllocationResult(Struct, frozen=True, kw_only=True):
    """One allocated device of a claim."""

    request: str
    """Request name, or "main/sub" for an alternative of firstAvailable."""

    driver: str
    pool: str
    device: str
    share_id: str | None = msgspec.field(default=None, name="shareID")
    consumed_capacity: dict[str, str] = {}
    admin_access: bool | None = None
    tolerations: list[Toleration] = []
    binding_conditions: list[str] = []
    binding_failure_conditions: list[str] = []


class DeviceAllocation(Struct, frozen=True, kw_only=True):
    results: list[AllocationResult] = []
    config: list[DeviceConfig] = []


class Allocation(Struct, frozen=True, kw_only=True):
    devices: DeviceAllocation = DeviceAllocation()
    node_selector: dict[str, Any] | None = None
    allocation_timestamp: str | None = None


class ConsumerReference(Struct, frozen=True, kw_only=True):
    api_group: str = ""
    resource: str
    name: str
    uid: str


class Condition(Struct, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class AllocatedDeviceStatus(Struct, frozen=True, kw_only=True):
    driver: str
    pool: str
    device: str
    share_id: str | None = msgspec.field(default=None, name="shareID")
    conditions: list[Condition] | None = None
    """The API server writes null for a driver that has none to tell."""

    data: Any = None


class ResourceClaimStatus(Struct, frozen=True, kw_only=True):
    allocation: Allocation | None = None
    reserved_for: list[ConsumerReference] = []
    devices: list[AllocatedDeviceStatus] = []


class ResourceClaim(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ResourceClaimSpec = ResourceClaimSpec()
    status: ResourceClaimStatus = ResourceClaimStatus()
