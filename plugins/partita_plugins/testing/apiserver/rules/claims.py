"""ResourceClaim, ResourceClaimTemplate and DeviceClass: defaults, limits, and who may change what."""

from __future__ import annotations

from typing import Any

from partita_plugins.testing.apiserver.errors import Json
from partita_plugins.testing.apiserver.rules.names import Problems, is_dns_label, is_dns_subdomain
from partita_plugins.testing.apiserver.store import encode

REQUESTS_MAX = 32
ALTERNATIVES_MAX = 8
RESERVED_MAX = 256
CONDITIONS_MAX = 8
DATA_BYTES_MAX = 10 * 1024
PARAMETERS_BYTES_MAX = 10 * 1024
EXPRESSION_BYTES_MAX = 10 * 1024

DeviceKey = tuple[str, str, str, str]
"""Driver, pool, device and share of an allocated device."""


def default_claim(obj: Json, _now: str) -> None:
    _default_spec(obj.get("spec") or {})


def default_template(obj: Json, _now: str) -> None:
    _default_spec((obj.get("spec") or {}).get("spec") or {})


def _default_spec(spec: Json) -> None:
    for request in (spec.get("devices") or {}).get("requests") or []:
        exactly = request.get("exactly")
        for entry in [exactly] if exactly else request.get("firstAvailable") or []:
            entry.setdefault("allocationMode", "ExactCount")
            if entry["allocationMode"] == "ExactCount":
                entry.setdefault("count", 1)


def check_claim(obj: Json, before: Json | None, problems: Problems) -> None:
    if before is not None:
        problems.unchanged(before.get("spec"), obj.get("spec"), "spec")
    _check_spec(obj.get("spec") or {}, "spec", problems)
    if before is not None:
        _check_status(obj.get("status") or {}, before, obj, problems)


def check_template(obj: Json, before: Json | None, problems: Problems) -> None:
    if before is not None:
        problems.unchanged(before.get("spec"), obj.get("spec"), "spec")
    _check_spec((obj.get("spec") or {}).get("spec") or {}, "spec.spec", problems)


def check_class(obj: Json, _before: Json | None, problems: Problems) -> None:
    spec = obj.get("spec") or {}
    _check_selectors(spec.get("selectors") or [], "spec.selectors", problems)
    _check_config(spec.get("config") or [], "spec.config", problems)


def _check_spec(spec: Json, field: str, problems: Problems) -> None:
    devices = spec.get("devices") or {}
    requests, field = devices.get("requests") or [], f"{field}.devices"
    problems.at_most(requests, REQUESTS_MAX, f"{field}.requests")
    problems.unique([request.get("name") for request in requests], f"{field}.requests")
    for index, request in enumerate(requests):
        _check_request(request, f"{field}.requests[{index}]", problems)
    problems.at_most(devices.get("constraints"), REQUESTS_MAX, f"{field}.constraints")
    _check_config(devices.get("config") or [], f"{field}.config", problems)


def _check_request(request: Json, field: str, problems: Problems) -> None:
    problems.require(is_dns_label(request.get("name")), f"{field}.name", "must be a DNS label")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    if bool(exactly) == bool(alternatives):
        problems.add(field, "Invalid value: exactly one of `exactly` or `firstAvailable` is required")
        return
    problems.at_most(alternatives, ALTERNATIVES_MAX, f"{field}.firstAvailable")
    for entry in [exactly] if exactly else alternatives or []:
        problems.require_value(entry.get("deviceClassName"), f"{field}.deviceClassName")
        mode = entry.get("allocationMode")
        if mode == "ExactCount":
            problems.require(entry.get("count", 1) > 0, f"{field}.count", "must be greater than zero")
        elif mode == "All":
            problems.require(not entry.get("count"), f"{field}.count", "must not be set with allocationMode All")
        else:
            problems.add(f"{field}.allocationMode", f"Unsupported value: {mode!r}: ExactCount or All")
        _check_selectors(entry.get("selectors") or [], f"{field}.selectors", problems)
        problems.at_most(entry.get("tolerations"), 16, f"{field}.tolerations")


def _check_selectors(selectors: list[Json], field: str, problems: Problems) -> None:
    problems.at_most(selectors, REQUESTS_MAX, field)
    for index, selector in enumerate(selectors):
        expression = (selector.get("cel") or {}).get("expression")
        problems.require_value(expression, f"{field}[{index}].cel.expression")
        short = len(str(expression).encode()) <= EXPRESSION_BYTES_MAX
        problems.require(short, f"{field}[{index}].cel.expression", f"longer than {EXPRESSION_BYTES_MAX} bytes")


def _check_config(config: list[Json], field: str, problems: Problems) -> None:
    problems.at_most(config, REQUESTS_MAX, field)
    for index, entry in enumerate(config):
        opaque = entry.get("opaque") or {}
        where = f"{field}[{index}].opaque"
        problems.require(is_dns_subdomain(opaque.get("driver"), 63), f"{where}.driver", "must be a driver's name")
        problems.require(isinstance(opaque.get("parameters"), dict), f"{where}.parameters", "must be a JSON object")
        small = len(encode(opaque.get("parameters"))) <= PARAMETERS_BYTES_MAX
        problems.require(small, f"{where}.parameters", f"longer than {PARAMETERS_BYTES_MAX} bytes")


def _check_status(status: Json, before: Json, obj: Json, problems: Problems) -> None:
    old, new = (before.get("status") or {}).get("allocation"), status.get("allocation")
    if old is not None and new is not None:
        problems.unchanged(old, new, "status.allocation")
    reserved = status.get("reservedFor") or []
    problems.at_most(reserved, RESERVED_MAX, "status.reservedFor")
    problems.unique([consumer.get("uid") for consumer in reserved], "status.reservedFor")
    if reserved and new is None:
        problems.add("status.reservedFor", "Forbidden: may not be specified when `allocated` is not set")
    old_uids = {consumer.get("uid") for consumer in (before.get("status") or {}).get("reservedFor") or []}
    added = {consumer.get("uid") for consumer in reserved} - old_uids
    if added and obj["metadata"].get("deletionTimestamp"):
        problems.add("status.reservedFor", "Forbidden: new entries may not be added while the claim is being deleted")
    problems.at_most(_results(new), REQUESTS_MAX, "status.allocation.devices.results")
    _check_devices(status.get("devices") or [], allocated_devices(new), problems)


def _results(allocation: Json | None) -> list[Json]:
    return ((allocation or {}).get("devices") or {}).get("results") or []


def _device_key(entry: Json) -> DeviceKey:
    return (*(str(entry.get(name)) for name in ("driver", "pool", "device")), str(entry.get("shareID") or ""))  # type: ignore[return-value]


def allocated_devices(allocation: Json | None) -> set[DeviceKey]:
    return {_device_key(result) for result in _results(allocation)}


def drop_deallocated(status: Json, before: Json) -> None:
    """What drivers reported about devices vanishes with their allocation."""
    old = allocated_devices((before.get("status") or {}).get("allocation"))
    gone = old - allocated_devices(status.get("allocation"))
    reported: list[Any] = status.get("devices") or []
    if gone and reported:
        status["devices"] = [entry for entry in reported if _device_key(entry) not in gone]
        if not status["devices"]:
            del status["devices"]


def _check_devices(devices: list[Json], allocated: set[DeviceKey], problems: Problems) -> None:
    problems.unique([_device_key(entry) for entry in devices], "status.devices")
    for index, entry in enumerate(devices):
        field = f"status.devices[{index}]"
        problems.require(_device_key(entry) in allocated, field, "must be an allocated device in the claim")
        problems.at_most(entry.get("conditions"), CONDITIONS_MAX, f"{field}.conditions")
        small = entry.get("data") is None or len(encode(entry["data"])) <= DATA_BYTES_MAX
        problems.require(small, f"{field}.data", f"longer than {DATA_BYTES_MAX} bytes")
