"""Random earlier allocations: whole devices and shares, consistent or not, as a cluster with a history has them."""

from __future__ import annotations

from random import Random

from hack.benchmarks.predict.case import Json
from hack.benchmarks.predict.fleet import Fleet

MEMORY = ("1Gi", "2Gi", "512Mi", "1G", "4Gi", "7Gi")


def held(random: Random, number: int, found: Fleet, class_name: str) -> list[Json]:
    """Up to two claims that hold a part of the fleet."""
    rate = random.choice((0.0, 0.15, 0.25, 0.4))
    results = [
        result for owner, device in found.devices() if random.random() < rate for result in _of(random, owner, device)
    ]
    random.shuffle(results)
    cut = random.randrange(len(results) + 1) if len(results) > 1 else 0
    parts = [_distinct(part) for part in (results[:cut], results[cut:])]
    return [_claim(f"held-{number}-{i}", class_name, part[:32]) for i, part in enumerate(parts) if part]


def _of(random: Random, owner: Json, device: Json) -> list[Json]:
    spec = owner["spec"]
    result: Json = {"request": "r", "driver": spec["driver"], "pool": spec["pool"]["name"], "device": device["name"]}
    if random.random() < 0.03:
        result["device"] = "gone"
    if random.random() < 0.06:
        return [result | {"adminAccess": True}]
    if not device.get("allowMultipleAllocations") or random.random() < 0.04:
        return [result]
    return [_share(random, result, device) for _ in range(random.choice((1, 1, 2, 3)))]


def _share(random: Random, result: Json, device: Json) -> Json:
    amounts = {"cores": ("1", "500m", "10")}
    consumed = {name: random.choice(amounts.get(name, MEMORY)) for name in device.get("capacity", {})}
    share = {"shareID": _uuid(random)}
    return result | share | ({"consumedCapacity": consumed} if consumed else {})


def _uuid(random: Random) -> str:
    digits = f"{random.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _distinct(results: list[Json]) -> list[Json]:
    """A claim names a device once, but for shares."""
    found: dict[tuple[str, ...], Json] = {}
    for one in results:
        key = (one["driver"], one["pool"], one["device"], one.get("shareID", ""))
        found.setdefault(key, one)
    return list(found.values())


def _claim(name: str, class_name: str, results: list[Json]) -> Json:
    requests = [{"name": "r", "exactly": {"deviceClassName": class_name, "allocationMode": "All"}}]
    return {
        "metadata": {"name": name},
        "spec": {"devices": {"requests": requests}},
        # kube-scheduler would add the time where it is missing, and the API server refuse that.
        "status": {"allocation": {"devices": {"results": results}, "allocationTimestamp": "2026-01-01T00:00:00Z"}},
    }
