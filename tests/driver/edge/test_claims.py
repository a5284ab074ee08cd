"""Prepare and Unprepare between the kubelet's call and the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_driver.api.claim_status import status_patch
from partita_driver.api.status import StatusWriter
from partita_driver.engine import PreparedDevice, ValidationSummary
from partita_driver.hardware.workers import Hung
from partita_driver.kubelet.claims import Claims, Prepared, check_claim, read_claim, result_of
from partita_driver.kubelet.dra_service import ClaimRef
from partita_driver.slices.plan import Owner
from partita_plugins.errors import InvalidInput, PartitaError, Permanent, Retryable, ValidationFailed
from partita_plugins.kube.api import Unavailable
from partita_plugins.model.offer import DeviceKind
from partita_plugins.testing.apiserver import Fault as HttpFault
from partita_plugins.wire import pool_name
from partita_plugins.wire.resource import ResourceClaim
from tests.driver.edge.worlds import NODE, Counted, api_server, eventually
from tests.driver.engine.nodes import Node as EngineNode
from tests.driver.engine.nodes import new_uid

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


@pytest.mark.parametrize(
    ("found", "error", "words"),
    [
        (claim(result(), uid="uid-2"), Permanent, "got replaced"),
        (claim(), Retryable, "not allocated"),
        (claim(result(), reserved=False), Retryable, "reserved for no pod"),
        (claim(result(driver="gpu.nvidia.com")), InvalidInput, "only of: gpu.nvidia.com"),
        (claim(result(pool="gpu.partita.dev/node-b")), Permanent, "this node's pool is gpu.partita.dev/node-a"),
    ],
)
def test_a_claim_that_cannot_be_prepared_is_refused_with_advice(
    found: ResourceClaim, error: type[PartitaError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        check_claim(found, REF, POOL)
    assert caught.value.advice


def test_results_of_other_drivers_do_not_matter() -> None:
    check_claim(claim(result(), result(driver="net.example.com", pool="net")), REF, POOL)


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


def claims(spy: Spy, found: ResourceClaim) -> Claims:
    return Claims(read=lambda _: found, engine=spy, pool=POOL, outcomes=spy, counter=spy)


def test_a_prepared_claim_is_told_and_counted() -> None:
    spy = Spy()
    assert claims(spy, claim(result())).prepare(REF) == (DEVICE,)
    assert spy.seen == ["prepared 1", "prepare=ok"]


def test_a_failed_validation_is_told_and_raised() -> None:
    spy = Spy(error=ValidationFailed("bit 7 reads 1"))
    with pytest.raises(ValidationFailed):
        claims(spy, claim(result())).prepare(REF)
    assert spy.seen == ["failed", "prepare=validation-failed"]


@pytest.mark.parametrize("error", [None, Retryable("the GPU hangs")])
def test_only_an_unprepare_that_succeeds_gives_devices_back(error: PartitaError | None) -> None:
    spy, released = Spy(error=error), []
    made = Claims(
        read=lambda _: claim(result()),
        engine=spy,
        pool=POOL,
        outcomes=spy,
        counter=spy,
        on_released=lambda: released.append(1),
    )
    with suppress(Retryable):
        made.unprepare(REF)
    assert bool(released) == (error is None)


def test_unprepare_asks_nobody() -> None:
    spy = Spy()

    def unreadable(_: ClaimRef) -> ResourceClaim:
        raise AssertionError("Unprepare must not read the claim")

    Claims(read=unreadable, engine=spy, pool=POOL, outcomes=spy, counter=spy).unprepare(REF)
    assert spy.seen == ["unprepare uid-1", "unprepare=ok"]


def test_a_prepare_that_reads_its_claim_slowly_leaves_nothing_after_the_unprepare(tmp_path: Path) -> None:
    """The kubelet gave the first call up and takes the claim back: what is still at work must not come after that."""
    node, spy, reading, go_on = EngineNode(tmp_path), Spy(), threading.Event(), threading.Event()
    wanted = claim(result(device=node.mig(0, "3g", 4)), uid=new_uid())
    ref = ClaimRef(namespace="default", name="train", uid=wanted.metadata.uid)

    def slowly(_: ClaimRef) -> ResourceClaim:
        reading.set()
        go_on.wait(10)
        return wanted

    both = Claims(read=slowly, engine=node.engine, pool=POOL, outcomes=spy, counter=spy)
    with ThreadPoolExecutor(2) as calls:
        prepared = calls.submit(both.prepare, ref)
        assert reading.wait(10)
        taken_back = calls.submit(both.unprepare, ref)
        assert not eventually(taken_back.done, 0.2), "it waits for the other"
        go_on.set()
        assert prepared.result(10)
        taken_back.result(10)
    assert dict(node.engine.claims()) == {}
    assert node.placements() == []


def test_reading_survives_a_short_outage_and_names_a_claim_that_is_gone(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        made = server.create(claim_json())
        ref = ClaimRef(namespace="default", name="train", uid=made["metadata"]["uid"])
        server.faults.plant(HttpFault(method="GET", path="resourceclaims/train", times=2, code=503))
        pauses: list[float] = []
        assert read_claim(api, ref, pauses.append).metadata.uid == ref.uid
        assert len(pauses) == 2
        server.delete("ResourceClaim", "train")
        with pytest.raises(Permanent, match="no longer exists"):
            read_claim(api, ref)


@dataclass
class Told(Counted):
    results: list[tuple[str, str]] = field(default_factory=list)

    def told(self, what: str, result: str) -> None:
        self.results.append((what, result))


def allocated(server: Any) -> ResourceClaim:
    made = server.create(claim_json())
    for pod in ("train-0",):
        body = {"containers": [{"name": "c", "image": "i"}]}
        server.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": body})
    wanted = {**made, "status": claim_json(result(), result(driver="net.example.com", pool="net"))["status"]}
    return msgspec.convert(server.update(wanted, subresource="status"), ResourceClaim)


def test_the_claim_s_status_tells_of_the_device_and_keeps_what_others_wrote(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        other = {
            "driver": "net.example.com",
            "pool": "net",
            "device": DEVICE.device,
            "networkData": {"ips": ["10.0.0.1/8"]},
        }
        server.patch("ResourceClaim", "train", {"status": {"devices": [other]}}, subresource="status")
        writer = StatusWriter(api, NODE, counter)
        writer.prepared(found, [DEVICE])
        server.faults.plant(HttpFault(method="PATCH", times=1, code=409, reason="Conflict"))
        writer.step()
        assert counter.results == [("status", "ok")]
        theirs, mine = server.get("ResourceClaim", "train")["status"]["devices"]
        assert theirs["networkData"] == other["networkData"]
        assert mine["data"] == {
            "uuid": "GPU-1",
            "validation": {"method": "reference", "depth": "full", "seconds": 0.2, "memoryCoverage": 0.5},
        }
        [ready] = mine["conditions"]
        assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Validated")


def test_a_gpu_that_failed_while_idle_is_told_on_the_node(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        uid = server.get("Node", NODE)["metadata"]["uid"]
        writer = StatusWriter(api, NODE, Told())
        writer.idle_gpu_failed(Owner(node_name=NODE, uid=uid), ValidationFailed("bit 7 is stuck"))
        writer.step()
        [event] = server.list("Event").items
        assert (event["reason"], event["message"]) == ("DeviceValidationFailed", "bit 7 is stuck")
        assert (event["involvedObject"]["kind"], event["involvedObject"]["uid"]) == ("Node", uid)


def test_what_the_status_says_already_is_not_written_again(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        writer = StatusWriter(api, NODE, counter)
        for _ in range(2):
            writer.prepared(found, [DEVICE])
            writer.step()
        assert sum(1 for seen in server.requests if seen.method == "PATCH") == 1


def test_another_claim_of_the_same_name_is_left_alone() -> None:
    assert status_patch(claim_json(result()), "uid-2", []) is None


def test_a_failed_validation_makes_events_on_the_claim_and_its_pods(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        writer = StatusWriter(api, NODE, counter)
        writer.validation_failed(found, ValidationFailed("GPU-1: bit 7 of word 0x10 reads 1"))
        writer.step()
        events = server.list("Event").items
        assert {event["involvedObject"]["kind"] for event in events} == {"ResourceClaim", "Pod"}
        assert {(event["reason"], event["type"]) for event in events} == {("DeviceValidationFailed", "Warning")}
        assert {event["message"] for event in events} == {"GPU-1: bit 7 of word 0x10 reads 1"}


def test_telling_never_raises_and_never_grows_without_bound(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        found, counter = allocated(server), Told()
        writer = StatusWriter(api, NODE, counter)
        for _ in range(300):
            writer.prepared(found, [DEVICE])
        assert counter.results.count(("status", "dropped")) == 300 - 256
        server.faults.plant(HttpFault(path="resourceclaims", times=-1, code=403, reason="Forbidden"))
        writer.step()
        assert counter.results.count(("status", "error")) == 256


def test_the_end_waits_a_moment_for_what_is_not_told_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita_driver.api.status.FAREWELL_SECONDS", 0.2)
    with api_server(tmp_path) as (_, api):
        counter = Told()
        writer = StatusWriter(api, NODE, counter)
        for _ in range(50):
            writer._later("event", lambda: time.sleep(0.1))
        began = time.monotonic()
        writer.stop()
        assert time.monotonic() - began < 1.0
        assert 1 <= counter.results.count(("event", "ok")) <= 4
        assert counter.results.count(("event", "dropped")) >= 46


def test_a_write_that_does_not_end_is_left_behind_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita_driver.api.status.FAREWELL_SECONDS", 0.2)
    answered = threading.Event()

    def write() -> None:
        answered.wait(30)

    with api_server(tmp_path) as (_, api):
        writer = StatusWriter(api, NODE, Told())
        writer._later("event", write)
        began = time.monotonic()
        writer.stop()
        assert time.monotonic() - began < 5.0
        answered.set()


def test_errors_are_counted_by_what_to_do_next() -> None:
    errors = (Hung("no answer", gpu_uuid="GPU-1", first=True), Unavailable("no answer"))
    assert {result_of(error) for error in errors} == {"retry"}
