"""A node's part before the bind on an embedded API server, and claims that kube-scheduler waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from partita_driver.binding.before_bind import BeforeBind
from partita_driver.lifecycle import ClaimState
from partita_plugins.backends.simulated import StuckBit
from partita_plugins.errors import ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.testing.scheduling import binding_failure, is_ready_to_bind
from partita_plugins.wire import VALIDATED_CONDITION, VALIDATION_FAILED_CONDITION, pool_name
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.worlds import NODE
from tests.driver.engine.nodes import Node, result
from tests.waiting import WAIT_SECONDS

POOL = pool_name(NODE)
WAITS = {"bindingConditions": [VALIDATED_CONDITION], "bindingFailureConditions": [VALIDATION_FAILED_CONDITION]}


def body(*devices: str, name: str = "train", **fields: Any) -> dict[str, Any]:
    results = [{**result(device, request=f"gpu-{index}"), **WAITS, **fields} for index, device in enumerate(devices)]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "devices": {
                "requests": [
                    {"name": f"gpu-{index}", "exactly": {"deviceClassName": "gpu"}} for index in range(len(devices))
                ]
            }
        },
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": "train-0", "uid": "pod-uid"}],
        },
    }


@dataclass
class World:
    """The node's engine and that part."""

    server: ApiServer
    api: KubeApi
    node: Node
    give_up_seconds: float = 60.0
    taints: list[int] = field(default_factory=list)
    """Of each time that taints were published: how many faults there were."""

    tainting: bool = True
    failures: list[str] = field(default_factory=list)
    done: list[tuple[str, str]] = field(default_factory=list)
    running: list[BeforeBind] = field(default_factory=list)

    def part(self) -> BeforeBind:
        """One whose steps a test takes, and which no watch tells of anything."""
        return BeforeBind(
            self.api,
            NODE,
            engine=self.node.engine,
            outcomes=self,
            counter=self,
            tainted=self._tainted,
            give_up_seconds=self.give_up_seconds,
        )

    def start(self) -> BeforeBind:
        part = self.part()
        part.start()
        part.published(binding=True)
        self.running.append(part)
        return part

    def stop(self) -> None:
        while self.running:
            self.running.pop().stop()

    def allocate(self, *devices: str, name: str = "train", **fields: Any) -> dict[str, Any]:
        wanted = body(*devices, name=name, **fields)
        made = self.server.create(wanted)
        return self.server.update({**made, "status": wanted["status"]}, subresource="status")

    def claim(self, name: str = "train") -> dict[str, Any]:
        return self.server.get("ResourceClaim", name, "default")

    def prepare(self) -> None:
        """What the kubelet has done once the pod is bound."""
        self.node.engine.prepare(msgspec.convert(self.claim(), ResourceClaim))

    def is_ready(self, name: str = "train") -> bool:
        return is_ready_to_bind(self.claim(name))

    def failure(self, name: str = "train") -> str:
        return binding_failure(self.claim(name))

    def held(self) -> list[str]:
        return [device.device for claim in self.node.engine.claims().values() for device in claim.devices]

    def state(self, made: dict[str, Any]) -> ClaimState:
        known = self.node.engine.claims().get(made["metadata"]["uid"])
        return known.state if known else ClaimState.ABSENT

    def validation_failed(self, _claim: ResourceClaim, error: ValidationFailed) -> None:
        self.failures.append(str(error))

    def claim_done(self, verb: str, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.done.append((verb, result))

    def phase(self, phase: str, seconds: float) -> None:
        """Not looked at here."""

    def _tainted(self) -> bool:
        self.taints.append(len(self.node.engine.faults()))
        return self.tainting


@contextmanager
def broken(node: Node, slot: int) -> Iterator[None]:
    planted = node.backend.faults.plant(StuckBit(gpu_uuid=node.gpu_uuid(slot), word=5, bit=7))
    yield
    node.backend.faults.lift(planted)


class HeldUp:
    """A claim's first making ahead, held up when it is done."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._gone_on = threading.Event(), threading.Event()
        self._prepare_ahead = node.engine.prepare_ahead
        monkeypatch.setattr(node.engine, "prepare_ahead", self._slow)

    def wait(self) -> None:
        """Until it is made."""
        assert self._begun.wait(WAIT_SECONDS)

    def go_on(self) -> None:
        self._gone_on.set()

    def _slow(self, claim: ResourceClaim) -> Any:
        made = self._prepare_ahead(claim)
        self._begun.set()
        assert self._gone_on.wait(WAIT_SECONDS)
        return made
