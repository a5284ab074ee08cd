"""One Lease, at most one leader, whatever the order of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from partita_plugins.kube.api import KubeApi
from partita_plugins.testing.apiserver import ApiServer
from partita_scheduler.leader.elector import RENEW_WITHIN_SECONDS, LeaderElector
from partita_scheduler.leader.lease import LEASE_SECONDS
from tests.scheduler.edge.cluster import api_server
from tests.scheduler.edge.fakes import Clock

Cluster = tuple[ApiServer, KubeApi]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with api_server(tmp_path) as made:
        yield made


def elector(api: KubeApi, identity: str, clock: Clock, name: str = "partita-scheduler") -> LeaderElector:
    return LeaderElector(api, identity=identity, namespace="partita-system", name=name, clock=clock)


def test_the_first_leads_and_the_second_waits(cluster: Cluster) -> None:
    clock = Clock()
    one, two = elector(cluster[1], "one", clock), elector(cluster[1], "two", clock)
    assert one.step()
    assert not two.step()


def test_a_holder_that_falls_silent_is_followed_after_its_lease(cluster: Cluster) -> None:
    clock = Clock()
    one, two = elector(cluster[1], "one", clock), elector(cluster[1], "two", clock)
    one.step()
    two.step()
    clock.now += LEASE_SECONDS
    assert not one.leading
    assert two.step()
    assert not one.step()


def test_a_released_lease_is_taken_at_once(cluster: Cluster) -> None:
    clock = Clock()
    one, two = elector(cluster[1], "one", clock), elector(cluster[1], "two", clock)
    one.step()
    one.release()
    assert not one.leading
    assert two.step()
    spec = cluster[0].get("leases", "partita-scheduler", "partita-system")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 2)


def test_a_holder_that_cannot_renew_stops_before_others_may_begin(cluster: Cluster) -> None:
    assert RENEW_WITHIN_SECONDS < LEASE_SECONDS
    clock = Clock()
    one = elector(cluster[1], "one", clock)
    one.step()
    cluster[0].stop()
    clock.now += RENEW_WITHIN_SECONDS / 2
    assert one.step()
    clock.now += RENEW_WITHIN_SECONDS / 2
    assert not one.step()


def test_a_lease_of_somebody_elses_shape_is_not_trampled(cluster: Cluster) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    metadata = {"name": "partita-scheduler", "namespace": "partita-system"}
    cluster[0].create({**lease, "metadata": metadata, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 60}})
    clock = Clock()
    one = elector(cluster[1], "one", clock)
    assert not one.step()
    clock.now += 59
    assert not one.step()
    clock.now += 1
    assert one.step()


def test_what_others_wrote_on_the_lease_stays(cluster: Cluster) -> None:
    clock = Clock()
    one = elector(cluster[1], "one", clock)
    one.step()
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "release", "uid": "u-1"}
    told = {"labels": {"team": "ml"}, "annotations": {"note": "kept"}, "ownerReferences": [owner]}
    cluster[0].patch("Lease", "partita-scheduler", {"metadata": told}, "partita-system")
    one.step()
    one.release()
    metadata = cluster[0].get("leases", "partita-scheduler", "partita-system")["metadata"]
    assert {key: metadata.get(key) for key in told} == told


class _Interrupted:
    """The API of a candidate whom another one overtakes between reading and writing."""

    def __init__(self, api: KubeApi, between: Callable[[], object]) -> None:
        self._api, self._between = api, between

    def get(self, *args: Any, **options: Any) -> Any:
        found = self._api.get(*args, **options)
        self._between()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


def test_of_two_that_read_the_same_lease_one_gets_it(cluster: Cluster) -> None:
    clock = Clock()
    first, fast = elector(cluster[1], "first", clock), elector(cluster[1], "fast", clock)
    first.step()
    first.release()
    slow = elector(_Interrupted(cluster[1], fast.step), "slow", clock)  # type: ignore[arg-type]
    assert not slow.step()
    assert fast.leading


def test_a_holder_whose_lease_is_anothers_stops_at_once(cluster: Cluster) -> None:
    """Somebody deleted the Lease, and another candidate made it anew."""
    clock = Clock()
    one, two = elector(cluster[1], "one", clock), elector(cluster[1], "two", clock)
    one.step()
    cluster[0].delete("leases", "partita-scheduler", "partita-system")
    assert two.step()
    assert not one.step()


def test_who_cannot_answer_takes_no_lease_and_gives_its_own_back(cluster: Cluster) -> None:
    clock, able = Clock(), [False]
    one = LeaderElector(cluster[1], identity="one", namespace="partita-system", clock=clock, able=lambda: able[0])
    two = elector(cluster[1], "two", clock)
    assert not one.step()
    able[0] = True
    assert one.step()
    able[0] = False
    assert not one.step()
    assert two.step()
