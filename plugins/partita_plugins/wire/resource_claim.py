"""DeviceClass and ResourceClaim of resource.k8s.io/v1 (field names: facts of Kubernetes 1.36 and 1.37)."""

from __future__ import annotations

from typing import Any

import msgspec

from partita_plugins.wire.objects import Condition, ObjectMeta, Struct, Toleration


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
