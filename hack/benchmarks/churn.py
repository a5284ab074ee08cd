"""Claims that come and go at a steady pace, each with the writes that it gets in its life."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire import DRIVER_NAME, VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION, pool_name

NODE_LABEL = f"{DRIVER_NAME}/node"
WRITES = 5
"""Created, allocated, validated, deallocated, deleted."""

WAITS = {"bindingConditions": [VALIDATED_CONDITION], "bindingFailureConditions": [VALIDATION_FAILED_CONDITION]}


@dataclass(slots=True)
class Churn:
    """Claims on so many nodes in turn."""

    api: KubeApi
    namespace: str
    nodes: int
    seconds: list[float] = field(default_factory=list)
    """Of each write."""

    claims: int = 0

    def run(self, claims_per_second: float, seconds: float) -> float:
        """Make claims at that pace for so long. Returns how long it took."""
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            self._life(f"c{self.claims}", f"node-{self.claims % self.nodes}")
            self.claims += 1
            time.sleep(max(0.0, self.claims / claims_per_second - (time.monotonic() - begun)))
        return now

    def _life(self, name: str, node: str) -> None:
        claim = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "labels": {NODE_LABEL: node}},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": DRIVER_NAME}}]}},
        }
        self._timed(lambda: self.api.create(RESOURCE_CLAIMS, claim, self.namespace))
        device = {"driver": DRIVER_NAME, "pool": pool_name(node), "device": "gpu-0000-1b-00-0"}
        allocated = {
            "allocation": {"devices": {"results": [{"request": "gpu", **device, **WAITS}]}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": "00000000-0000-4000-8000-000000000000"}],
        }
        validation = {"method": "cupy", "depth": "full", "moment": "bind", "seconds": 0.8, "memory_coverage": 0.93}
        condition = {
            "type": VALIDATED_CONDITION,
            "status": "True",
            "reason": "Validated",
            "message": "",
            "lastTransitionTime": "2026-11-22T00:00:00Z",
        }
        told = {**device, "conditions": [condition], "data": {"uuid": f"GPU-{name}", "validation": validation}}
        gone = {"allocation": None, "reservedFor": None, "devices": None}
        for status in (allocated, {"devices": [told]}, gone):
            self._timed(partial(self._patch, name, status))
        self._timed(lambda: self.api.delete(RESOURCE_CLAIMS, name, self.namespace))

    def _patch(self, name: str, status: dict[str, Any]) -> None:
        self.api.patch(RESOURCE_CLAIMS, name, {"status": status}, self.namespace, "status")

    def _timed(self, write: Callable[[], object]) -> None:
        begun = time.monotonic()
        write()
        self.seconds.append(time.monotonic() - begun)


def events_in(sample: bytes) -> list[bytes]:
    """The events of a watch as it was sent, chunked: one line each, an incomplete one left out."""
    lines = sample.replace(b"\r\n", b"\n").split(b"\n")
    return [line for line in lines if line.startswith(b'{"type"') and _is_whole(line)]


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True
