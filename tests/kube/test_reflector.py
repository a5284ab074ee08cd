"""A cache follows the API server through changes, broken watches and forgotten history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest

from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.changes import Changed
from partita_plugins.kube.errors import Gone, Refused, Unavailable
from partita_plugins.kube.reflector import RETRY, Reflector
from partita_plugins.kube.resources import CONFIG_MAPS
from partita_plugins.pauses import Pause
from partita_plugins.testing.apiserver.faults import Fault
from partita_plugins.testing.apiserver.server import ApiServer
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_claim import DeviceClass
from tests.waiting import WAIT_SECONDS, until

Seen = list[tuple[str | None, str | None]]


def make(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def cache(api: KubeApi, seen: Seen) -> Iterator[Reflector[DeviceClass]]:
    def listen(old: DeviceClass | None, new: DeviceClass | None) -> None:
        seen.append((old.metadata.name if old else None, new.metadata.name if new else None))

    # Any kind will do: only the metadata is looked at.
    cache = Reflector(api, CONFIG_MAPS, DeviceClass, listen)
    yield cache
    cache.stop()


def names(cache: Reflector[DeviceClass]) -> set[str]:
    return {name for _, name in cache.snapshot()}


def test_it_holds_what_there_was_and_what_comes(server: ApiServer, cache: Reflector[DeviceClass], seen: Seen) -> None:
    server.create(make("before"))
    cache.start()
    assert cache.wait_synced(WAIT_SECONDS)
    assert "before" in names(cache)
    server.create(make("after"))
    until(lambda: "after" in names(cache))
    server.delete("ConfigMap", "before", "default")
    until(lambda: "before" not in names(cache))
    assert ("before", None) in seen
    assert (None, "after") in seen
    assert cache.age_seconds < WAIT_SECONDS


def test_a_broken_watch_goes_on_where_it_stopped(server: ApiServer, cache: Reflector[DeviceClass]) -> None:
    server.faults.plant(Fault(path="configmaps.*watch=true", drop=True, times=2))
    cache.start()
    server.create(make("through"))
    until(lambda: "through" in names(cache))


def test_a_forgotten_history_is_a_new_list(server: ApiServer, cache: Reflector[DeviceClass], seen: Seen) -> None:
    server.create(make("old"))
    server.faults.plant(Fault(path="configmaps.*watch=true", code=410, reason="Expired"))
    cache.start()
    until(lambda: "old" in names(cache))
    server.create(make("new"))
    until(lambda: "new" in names(cache))
    assert (None, "new") in seen


class Replay:
    """An API whose watch ends with an error after some lines; it notes where each watch begins, and when."""

    def __init__(self, *watches: list[str] | Exception) -> None:
        self.begun: list[str] = []
        self.at: list[float] = []
        self._watches = list(watches)

    def list(self, *_: object, **__: object) -> tuple[list[DeviceClass], str]:
        return [], "1"

    def watch(self, _resource: object, version: str, *_: object, **__: object) -> Iterator[Changed[DeviceClass]]:
        self.at.append(time.monotonic())
        self.begun.append(version)
        found = self._watches.pop(0) if self._watches else []
        if isinstance(found, Exception):
            raise found
        for number in found:
            yield Changed(DeviceClass(metadata=ObjectMeta(name="one", resource_version=number)))
        if found:
            raise Unavailable("the watch broke")
        time.sleep(0.01)


def pauses_seconds(api: Replay) -> list[float]:
    """From each watch to the next."""
    return [later - earlier for earlier, later in pairwise(api.at)]


def test_a_watch_that_broke_does_not_tell_the_past_again() -> None:
    api = Replay(["5", "9"])
    cache = Reflector(cast("KubeApi", api), CONFIG_MAPS, DeviceClass)
    cache.start()
    until(lambda: len(api.begun) > 1)
    cache.stop()
    assert api.begun[:2] == ["1", "9"]


def test_an_error_that_nobody_foresaw_does_not_end_a_watch() -> None:
    api = Replay(ValueError("the credentials cannot be renewed"), ["5"])
    cache = Reflector(cast("KubeApi", api), CONFIG_MAPS, DeviceClass)
    cache.start()
    until(lambda: cache.get("one"))
    cache.stop()


@pytest.mark.parametrize(
    "error",
    [Refused(403, "Forbidden", "no watch for you"), Gone(410, "Expired", "too old resource version")],
    ids=["refused", "forgotten as soon as it was listed"],
)
def test_a_watch_that_always_fails_is_tried_less_and_less_often(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partita_plugins.kube.reflector.RETRY", Pause(0.02, 5.0))
    api = Replay(*(10_000 * [error]))
    cache = Reflector(cast("KubeApi", api), CONFIG_MAPS, DeviceClass)
    cache.start()
    until(lambda: len(api.begun) > 5)
    cache.stop()
    assert all(pause >= 0.02 * 2**tries for tries, pause in enumerate(pauses_seconds(api)))


def test_a_watch_that_ends_at_once_is_not_asked_for_without_pause() -> None:
    api = Replay()
    cache = Reflector(cast("KubeApi", api), CONFIG_MAPS, DeviceClass)
    cache.start()
    until(lambda: len(api.begun) > 1)
    cache.stop()
    assert pauses_seconds(api)[0] >= RETRY.first_seconds


def test_what_is_not_to_be_kept_is_neither_held_nor_told_of(server: ApiServer, api: KubeApi, seen: Seen) -> None:
    def listen(old: DeviceClass | None, new: DeviceClass | None) -> None:
        seen.append((old.metadata.name if old else None, new.metadata.name if new else None))

    server.create(make("other"))
    mine = server.create({**make("mine"), "metadata": {**make("mine")["metadata"], "labels": {"mine": "yes"}}})
    cache = Reflector(api, CONFIG_MAPS, DeviceClass, listen, keep=lambda one: "mine" in one.metadata.labels)
    cache.start()
    assert cache.wait_synced(WAIT_SECONDS)
    server.create(make("another"))
    mine["metadata"]["labels"] = {}
    server.update(mine)
    until(lambda: len(seen) > 1)
    assert seen == [(None, "mine"), ("mine", None)]
    assert names(cache) == set()
    cache.stop()


def test_a_new_list_tells_only_what_changed_while_nobody_listened(
    server: ApiServer, cache: Reflector[DeviceClass], seen: Seen
) -> None:
    server.create(make("old"))
    server.faults.plant(Fault(path="configmaps.*watch=true", code=410, reason="Expired"))
    cache.start()
    until(lambda: sum("configmaps" in one.target and "watch" not in one.target for one in server.requests) > 1)
    server.create(make("new"))
    until(lambda: "new" in names(cache))
    assert seen.count((None, "old")) == 1
    assert ("old", "old") not in seen


def test_what_a_listener_failed_on_is_told_again(server: ApiServer, api: KubeApi) -> None:
    told: list[str] = []

    def listen(_old: DeviceClass | None, new: DeviceClass | None) -> None:
        told.append(new.metadata.name if new else "")
        if len(told) == 1:
            raise ValueError("a bug")

    server.create(make("one"))
    server.create(make("two"))
    cache = Reflector(api, CONFIG_MAPS, DeviceClass, listen)
    cache.start()
    until(lambda: {"one", "two"} <= set(told[1:]))
    cache.stop()


@pytest.mark.parametrize("error", [ValueError("a bug"), Retryable("busy", delay_seconds=0.0)], ids=["bug", "retryable"])
@pytest.mark.parametrize("listed", [False, True], ids=["watched", "listed anew"])
def test_a_deletion_that_a_listener_failed_on_is_told_again(
    server: ApiServer, api: KubeApi, listed: bool, error: Exception
) -> None:
    gone: list[str] = []

    def listen(old: DeviceClass | None, new: DeviceClass | None) -> None:
        if old is not None and new is None:
            gone.append(old.metadata.name)
            if len(gone) == 1:
                raise error

    server.create(make("one"))
    server.create(make("two"))
    cache = Reflector(api, CONFIG_MAPS, DeviceClass, listen)
    cache.start()
    assert cache.wait_synced(WAIT_SECONDS)
    if listed:
        server.stop()
        server.faults.plant(Fault(path="configmaps.*watch=true", code=410, reason="Expired"))
    for name in ("one", "two"):
        server.delete("ConfigMap", name, "default")
    if listed:
        server.start()
    until(lambda: set(gone[1:]) == {"one", "two"})
    cache.stop()
    assert names(cache) == set()
