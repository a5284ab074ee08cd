"""Prepare and Unprepare between the kubelet's call and the engine."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from partita_driver.hardware.workers import Hung
from partita_driver.kubelet.claims import Claims, check_claim, read_claim, result_of
from partita_driver.kubelet.dra_service import ClaimRef
from partita_plugins.errors import InvalidInput, PartitaError, Permanent, Retryable, ValidationFailed
from partita_plugins.kube.errors import Unavailable
from partita_plugins.testing.apiserver import Fault as HttpFault
from partita_plugins.wire.resource_claim import ResourceClaim
from tests.driver.edge.one_claim import DEVICE, POOL, REF, Spy, claim, claim_json, result
from tests.driver.edge.worlds import api_server
from tests.driver.engine.nodes import Node as EngineNode
from tests.driver.engine.nodes import new_uid
from tests.waiting import WAIT_SECONDS, eventually


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
        go_on.wait(WAIT_SECONDS)
        return wanted

    both = Claims(read=slowly, engine=node.engine, pool=POOL, outcomes=spy, counter=spy)
    with ThreadPoolExecutor(2) as calls:
        prepared = calls.submit(both.prepare, ref)
        assert reading.wait(WAIT_SECONDS)
        taken_back = calls.submit(both.unprepare, ref)
        assert not eventually(taken_back.done, 0.2), "it waits for the other"
        go_on.set()
        assert prepared.result(WAIT_SECONDS)
        taken_back.result(WAIT_SECONDS)
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


def test_errors_are_counted_by_what_to_do_next() -> None:
    errors = (Hung("no answer", gpu_uuid="GPU-1", first=True), Unavailable("no answer"))
    assert {result_of(error) for error in errors} == {"retry"}
