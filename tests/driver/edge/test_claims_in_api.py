"""What the API server is asked about a node's claims and slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from partita_driver.api.claims import ClaimsInApi, recall
from partita_driver.kubelet.claims import Claims
from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Unavailable
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire import pool_name
from tests.driver.edge.in_memory import Api as MemoryApi
from tests.driver.edge.in_memory import Clock, Store
from tests.driver.edge.one_claim import REF, Spy, claim, claim_json, result
from tests.driver.edge.worlds import MIXED, NODE, api_server, pooled, slotted

Api = tuple[ApiServer, KubeApi]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_server(tmp_path) as made:
        yield made


def allocated(server: ApiServer, pool: str) -> Any:
    made = server.create(claim_json())
    status = claim_json(result(device="gpu-0000-07-00-0", pool=pool))["status"]
    return server.update({**made, "status": status}, subresource="status")["metadata"]


def test_a_claim_holds_while_it_is_the_same_and_allocated_here(api: Api) -> None:
    server, kube = api
    metadata = allocated(server, pool_name(NODE))
    asked = (metadata["namespace"], metadata["name"], metadata["uid"])
    assert ClaimsInApi(kube, NODE).holds(*asked)
    assert not ClaimsInApi(kube, "node-b").holds(*asked), "it was allocated anew, elsewhere"
    assert not ClaimsInApi(kube, NODE).holds(*asked[:2], "another-uid")
    assert not ClaimsInApi(kube, NODE).holds("default", "gone", asked[2])


def test_a_claim_known_by_its_uid_alone_is_looked_for_among_all(api: Api) -> None:
    server, kube = api
    uid = allocated(server, pool_name(NODE))["uid"]
    assert ClaimsInApi(kube, NODE).holds("", "", uid)
    assert not ClaimsInApi(kube, "node-b").holds("", "", uid)
    assert not ClaimsInApi(kube, NODE).holds("", "", "another-uid")


def test_all_devices_and_claims_are_recalled(tmp_path: Path) -> None:
    with pooled(tmp_path, slotted(), MIXED) as world:
        publisher = world.publisher()
        assert publisher.publish_now(5)
        uid = allocated(world.server, pool_name(NODE))["uid"]
        recalled = recall(world.api, NODE)
        assert {device.name for device in recalled.devices} == world.devices().keys()
        assert [claim.metadata.uid for claim in recalled.claims] == [uid]
        assert recall(world.api, "node-b").devices == ()


def test_an_api_server_that_does_not_answer_recalls_nothing(api: Api) -> None:
    server, kube = api
    server.stop()
    with pytest.raises(Retryable, match="no answer"):
        recall(kube, NODE)


class Asked:
    """Claims of the node in an API server in memory, and how often that is asked."""

    def __init__(self, *uids: str) -> None:
        self.clock, self.requests = Clock(), 0
        store = Store(lambda _old, _new: None)
        for uid in uids:
            made = claim(result(), uid=uid)
            metadata = msgspec.structs.replace(made.metadata, name=f"claim-{uid}")
            store.put_claim(msgspec.structs.replace(made, metadata=metadata))
        api = MemoryApi(store)
        api.disturb = self._count
        self.claims = ClaimsInApi(cast("KubeApi", api), NODE, self.clock)

    def _count(self) -> None:
        self.requests += 1

    def holds(self, *uids: str, named: bool = True) -> list[bool]:
        self.requests = 0
        return [self.claims.holds("default", f"claim-{uid}" if named else "", uid) for uid in uids]

    def times(self, uid: str, minutes: int, *, named: bool) -> list[int]:
        """In which of so many minutes the API server was asked."""
        asked = []
        for minute in range(minutes):
            assert self.holds(uid, named=named) == [True]
            asked += [minute] * bool(self.requests)
            self.clock.now += 60.0
        return asked


@pytest.mark.parametrize("named", [True, False])
def test_a_claim_that_is_always_there_is_asked_for_less_and_less_often(*, named: bool) -> None:
    assert Asked("a").times("a", 40, named=named) == [0, 1, 3, 7, 15, 25, 35]


@pytest.mark.parametrize("named", [True, False])
def test_a_claim_that_is_gone_is_asked_for_every_time(*, named: bool) -> None:
    world = Asked("a")
    for _ in range(3):
        assert world.holds("b", named=named) == [False]
        assert world.requests == 1


def test_one_list_is_an_answer_for_all_claims_that_are_there() -> None:
    world = Asked("a", "b", "c")
    world.claims.allocated()
    assert world.holds("a", "b", "c") == [True] * 3
    assert world.holds("a", "b", "c", named=False) == [True] * 3
    assert world.requests == 0


def test_a_doubt_ends_all_trust() -> None:
    world = Asked("a", "b")
    world.times("a", 5, named=True)
    world.claims.doubt()
    assert world.times("a", 4, named=True) == [0, 1, 3]


def test_only_what_is_prepared_is_taken_on_trust() -> None:
    world = Asked("a", "b")
    world.holds("a", "b")
    world.claims.trust_only({"b"})
    world.holds("a", "b")
    assert world.requests == 1


def test_a_failed_prepare_is_a_doubt_and_an_api_server_that_is_away_is_none() -> None:
    doubts: list[int] = []
    for error in (Retryable("it overlaps"), Unavailable("no answer")):
        spy = Spy(error=error)
        prepared = Claims(
            read=lambda _: claim(result()),
            engine=spy,
            pool=pool_name(NODE),
            outcomes=spy,
            counter=spy,
            on_refused=lambda: doubts.append(1),
        )
        with pytest.raises(Retryable):
            prepared.prepare(REF)
    assert doubts == [1]
