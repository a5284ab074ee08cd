"""One case: a node, what it offers, what is held, and a pod; and what became of the pod."""

from __future__ import annotations

from typing import Any

import msgspec

from partita_plugins.wire.resource_claim import Allocation, AllocationResult

Json = dict[str, Any]

ALLOCATED, UNSCHEDULABLE, ERROR = "allocated", "unschedulable", "error"
"""What can become of a pod. An error ends the attempt on all nodes."""

EXTENDED = "extended"
"""In outcomes, the name of the claim that kube-scheduler makes for extended resources: its real one is random."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """API objects as bodies for the API server. Everything is named after the case, so cases do not meet."""

    number: int
    node: Json
    slices: list[Json]
    classes: list[Json]
    claims: list[Json]
    """Earlier ones carry status.allocation."""

    pod: Json
    rules: list[Json] = []
    """DeviceTaintRules."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the pod."""

    kind: str
    claims: dict[str, Json] = {}
    """Claim name to its allocation, as far as it can be predicted."""

    message: str = msgspec.field(default="", name="message")
    """For people; not compared."""

    def agrees(self, other: Outcome) -> bool:
        return self.kind == other.kind and self.claims == other.claims


def is_everywhere(case: Case) -> bool:
    """Whether other nodes can reach its devices too, or its rules taint others' devices."""
    specs = [one["spec"] for one in case.slices]
    reached = any(one.get("allNodes") for spec in specs for one in (spec, *spec.get("devices", [])))
    node = case.node["metadata"]["name"]
    selectors = [one["spec"].get("deviceSelector") or {} for one in case.rules]
    return reached or any("driver" not in one and one.get("pool") != node for one in selectors)


def told(allocation: Allocation) -> Json:
    """An allocation without what nobody can predict: share IDs, times, configuration."""
    results = [_result(one) for one in allocation.devices.results]
    return {"results": results, "nodeSelector": allocation.node_selector}


def _result(one: AllocationResult) -> Json:
    known = msgspec.structs.replace(one, share_id="shared" if one.share_id is not None else None)
    result: Json = msgspec.to_builtins(known)
    for toleration in result.get("tolerations", []):
        toleration.setdefault("operator", "Equal")  # Left out or not by how the value was made.
    return result
