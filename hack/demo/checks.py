"""What the demo expects, each said in one sentence and remembered with its result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hack.demo.examples import Example
from hack.demo.placements import Placement

from partita_plugins.testing.objects import allocated_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One expectation."""

    text: str
    passed: bool
    because: str = ""
    """Why it is expected."""

    detail: str = ""
    """What came instead."""


@dataclass(slots=True)
class Checks:
    """All expectations so far."""

    done: list[Check] = field(default_factory=list)

    def expect(self, text: str, *problems: str, because: str = "") -> Check:
        """Remember one: it holds where there are no problems (empty ones do not count)."""
        found = [problem for problem in problems if problem]
        check = Check(text=text, passed=not found, because=because, detail="; ".join(found))
        self.done.append(check)
        return check

    @property
    def ok(self) -> bool:
        return bool(self.done) and all(check.passed for check in self.done)


def misplaced(example: Example, found: Mapping[str, Placement]) -> list[str]:
    """What is wrong with an example's pods: node, kind of device, number of GPUs that a container sees."""
    problems = []
    for name in example.pods:
        pod = found.get(name)
        if pod is None:
            problems.append(f"{name} does not run")
            continue
        if pod.node not in example.nodes:
            problems.append(f"{name} is on {pod.node}, not on {' or '.join(example.nodes)}")
        for container, seen in pod.sees.items():
            kinds = set(seen.values("KIND"))
            if kinds != {example.kind}:
                problems.append(f"{name}/{container} was told of {sorted(kinds) or 'nothing'}, not of {example.kind}")
            if len(seen.gpus) != example.gpus:
                problems.append(f"{name}/{container} sees {len(seen.gpus)} GPUs instead of {example.gpus}")
            if bool(seen.capabilities) != (example.kind == "mig"):
                problems.append(f"{name}/{container} sees partitions {seen.capabilities}")
    return problems


def overlaps(found: Iterable[Placement]) -> list[str]:
    """Hardware that two claims have, by what the containers see. Shares of one GPU are meant to overlap."""
    users: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    partitions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pod in found:
        for seen in pod.sees.values():
            for kind in seen.values("KIND"):
                for gpu in seen.gpus:
                    users[pod.node, gpu][kind].update(pod.claims)
            for capability in seen.capabilities:
                partitions[pod.node, capability].update(pod.claims)
    problems = [
        f"{capability} on {node} is in {len(claims)} claims"
        for (node, capability), claims in partitions.items()
        if len(claims) > 1
    ]
    for (node, gpu), kinds in users.items():
        exclusive = sum(len(claims) for kind, claims in kinds.items() if kind in {"gpu", "group"})
        if exclusive > 1 or (exclusive and len(kinds) > 1) or {"mig", "shared"} <= kinds.keys():
            problems.append(f"{gpu} on {node} is used as {' and '.join(sorted(kinds))} by several claims")
    return problems


def unvalidated(claims: Iterable[Mapping[str, Any]]) -> list[str]:
    """Allocated devices of which no claim's status says that they passed. A shared GPU is proven by its first user."""
    known = list(claims)
    passed = {
        (told["pool"], told["device"])
        for claim in known
        for told in (claim.get("status") or {}).get("devices") or []
        for condition in told.get("conditions") or []
        if (condition["type"], condition["status"], condition["reason"]) == ("Ready", "True", "Validated")
    }
    return [
        f"{result['device']} of claim {claim['metadata']['name']} was not validated"
        for claim in known
        for result in allocated_devices(dict(claim))
        if (result["pool"], result["device"]) not in passed
    ]


def mispredicted(predictions: Iterable[Mapping[str, Any]], claims: Iterable[str]) -> list[str]:
    """Claims of which the extender's prediction did not come true, or is missing."""
    by_claim = {found["claim_uid"]: found for found in predictions}
    problems = []
    for uid in claims:
        found = by_claim.get(uid)
        if found is None:
            problems.append(f"nothing was predicted for claim {uid}")
        elif found["result"] != "match":
            problems.append(f"{found['pod']}: {found['predicted']} was predicted, {found['actual']} allocated")
    return problems
