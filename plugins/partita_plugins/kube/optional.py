"""Resources that an API server may have in one of several versions, or not at all: then there are no objects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

import structlog

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound, Refused
from partita_plugins.kube.reflector import HasMetadata, Listener, Reflector
from partita_plugins.kube.resources import Resource
from partita_plugins.pauses import Draw, by_chance, spread

log = structlog.get_logger(__name__)

LOOK_SECONDS = 300.0
"""Shortest time until it is looked for again: it comes with an upgrade of the cluster."""

FORBIDDEN = 403

T = TypeVar("T", bound=HasMetadata)


class OptionalReflector(Reflector[T]):
    """Keeps the objects of the first version that the server has. While it has none, or lets nobody see them, there
    are none, and the cache is as good as new.
    """

    def __init__(
        self,
        api: KubeApi,
        versions: Sequence[Resource],
        as_: type[T],
        listener: Listener[T] | None = None,
        *,
        draw: Draw = by_chance,
    ) -> None:
        super().__init__(api, versions[0], as_, listener, draw=draw)
        self._versions = versions
        self._absent = False

    @property
    def age_seconds(self) -> float:
        return 0.0 if self._absent else super().age_seconds

    def _list(self) -> tuple[list[T], str]:
        for version in self._versions:
            self.resource = version
            try:
                found = super()._list()
            except NotFound:
                continue
            except Refused as error:
                if error.status != FORBIDDEN:
                    raise
                log.warning("taken for none", resource=self.resource.plural, error=str(error))
                continue
            self._last_contact = time.monotonic()  # before the age counts again
            self._absent = False
            return found
        self._absent = True
        return [], ""

    def _follow(self) -> None:
        if self._absent:
            self._stopping.wait(spread(LOOK_SECONDS, self._draw))
        else:
            super()._follow()


def served(api: KubeApi, versions: Sequence[Resource]) -> Resource | None:
    """The first version that the server has. Raises Refused, Unavailable."""
    for resource in versions:
        try:
            api.request("GET", resource.path(), query={"limit": 1})
        except NotFound:
            continue
        return resource
    return None


def list_served(api: KubeApi, versions: Sequence[Resource], *, as_: type[T]) -> list[T]:
    """All objects of the first version that the server has; none where it has none. Raises Refused, Unavailable."""
    resource = served(api, versions)
    return api.list(resource, as_=as_)[0] if resource else []
