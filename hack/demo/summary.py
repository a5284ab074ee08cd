"""The end of the demo: what happened at a glance, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from hack.demo.checks import Checks
from hack.demo.placements import Placement
from hack.demo.show import Screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A pod that some nodes could not take."""

    pod: str
    reasons: Mapping[str, str]
    """By node."""

    event: str = ""
    """What the pod was told; empty where another node took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStory:
    """A planted fault, and what became of the pod that met it."""

    device: str
    finding: str
    from_node: str
    to_node: str
    to_device: str
    seconds_to_running: float
    """From the moment the bit got stuck, the pod's creation and first attempt included."""


@dataclass(slots=True, kw_only=True)
class Summary:
    """Filled in while the story is told."""

    placements: list[Placement] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    fault: FaultStory | None = None
    checks: Checks = field(default_factory=Checks)
    seconds: float = 0.0
    finished: bool = False
    """Whether the story was told to its end."""

    @property
    def ok(self) -> bool:
        return self.finished and self.checks.ok

    def as_json(self) -> dict[str, Any]:
        """Placements, refusals with reasons, the fault and where its pod went; every check with its result."""
        return {
            "placements": [_placement(pod) for pod in self.placements],
            "refusals": [msgspec.to_builtins(refusal) for refusal in self.refusals],
            "fault": msgspec.to_builtins(self.fault),
            "checks": [msgspec.to_builtins(check) for check in self.checks.done],
            "seconds": round(self.seconds, 1),
            "ok": self.ok,
        }

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self.as_json())) + b"\n")

    def show(self, screen: Screen) -> None:
        """At a glance."""
        if self.placements:
            screen.table(("PLACED ON", "PODS"), _by_node(self.placements))
            screen.line()
        if self.refusals:
            screen.table(("REFUSED", "BY", "BECAUSE"), [row for refusal in self.refusals for row in _refused(refusal)])
            screen.line()
        if self.fault is not None:
            screen.table(("FAULT", ""), _fault(self.fault))
            screen.line()
        screen.line("CHECKS", "dim")
        for check in self.checks.done:
            screen.check(check.text, passed=check.passed, detail=check.detail)
        screen.line()
        word = "as it should be" if self.ok else "NOT as it should be" if self.finished else "it ended EARLY"
        style = "green" if self.ok else "red"
        passed = sum(check.passed for check in self.checks.done)
        screen.line(f"{passed} of {len(self.checks.done)} checks passed in {self.seconds:.1f} s: {word}", style, "bold")


def _placement(pod: Placement) -> dict[str, Any]:
    return {
        "pod": pod.pod,
        "namespace": pod.namespace,
        "node": pod.node,
        "devices": list(pod.devices),
        "container_sees": {
            container: {"device_nodes": list(seen.device_nodes), "env": dict(seen.env)}
            for container, seen in pod.sees.items()
        },
    }


def _by_node(found: Iterable[Placement]) -> list[tuple[str, str]]:
    by_node: dict[str, list[str]] = {}
    for pod in found:
        by_node.setdefault(pod.node, []).append(f"{pod.pod} ({pod.what})")
    return [(node, ", ".join(pods)) for node, pods in sorted(by_node.items())]


def _refused(refusal: Refusal) -> list[tuple[str, str, str]]:
    grouped: dict[str, list[str]] = {}
    for node, reason in refusal.reasons.items():
        grouped.setdefault(reason, []).append(node)
    rows = [(", ".join(nodes), reason) for reason, nodes in grouped.items()]
    outcome = "it is Pending, and an event says all this" if refusal.event else "it runs on another node"
    first, *rest = [*rows, ("->", outcome)]
    return [(refusal.pod, *first), *(("", *row) for row in rest)]


def _fault(fault: FaultStory) -> list[tuple[str, str]]:
    went = f"{fault.to_node}, on {fault.to_device}, {fault.seconds_to_running:.1f} s after the bit got stuck"
    return [(fault.from_node, f"{fault.device}: {fault.finding}"), ("->", f"its pod runs on {went}")]
