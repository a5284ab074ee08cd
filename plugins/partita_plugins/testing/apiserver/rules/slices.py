"""ResourceSlice: the limits and formats that a driver's publication must keep."""

from __future__ import annotations

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.rules.devices import check_device, uses_small_limit
from partita_plugins.testing.apiserver.rules.names import (
    Problems,
    is_dns_label,
    is_dns_subdomain,
    is_pool_name,
    quantity,
)

DEVICES_MAX = 128
DEVICES_MAX_SMALL = 64
"""Where any device of the slice has taints, counters or list attributes."""
COUNTER_SETS_MAX = 8
COUNTERS_MAX = 32

_NODE_FIELDS = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def default_slice(obj: Json, now: str) -> None:
    """The server stamps taints that carry no time."""
    for device in obj.get("spec", {}).get("devices") or []:
        for taint in device.get("taints") or []:
            taint.setdefault("timeAdded", now)


def check_slice(obj: Json, before: Json | None, problems: Problems) -> None:
    spec = obj.get("spec") or {}
    driver, pool = spec.get("driver"), spec.get("pool") or {}
    problems.require_value(driver, "spec.driver")
    problems.require(
        is_dns_subdomain(driver, 63), "spec.driver", f'"{driver}" must be a DNS subdomain, at most 63 bytes'
    )
    problems.require(
        is_pool_name(pool.get("name")),
        "spec.pool.name",
        f'"{pool.get("name")}" must be DNS subdomains separated by slashes, at most 253 bytes',
    )
    problems.require(pool.get("generation", 0) >= 0, "spec.pool.generation", "must be greater than or equal to 0")
    problems.require(pool.get("resourceSliceCount", 0) > 0, "spec.pool.resourceSliceCount", "must be greater than 0")
    selected = [name for name in _NODE_FIELDS if spec.get(name)]
    if len(selected) != 1:
        problems.add("spec", f"Invalid value: exactly one of {', '.join(_NODE_FIELDS)} is required, found {selected}")
    if before is not None:
        for path in ("driver", "nodeName"):
            problems.unchanged(before["spec"].get(path), spec.get(path), f"spec.{path}")
        problems.unchanged(before["spec"]["pool"].get("name"), pool.get("name"), "spec.pool.name")
    _check_contents(spec, problems)


def _check_contents(spec: Json, problems: Problems) -> None:
    devices, counter_sets = spec.get("devices") or [], spec.get("sharedCounters") or []
    if devices and counter_sets:
        problems.add(
            "spec",
            "Invalid value: only one of devices and sharedCounters can be set: "
            "publish the counter sets in a slice of their own",
        )
    small = any(uses_small_limit(device) for device in devices)
    problems.at_most(devices, DEVICES_MAX_SMALL if small else DEVICES_MAX, "spec.devices")
    problems.unique([device.get("name") for device in devices], "spec.devices")
    for index, device in enumerate(devices):
        check_device(device, f"spec.devices[{index}]", problems)
        per_device = [name for name in ("nodeName", "nodeSelector", "allNodes") if device.get(name)]
        expected = 1 if spec.get("perDeviceNodeSelection") else 0
        problems.require(
            len(per_device) == expected,
            f"spec.devices[{index}]",
            f"{expected} node selection expected, found {per_device}",
        )
    problems.at_most(counter_sets, COUNTER_SETS_MAX, "spec.sharedCounters")
    problems.unique([counter_set.get("name") for counter_set in counter_sets], "spec.sharedCounters")
    for index, counter_set in enumerate(counter_sets):
        _check_counter_set(counter_set, f"spec.sharedCounters[{index}]", problems)


def _check_counter_set(counter_set: Json, field: str, problems: Problems) -> None:
    problems.require(is_dns_label(counter_set.get("name")), f"{field}.name", "must be a DNS label")
    counters = counter_set.get("counters") or {}
    problems.require_value(counters, f"{field}.counters")
    problems.at_most(counters, COUNTERS_MAX, f"{field}.counters")
    for name, counter in counters.items():
        problems.require(is_dns_label(name), f"{field}.counters", f'"{name}" must be a DNS label')
        value = quantity(counter.get("value"))
        problems.require(
            value is not None and value >= 0,
            f"{field}.counters[{name}].value",
            f"{counter.get('value')!r} is no quantity of at least 0",
        )
