"""One claim of one device, as the API server has it and as it was prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from partita_driver.engine import PreparedDevice, ValidationSummary
from partita_driver.kubelet.claims import Prepared
from partita_driver.kubelet.dra_service import ClaimRef
from partita_plugins.errors import PartitaError, ValidationFailed
from partita_plugins.model.offer import DeviceKind
from partita_plugins.wire import pool_name
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.worlds import NODE

POOL = pool_name(NODE)
REF = ClaimRef(namespace="default", name="train", uid="uid-1")
DEVICE = PreparedDevice(
    request_names=("gpu",),
    pool=POOL,
    device="gpu-0000-07-00-0",
    cdi_ids=("gpu.partita.dev/claim=uid-1-gpu",),
    share_id=None,
    uuid="GPU-1",
    validation=ValidationSummary(method="reference", depth="full", seconds=0.2, memory_coverage=0.5),
    kind=DeviceKind.GPU,
    gpu_uuids=("GPU-1",),
)


def result(**fields: str) -> dict[str, str]:
    return {"request": "gpu", "driver": "gpu.partita.dev", "pool": POOL, "device": DEVICE.device, **fields}


def claim_json(*results: dict[str, str], uid: str = "uid-1", reserved: bool = True) -> dict[str, Any]:
    status: dict[str, Any] = {"allocation": {"devices": {"results": list(results)}}} if results else {}
    if reserved:
        status["reservedFor"] = [{"resource": "pods", "name": "train-0", "uid": "pod-uid"}]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "train", "namespace": "default", "uid": uid},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}},
        "status": status,
    }


def claim(*results: dict[str, str], uid: str = "uid-1", reserved: bool = True) -> ResourceClaim:
    return msgspec.convert(claim_json(*results, uid=uid, reserved=reserved), ResourceClaim)


def allocated(server: Any) -> ResourceClaim:
    made = server.create(claim_json())
    for pod in ("train-0",):
        body = {"containers": [{"name": "c", "image": "i"}]}
        server.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": body})
    wanted = {**made, "status": claim_json(result(), result(driver="net.example.com", pool="net"))["status"]}
    return msgspec.convert(server.update(wanted, subresource="status"), ResourceClaim)


@dataclass
class Spy:
    """Engine, outcomes and counter in one."""

    error: PartitaError | None = None
    seen: list[str] = field(default_factory=list)

    def prepare_read(self, _claim_uid: str, read: Callable[[], ResourceClaim]) -> Sequence[Prepared]:
        read()
        if self.error:
            raise self.error
        return (DEVICE,)

    def unprepare(self, claim_uid: str) -> None:
        self.seen.append(f"unprepare {claim_uid}")
        if self.error:
            raise self.error

    def prepared(self, _claim: ResourceClaim, devices: Sequence[Prepared]) -> None:
        self.seen.append(f"prepared {len(devices)}")

    def validation_failed(self, _claim: ResourceClaim, _error: ValidationFailed) -> None:
        self.seen.append("failed")

    def claim_done(self, verb: str, result: str, seconds: float) -> None:
        self.seen.append(f"{verb}={result}")

    def phase(self, phase: str, seconds: float) -> None:
        assert seconds >= 0
