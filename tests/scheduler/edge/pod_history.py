"""What happened to some pods, as an API server tells of it by list and watch, without sockets and threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from partita_plugins.kube.changes import Added, Change, Changed, Deleted, Identified, Identity
from partita_plugins.kube.errors import Unavailable
from partita_plugins.testing.apiserver.resources import BY_KIND
from partita_plugins.testing.apiserver.selectors import field_selector
from tests.scheduler.edge.cluster import Json, pod

T = TypeVar("T")


class PodHistory:
    """Stands in for KubeApi. A watch tells all that has happened, and ends."""

    def __init__(self) -> None:
        self._states: list[dict[str, Json]] = [{}]
        self.refused: set[str] = set()
        """Field selectors by which nothing can be listed."""

    def put(self, name: str, *, cpu: str, node: str = "", phase: str = "Pending", anew: bool = False) -> None:
        """The pod is like that now. `anew`: it was deleted, and another of its name was made."""
        before = self._states[-1].get(name)
        if anew and before is not None:
            self.delete(name)
            before = None
        made = pod(name, nodeName=node, containers=[{"name": "m", "resources": {"requests": {"cpu": cpu}}}])
        version = str(len(self._states))
        made["metadata"] |= {"uid": before["metadata"]["uid"] if before else version, "resourceVersion": version}
        made["status"] = {"phase": phase}
        self._states.append({**self._states[-1], name: made})

    def delete(self, name: str) -> None:
        self._states.append({known: found for known, found in self._states[-1].items() if known != name})

    def list(
        self,
        _resource: object,
        _namespace: str = "",
        *,
        as_: type[T],
        made: Callable[[T], T] | None = None,
        **query: str,
    ) -> tuple[list[T], str]:
        selects = field_selector(query["fieldSelector"], BY_KIND["v1", "Pod"])
        if query["fieldSelector"] in self.refused:
            raise Unavailable("too much")
        found = [msgspec.convert(one, as_) for one in self._states[-1].values() if selects(one)]
        return [made(one) if made else one for one in found], str(len(self._states) - 1)

    def watch(
        self, _resource: object, version: str, _namespace: str, *, as_: type[T], query: dict[str, str], **_: Any
    ) -> Iterator[Change[T]]:
        selects = field_selector(query["fieldSelector"], BY_KIND["v1", "Pod"])
        for number in range(int(version) + 1, len(self._states)):
            earlier, now = (
                {name: one for name, one in self._states[at].items() if selects(one)} for at in (number - 1, number)
            )
            for name in earlier.keys() - now.keys():
                yield Deleted(Identified(Identity(str(number), name, "default")))
            for name, one in now.items():
                if earlier.get(name) is not one:
                    yield (Changed if name in earlier else Added)(msgspec.convert(one, as_))
