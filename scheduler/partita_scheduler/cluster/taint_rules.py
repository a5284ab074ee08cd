"""DeviceTaintRules as kube-scheduler applies them: their taints are added to those that slices have. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from partita_plugins.wire.objects import Taint
from partita_plugins.wire.resource_slice import Device, ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule


class RuleTaint(Taint, frozen=True, kw_only=True, omit_defaults=False):
    """A taint that a rule puts on a device."""

    rule: str
    """The rule's name."""


def told(taint: Taint) -> str:
    """A taint as people write it: "key=value:effect"."""
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"


def touches(rule: DeviceTaintRule, found: ResourceSlice, *, all_without_selector: bool) -> bool:
    """Whether the rule taints a device of this slice. The last argument is by version (allocator.rules)."""
    selector = rule.spec.device_selector
    if selector is None:
        return all_without_selector
    return (
        selector.pool in (None, found.spec.pool.name)
        and selector.driver in (None, found.spec.driver)
        and (selector.device is None or any(device.name == selector.device for device in found.spec.devices))
    )


def tainted(found: ResourceSlice, rules: Iterable[DeviceTaintRule], *, all_without_selector: bool) -> ResourceSlice:
    """The slice with the rules' taints after its own, in their order; the same object where none touches it."""
    concerned = [rule for rule in rules if touches(rule, found, all_without_selector=all_without_selector)]
    if not concerned:
        return found
    taints = [(_device(rule), _taint(rule)) for rule in concerned]
    devices = [_tainted(device, taints) for device in found.spec.devices]
    return msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, devices=devices))


def _tainted(device: Device, taints: Iterable[tuple[str | None, RuleTaint]]) -> Device:
    added = [taint for name, taint in taints if name is None or name == device.name]
    return msgspec.structs.replace(device, taints=[*device.taints, *added]) if added else device


def _device(rule: DeviceTaintRule) -> str | None:
    """The one device that the rule names, of a slice that it touches."""
    selector = rule.spec.device_selector
    return selector.device if selector else None


def _taint(rule: DeviceTaintRule) -> RuleTaint:
    taint = rule.spec.taint
    return RuleTaint(
        key=taint.key, value=taint.value, effect=taint.effect, time_added=taint.time_added, rule=rule.metadata.name
    )
