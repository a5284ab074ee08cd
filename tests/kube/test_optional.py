"""A resource that the API server may lack: its absence is known at once, costs nothing, and ends when it comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import cast

import pytest

from partita_plugins.kube import optional
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound
from partita_plugins.kube.optional import OptionalReflector, list_served, served
from partita_plugins.kube.resources import DEVICE_TAINT_RULES, Resource
from partita_plugins.testing.apiserver.server import ApiServer
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.taint_rule import DeviceTaintRule
from tests.waiting import until

RULE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceTaintRule",
    "metadata": {"name": "drain"},
    "spec": {"deviceSelector": {"driver": "gpu.example.com"}, "taint": {"key": "drain", "effect": "NoSchedule"}},
}
NEWER_FIRST = (Resource("resource.k8s.io/v2", "devicetaintrules", namespaced=False), DEVICE_TAINT_RULES[0])


@pytest.fixture
def cache(api: KubeApi) -> Iterator[OptionalReflector[DeviceTaintRule]]:
    cache = OptionalReflector(api, DEVICE_TAINT_RULES, DeviceTaintRule)
    yield cache
    cache.stop()


def test_where_it_is_served_it_is_followed(server: ApiServer, cache: OptionalReflector[DeviceTaintRule]) -> None:
    cache.start()
    assert cache.wait_synced(10)
    server.create(RULE)
    until(lambda: cache.get("drain"))


def test_the_first_version_that_is_served_is_taken(server: ApiServer, api: KubeApi) -> None:
    server.create(RULE)
    assert served(api, NEWER_FIRST) == DEVICE_TAINT_RULES[0]
    assert [one.metadata.name for one in list_served(api, NEWER_FIRST, as_=DeviceTaintRule)] == ["drain"]


@pytest.mark.parametrize(("code", "reason"), [(404, "NotFound"), (403, "Forbidden")])
def test_where_it_is_not_there_are_none_and_the_cache_is_fresh(
    server: ApiServer, cache: OptionalReflector[DeviceTaintRule], code: int, reason: str
) -> None:
    fault = server.faults.fail(code, path="devicetaintrules", times=-1, reason=reason)
    cache.start()
    assert cache.wait_synced(10)
    assert cache.snapshot() == {}
    assert cache.age_seconds == 0.0
    assert fault.hits == len(DEVICE_TAINT_RULES)


def test_it_is_looked_for_again(
    server: ApiServer, cache: OptionalReflector[DeviceTaintRule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional, "LOOK_SECONDS", 0.01)
    server.create(RULE)
    server.faults.fail(404, path="devicetaintrules", times=4, reason="NotFound")
    cache.start()
    until(lambda: cache.get("drain"))


def test_the_cache_is_no_older_while_what_came_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "LOOK_SECONDS", 0.01)
    ages: list[float] = []

    class Looking:
        """An object that notes the cache's age when it is looked at."""

        @property
        def metadata(self) -> ObjectMeta:
            ages.append(found.age_seconds)
            return ObjectMeta(name="late", resource_version="1")

    class Later:
        """An API that has the resource once it is said to."""

        has = threading.Event()

        def list(self, *_: object, **__: object) -> tuple[list[Looking], str]:
            if not self.has.is_set():
                raise NotFound(404, "NotFound", "no such resource")
            return [Looking()], "1"

        def watch(self, *_: object, **__: object) -> Iterator[object]:
            found.stop()
            return iter(())

    api = Later()
    found = OptionalReflector(cast("KubeApi", api), DEVICE_TAINT_RULES, Looking)
    found.start()
    assert found.wait_synced(10)
    found._last_contact = -float("inf")  # it was so long ago that it was looked for
    api.has.set()
    until(lambda: found.get("late"))
    assert max(ages) < float("inf")


def test_objects_of_a_version_that_goes_are_told_of_as_deleted(server: ApiServer, api: KubeApi) -> None:
    gone: list[str] = []

    def listen(old: DeviceTaintRule | None, new: DeviceTaintRule | None) -> None:
        if old is not None and new is None:
            gone.append(old.metadata.name)

    cache = OptionalReflector(api, DEVICE_TAINT_RULES, DeviceTaintRule, listen)
    server.create(RULE)
    cache.start()
    until(lambda: cache.get("drain"))
    server.stop()
    server.start()
    server.faults.fail(404, path="devicetaintrules", times=-1, reason="NotFound")
    until(lambda: gone == ["drain"])
    cache.stop()


def test_served_says_when_there_is_none(server: ApiServer, api: KubeApi) -> None:
    server.faults.fail(404, path="devicetaintrules", times=-1, reason="NotFound")
    assert served(api, DEVICE_TAINT_RULES) is None
    assert list_served(api, DEVICE_TAINT_RULES, as_=DeviceTaintRule) == []
