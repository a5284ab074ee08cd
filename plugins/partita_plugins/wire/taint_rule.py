"""DeviceTaintRule: an administrator's taint on devices that drivers publish. 1.37 has it in resource.k8s.io/v1, 1.36 in
v1beta2; the fields are the same.
"""

from __future__ import annotations

from partita_plugins.wire.objects import ObjectMeta, Struct, Taint


class DeviceTaintSelector(Struct, frozen=True, kw_only=True):
    """Devices for which all that is given is equal; nothing given: every device of every driver."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None


class DeviceTaintRuleSpec(Struct, frozen=True, kw_only=True):
    device_selector: DeviceTaintSelector | None = None
    """What none at all selects differs by version."""

    taint: Taint


class DeviceTaintRule(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DeviceTaintRuleSpec
