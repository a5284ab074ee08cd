"""Which parts of the allocator a case exercises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from hack.benchmarks.predict.case import ALLOCATED, ERROR, Case, Json, Outcome
from hack.benchmarks.predict.model import pod_of, predict, view

from partita_plugins.errors import PartitaError
from partita_scheduler.allocator.in_use import in_use
from partita_scheduler.allocator.nodes import node_pools
from partita_scheduler.allocator.result import Budget
from partita_scheduler.allocator.rules import rules_for
from partita_scheduler.allocator.search import Search
from partita_scheduler.policy.claims import wants

WANTED: Mapping[str, float] = {
    "earlier allocations": 15.0,
    "partly used counters": 15.0,
    "firstAvailable": 15.0,
    "constraints that backtrack": 15.0,
    "shared devices": 15.0,
    "several claims": 15.0,
    "no solution": 15.0,
    "taint rules": 10.0,
}
"""Percent of the cases that must exercise the part."""

_STEPS = 20_000


def parts(case: Case, seen: Outcome, server_minor: int) -> set[str]:
    """What the case was about. `seen` is what kube-scheduler did."""
    return set(_parts(case, seen, server_minor))


def percentages(cases: Iterable[set[str]]) -> dict[str, float]:
    """Part to the share of cases that exercise it, the wanted ones first."""
    found, total = Counter[str](), 0
    for one in cases:
        found.update(one)
        total += 1
    names = [*WANTED, *sorted(found.keys() - set(WANTED))]
    return {name: round(100 * found[name] / max(total, 1), 1) for name in names}


def _parts(case: Case, seen: Outcome, server_minor: int) -> Iterator[str]:
    own = [claim for claim in case.claims if not claim.get("status", {}).get("allocation")]
    earlier = [result for claim in case.claims for result in _results(claim)]
    held = {(one["driver"], one["pool"], one["device"]) for one in earlier if not one.get("adminAccess")}
    devices = [(one, device) for one in case.slices for device in one["spec"].get("devices", [])]
    counted = {_key(one, device) for one, device in devices if device.get("consumesCounters")}
    if earlier:
        yield "earlier allocations"
    if held & counted:
        yield "partly used counters"
    if len(own) > 1:
        yield "several claims"
    if seen.kind != ALLOCATED:
        yield "error" if seen.kind == ERROR else "no solution"
    if any(device.get("allowMultipleAllocations") for _, device in devices) and _asks_shared(case, seen):
        yield "shared devices"
    yield from _of_requests([request for claim in own for request in claim["spec"]["devices"]["requests"]])
    yield from _of_slices(case)
    yield from _of_rules(case, server_minor)
    if any("constraints" in claim["spec"]["devices"] for claim in own):
        yield "constraints"
        if _backtracks(case, server_minor):
            yield "constraints that backtrack"
    if any(container["resources"].get("requests") for container in case.pod["spec"]["containers"]):
        yield "extended resources"


def _of_requests(requests: list[Json]) -> Iterator[str]:
    if any("firstAvailable" in one for one in requests):
        yield "firstAvailable"
    every = [exact for one in requests for exact in one.get("firstAvailable") or [one["exactly"]]]
    for name, is_so in (
        ("mode All", any(one["allocationMode"] == "All" for one in every)),
        ("admin access", any(one.get("adminAccess") for one in every)),
        ("tolerations", any(one.get("tolerations") for one in every)),
        ("capacity requests", any(one.get("capacity") for one in every)),
    ):
        if is_so:
            yield name


def _of_slices(case: Case) -> Iterator[str]:
    specs = [one["spec"] for one in case.slices]
    devices = [device for spec in specs for device in spec.get("devices", [])]
    for name, is_so in (
        ("node selectors", any("nodeSelector" in spec for spec in specs)),
        ("per-device node selection", any("perDeviceNodeSelection" in spec for spec in specs)),
        ("binding conditions", any("bindingConditions" in device for device in devices)),
        ("taints", any("taints" in device for device in devices)),
        ("several pools", len({(spec["driver"], spec["pool"]["name"]) for spec in specs}) > 1),
    ):
        if is_so:
            yield name


def _of_rules(case: Case, server_minor: int) -> Iterator[str]:
    if case.rules:
        yield "taint rules"
        without = msgspec.structs.replace(case, rules=[])
        if not predict(case, server_minor).agrees(predict(without, server_minor)):
            yield "taint rules that decide"


def _asks_shared(case: Case, seen: Outcome) -> bool:
    """Whether a share was allocated, now or earlier."""
    earlier = any("shareID" in result for claim in case.claims for result in _results(claim))
    return earlier or any("shareID" in one for claim in seen.claims.values() for one in claim["results"])


def _backtracks(case: Case, server_minor: int) -> bool:
    """Whether the search gave a device back, though it would not have without the constraints."""
    return 0 < _given_back(case, server_minor) != _given_back(_without_constraints(case), server_minor)


def _given_back(case: Case, server_minor: int) -> int:
    seen, pod = view(case, server_minor), pod_of(case)
    node = next(iter(seen.nodes.values()))
    plans = wants(seen, pod).plans
    search = Search(node_pools(seen, node).pools, in_use(seen, ""), plans, rules_for(server_minor), Budget(_STEPS))
    try:
        search.run()
    except PartitaError:
        return search.taken.given_back
    return search.taken.given_back


def _without_constraints(case: Case) -> Case:
    def without(claim: Json) -> Json:
        devices = {k: v for k, v in claim["spec"]["devices"].items() if k != "constraints"}
        return {**claim, "spec": {**claim["spec"], "devices": devices}}

    return msgspec.structs.replace(case, claims=[without(claim) for claim in case.claims])


def _results(claim: Json) -> list[Json]:
    allocation = claim.get("status", {}).get("allocation")
    return allocation["devices"].get("results", []) if allocation else []


def _key(owner: Json, device: Json) -> tuple[str, str, str]:
    return (owner["spec"]["driver"], owner["spec"]["pool"]["name"], device["name"])
