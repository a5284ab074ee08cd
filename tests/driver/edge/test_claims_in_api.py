"""What the API server is asked about a node's claims and slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from partita_driver.claims_in_api import claim_holds, recall
from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire import pool_name
from tests.driver.edge.test_claims import claim_json, result
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
    assert claim_holds(kube, pool_name(NODE), *asked)
    assert not claim_holds(kube, pool_name("node-b"), *asked), "it was allocated anew, elsewhere"
    assert not claim_holds(kube, pool_name(NODE), *asked[:2], "another-uid")
    assert not claim_holds(kube, pool_name(NODE), "default", "gone", asked[2])


def test_a_claim_known_by_its_uid_alone_is_looked_for_among_all(api: Api) -> None:
    server, kube = api
    uid = allocated(server, pool_name(NODE))["uid"]
    assert claim_holds(kube, pool_name(NODE), "", "", uid)
    assert not claim_holds(kube, pool_name("node-b"), "", "", uid)
    assert not claim_holds(kube, pool_name(NODE), "", "", "another-uid")


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
