"""One device of a ResourceSlice: attributes, capacities with their request policies, counters, taints."""

from __future__ import annotations

from typing import Any

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.rules.names import (
    Problems,
    is_dns_label,
    is_label_key,
    is_label_value,
    is_qualified_name,
    is_version,
    quantity,
)

ATTRIBUTES_AND_CAPACITIES_MAX = 32
ATTRIBUTE_VALUES_MAX = 48
CONSUMED_SETS_MAX = 2
CONSUMED_COUNTERS_MAX = 32
TAINTS_MAX = 16
BINDING_CONDITIONS_MAX = 4
VALID_VALUES_MAX = 10

_LIST_KINDS = {"bools": "bool", "ints": "int", "strings": "string", "versions": "version"}
_INT64 = 1 << 63


def uses_small_limit(device: Json) -> bool:
    """Whether the device brings its slice's limit down."""
    lists = any(kind in _LIST_KINDS for value in (device.get("attributes") or {}).values() for kind in value)
    return bool(device.get("taints") or device.get("consumesCounters") or lists)


def check_device(device: Json, field: str, problems: Problems) -> None:
    name = device.get("name")
    problems.require(is_dns_label(name), f"{field}.name", f'"{name}" must be a DNS label')
    attributes, capacities = device.get("attributes") or {}, device.get("capacity") or {}
    total = len(attributes) + len(capacities)
    problems.require(
        total <= ATTRIBUTES_AND_CAPACITIES_MAX,
        field,
        f"{total} attributes and capacities, at most {ATTRIBUTES_AND_CAPACITIES_MAX}",
    )
    for key, value in attributes.items():
        _check_attribute(key, value, f"{field}.attributes[{key}]", problems)
    counted = sum(
        len(entry) if isinstance(entry, list) else 1 for value in attributes.values() for entry in value.values()
    )
    problems.require(
        counted <= ATTRIBUTE_VALUES_MAX, f"{field}.attributes", f"{counted} values, at most {ATTRIBUTE_VALUES_MAX}"
    )
    multiple = bool(device.get("allowMultipleAllocations"))
    for key, capacity in capacities.items():
        _check_capacity(key, capacity, f"{field}.capacity[{key}]", problems, multiple=multiple)
    _check_consumption(device.get("consumesCounters") or [], f"{field}.consumesCounters", problems)
    _check_taints(device.get("taints") or [], f"{field}.taints", problems)
    _check_binding(device, field, problems)


def _check_attribute(key: str, value: Json, field: str, problems: Problems) -> None:
    problems.require(
        is_qualified_name(key), field, "must be an optional domain of up to 63 bytes and a C identifier of up to 32"
    )
    if len(value) != 1:
        problems.add(field, f"Invalid value: exactly one of bool, int, string, version, found {sorted(value)}")
        return
    ((kind, content),) = value.items()
    listed = kind in _LIST_KINDS and isinstance(content, list)
    for entry in content if listed else [content]:
        wrong = _attribute_problem(_LIST_KINDS.get(kind, kind), entry)
        problems.require(not wrong, f"{field}.{kind}", wrong)


def _attribute_problem(kind: str, content: Any) -> str:
    match kind:
        case "bool":
            return "" if isinstance(content, bool) else f"{content!r} is no boolean"
        case "int":
            fits = isinstance(content, int) and not isinstance(content, bool) and -_INT64 <= content < _INT64
            return "" if fits else f"{content!r} is no 64-bit integer"
        case "string":
            fits = isinstance(content, str) and len(content.encode()) <= 64
            return "" if fits else f"{content!r} is no string of up to 64 bytes"
        case "version":
            return "" if is_version(content) else f"{content!r} is no semantic version (2.0.0) of up to 64 bytes"
        case _:
            return f"unknown attribute type {kind!r}"


def _check_capacity(key: str, capacity: Json, field: str, problems: Problems, *, multiple: bool) -> None:
    problems.require(is_qualified_name(key), field, "must be an optional domain and a C identifier of up to 32 bytes")
    value = quantity(capacity.get("value"))
    problems.require(value is not None, f"{field}.value", f"{capacity.get('value')!r} is no quantity")
    policy = capacity.get("requestPolicy")
    if policy is None or value is None:
        return
    field = f"{field}.requestPolicy"
    if not multiple:
        problems.add(field, "Forbidden: allowed only on a device with allowMultipleAllocations", "FieldValueForbidden")
        return
    allowed, span = policy.get("validValues"), policy.get("validRange")
    problems.require(not (allowed and span), field, "only one of validValues and validRange")
    default = quantity(policy.get("default"))
    if default is None:
        problems.require(not (allowed or span), f"{field}.default", "required with validValues or validRange")
        return
    problems.require(default <= value, f"{field}.default", "larger than the capacity")
    problems.at_most(allowed, VALID_VALUES_MAX, f"{field}.validValues")
    if allowed:
        values = [found for found in map(quantity, allowed) if found is not None]
        problems.require(
            values == sorted(set(values)) and len(values) == len(allowed),
            f"{field}.validValues",
            "must be quantities in ascending order",
        )
        problems.require(default in values, f"{field}.default", "must be one of validValues")
    if span:
        _check_range(span, policy, value, f"{field}.validRange", problems)


def _check_range(span: Json, policy: Json, value: Any, field: str, problems: Problems) -> None:
    low, default = quantity(span.get("min")), quantity(policy.get("default"))
    if low is None or default is None:
        problems.add(f"{field}.min", "Required value", "FieldValueRequired")
        return
    high = quantity(span["max"]) if span.get("max") is not None else None
    problems.require(low <= default, f"{field}.min", "larger than the default")
    problems.require(low <= value, f"{field}.min", "larger than the capacity")
    if high is not None:
        problems.require(default <= high <= value, f"{field}.max", "must lie between the default and the capacity")
    if span.get("step") is None:
        return
    step = quantity(span["step"])
    if step is None or step <= 0:
        problems.add(f"{field}.step", "Invalid value: must be a positive quantity")
        return
    ends = [default] if high is None else [default, high]
    problems.require(
        all((end - low) % step == 0 for end in ends),
        f"{field}.step",
        "default - min and max - min must be multiples of the step",
    )


def _check_consumption(consumed: list[Json], field: str, problems: Problems) -> None:
    problems.at_most(consumed, CONSUMED_SETS_MAX, field)
    problems.unique([entry.get("counterSet") for entry in consumed], field)
    for index, entry in enumerate(consumed):
        problems.require_value(entry.get("counterSet"), f"{field}[{index}].counterSet")
        counters = entry.get("counters") or {}
        problems.require_value(counters, f"{field}[{index}].counters")
        problems.at_most(counters, CONSUMED_COUNTERS_MAX, f"{field}[{index}].counters")
        for name, counter in counters.items():
            problems.require(is_dns_label(name), f"{field}[{index}].counters", f'"{name}" must be a DNS label')
            problems.require(
                quantity(counter.get("value")) is not None,
                f"{field}[{index}].counters[{name}].value",
                f"{counter.get('value')!r} is no quantity",
            )


def _check_taints(taints: list[Json], field: str, problems: Problems) -> None:
    problems.at_most(taints, TAINTS_MAX, field)
    for index, taint in enumerate(taints):
        check_taint(taint, f"{field}[{index}]", problems)


def check_taint(taint: Json, field: str, problems: Problems) -> None:
    problems.require(is_label_key(taint.get("key")), f"{field}.key", "must be a label key")
    problems.require(is_label_value(taint.get("value", "")), f"{field}.value", "must be a label value")
    problems.require(
        taint.get("effect") in ("None", "NoSchedule", "NoExecute"),
        f"{field}.effect",
        f"{taint.get('effect')!r}: supported values are None, NoSchedule, NoExecute",
    )


def _check_binding(device: Json, field: str, problems: Problems) -> None:
    wanted, failures = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    problems.at_most(wanted, BINDING_CONDITIONS_MAX, f"{field}.bindingConditions")
    problems.at_most(failures, BINDING_CONDITIONS_MAX, f"{field}.bindingFailureConditions")
    for name in [*wanted, *failures]:
        problems.require(is_label_key(name), f"{field}.bindingConditions", f'"{name}" must be a qualified name')
    problems.require(
        bool(wanted) == bool(failures),
        f"{field}.bindingConditions",
        "bindingConditions and bindingFailureConditions are set together",
    )
