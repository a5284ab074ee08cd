"""Why a node cannot give what a pod asks, in plain words: each request is looked at alone, then all together."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from partita_plugins.model.offer import DeviceKind
from partita_plugins.model.quantity import parsed
from partita_plugins.scorers.links import slot_list
from partita_plugins.wire import DRIVER_NAME, FAULT_TAINT_KEY, MONITOR_TAINT_KEY
from partita_plugins.wire.objects import Taint
from partita_scheduler.allocator import capacity
from partita_scheduler.allocator.constraints import attribute_of
from partita_scheduler.allocator.in_use import Uses
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.plan import ClaimPlan, ConstraintPlan, RequestPlan
from partita_scheduler.allocator.rules import Rules
from partita_scheduler.allocator.standing import Standing, standing
from partita_scheduler.cel.selector import CelError, CelUnsupported
from partita_scheduler.cluster.taint_rules import RuleTaint, told
from partita_scheduler.reasons import Reason

ATTRIBUTE_WORDS = {
    f"{DRIVER_NAME}/nvlinkIsland": "NVLink island",
    "resource.kubernetes.io/pcieRoot": "PCIe root",
    "resource.kubernetes.io/numaNode": "NUMA node",
}
_KIND_WORDS: dict[str, str] = {
    DeviceKind.GPU: "GPU",
    DeviceKind.SHARED: "shared GPU",
    DeviceKind.GROUP: "GPU group",
    DeviceKind.MONITOR: "monitor",
}


def why_not(
    pools: tuple[InputPool, ...], uses: Uses, claims: tuple[ClaimPlan, ...], rules: Rules
) -> tuple[Reason, ...]:
    """At least one reason. Never raises: the search, which is over, may never have come to what fails here."""
    if not pools:
        return (Reason("no_devices", "no devices published"),)
    reasons = [
        Reason("invalid", f"the pool of {pool.id.driver} is invalid: {pool.invalid}") for pool in pools if pool.invalid
    ]
    if any(pool.incomplete for pool in pools):
        reasons.append(Reason("incomplete", "its devices are being published anew"))
    for claim in claims:
        reasons += _of_claim(claim, pools, uses, rules)
    if not reasons:
        reasons.append(Reason("together", "each request fits alone, but not all of them together"))
    return tuple(dict.fromkeys(reasons))


def _of_claim(claim: ClaimPlan, pools: tuple[InputPool, ...], uses: Uses, rules: Rules) -> list[Reason]:
    reasons: list[Reason] = []
    for alternatives in claim.requests:
        findings = [_of_one(request, claim, pools, uses, rules) for request in alternatives]
        if all(findings):
            reasons += [reason for finding in findings for reason in finding]
    return reasons


def _of_one(
    request: RequestPlan, claim: ClaimPlan, pools: tuple[InputPool, ...], uses: Uses, rules: Rules
) -> list[Reason]:
    try:
        return _of_request(request, claim, pools, uses, rules)
    except (CelError, CelUnsupported) as error:
        return [Reason("selector", str(error))]


def _of_request(
    request: RequestPlan, claim: ClaimPlan, pools: tuple[InputPool, ...], uses: Uses, rules: Rules
) -> list[Reason]:
    found = standing(request, pools, uses, rules)
    if not found.selected:
        return [_nothing_selected(request, pools)]
    count = len(found.selected) if request.all_devices else request.count
    what = _words(found.selected[0], request)
    reasons: list[Reason] = []
    if found.together < count:
        if found.free:
            reasons.append(Reason("taken", f"needs {count} {what}s, {found.together} free"))
        elif found.full:
            reasons.append(_too_full(request, found))
        elif len(found.tainted) < len(found.selected):
            reasons.append(Reason("taken", f"no {what} free"))
        reasons += [*_quarantined(found), *_ruled_out(found, what)]
    elif count > 1:
        drivers = {device.name: pool.id.driver for pool in pools for device in pool.devices}
        unmet = (_unmet(one, request, found, what, drivers) for one in claim.constraints if one.concerns(request))
        reasons += [reason for reason in unmet if reason]
    return reasons


def _nothing_selected(request: RequestPlan, pools: tuple[InputPool, ...]) -> Reason:
    devices = [(pool.id.driver, device.raw) for pool in pools for device in pool.devices]
    of_class = any(all(one.matches(*device) for one in request.class_selectors) for device in devices)
    if of_class and request.own_selectors:
        return Reason("no_match", f"no device of class {request.class_name} matches the request's selector")
    return Reason("no_match", f"class {request.class_name} selects none of the node's devices")


def _too_full(request: RequestPlan, found: Standing) -> Reason:
    """The capacity of which the most is missing everywhere."""
    for name, wanted in request.capacities:
        rest = [
            parsed(device.raw.capacity[name].value) - use.shares.get(device.name, {}).get(name, Decimal(0))
            for device, use in found.full
            if name in device.raw.capacity
        ]
        binary = name.endswith("memory")
        if rest and max(rest) < wanted:
            largest, asked = (capacity.canonical(value, binary=binary) for value in (max(rest), wanted))
            return Reason(name, f"{name}: largest share left is {largest}, asked {asked}")
        if not rest:
            return Reason(name, f"no device has a capacity {name!r}")
    return Reason("taken", f"no share left of a {_words(found.full[0][0], request)}".replace("shared GPU", "GPU"))


def _quarantined(found: Standing) -> list[Reason]:
    where: dict[str, None] = {}
    for device, taint in found.tainted:
        if isinstance(taint, RuleTaint) or (taint.key == MONITOR_TAINT_KEY and len(found.selected) > 1):
            continue  # Who asks for any device does not mean the monitor.
        slot = device.raw.attributes.get("slot")
        name = f"GPU {slot.int_}" if slot else device.name
        where[_kept_away(name, taint)] = None
    return [Reason("tainted", text) for text in where]


def _ruled_out(found: Standing, what: str) -> list[Reason]:
    """What administrators taint, by rule."""
    by_rule: dict[RuleTaint, list[InputDevice]] = {}
    for device, taint in found.tainted:
        if isinstance(taint, RuleTaint):
            by_rule.setdefault(taint, []).append(device)
    reasons = []
    for taint, devices in by_rule.items():
        which = f"every {what}" if len(devices) == len(found.selected) else _some(devices, what)
        reasons.append(Reason("tainted", f"{which} tainted by rule {taint.rule} ({told(taint)})"))
    return reasons


def _some(devices: list[InputDevice], what: str) -> str:
    """Whole GPUs by their slots, others counted."""
    found = (device.raw.attributes.get("slot") for device in devices)
    slots = sorted({slot.int_ for slot in found if slot and slot.int_ is not None})
    if slots and what == _KIND_WORDS[DeviceKind.GPU]:
        return slot_list(tuple(slots))
    return f"one {what}" if len(devices) == 1 else f"{len(devices)} {what}s"


def _kept_away(name: str, taint: Taint) -> str:
    if taint.key == MONITOR_TAINT_KEY:
        return f"the node's monitor needs adminAccess and a toleration of {taint.key}"
    cause = f"fault: {taint.value or 'unknown'}" if taint.key == FAULT_TAINT_KEY else f"taint {taint.key}"
    return f"{name} quarantined ({cause})"


def _unmet(
    one: ConstraintPlan, request: RequestPlan, found: Standing, what: str, drivers: dict[str, str]
) -> Reason | None:
    values = Counter(attribute_of(device.raw, drivers[device.name], one.attribute) for device in found.free)
    del values[None]
    words = ATTRIBUTE_WORDS.get(one.attribute, one.attribute.rpartition("/")[2])
    best = len(values) if one.distinct else max(values.values(), default=0)
    if best >= request.count:
        return None
    how = f"with different {words}s" if one.distinct else f"of one {words}"
    return Reason("constraint", f"needs {request.count} {what}s {how}, at most {best} free")


def _words(device: InputDevice, request: RequestPlan) -> str:
    """What people call such a device: "GPU", "3g"."""
    kind, shape = device.raw.attributes.get("type"), device.raw.attributes.get("shape")
    if device.slice_.spec.driver != DRIVER_NAME or kind is None:
        return f"device of class {request.class_name}"
    return str(shape.value) if shape else _KIND_WORDS.get(str(kind.value), "device")
